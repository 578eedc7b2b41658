#include "model/sequence_pool.h"

#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/macros.h"

namespace foretoken {

SequencePool::SequencePool(ModelBackend& backend)
    : backend_(backend), cells_("KV cells", backend.description().cache_tokens) {
  for (int32_t id = backend.description().max_sequences; id-- > 0;) {
    free_.push_back(static_cast<SequenceId>(id));
  }
}

Result<Sequence> SequencePool::Acquire() {
  if (free_.empty()) {
    return ResourceExhaustedError(fmt::format("all {} sequences of the model are in use",
                                              backend_.description().max_sequences));
  }
  const SequenceId id = free_.back();
  free_.pop_back();
  return Sequence(this, id, cells_.NewLease());
}

int32_t SequencePool::CellsExclusiveTo(std::span<const Sequence* const> sequences) const {
  std::vector<const KvLease*> leases;
  leases.reserve(sequences.size());
  for (const Sequence* sequence : sequences) leases.push_back(&sequence->lease_);
  return cells_.ExclusiveTo(leases);
}

void SequencePool::Release(SequenceId id, KvLease lease) {
  const Status dropped = backend_.Truncate(id, 0);
  if (!dropped.ok()) {
    // Neither an id nor cells that are not known to be free may be handed out again.
    Log(LogLevel::kError, fmt::format("a sequence could not be emptied: {}", dropped.ToString()));
    lost_.push_back(std::move(lease));
    return;
  }
  free_.push_back(id);
}

Sequence& Sequence::operator=(Sequence&& other) noexcept {
  if (this != &other) {
    Reset();
    pool_ = std::exchange(other.pool_, nullptr);
    id_ = other.id_;
    lease_ = std::move(other.lease_);
  }
  return *this;
}

void Sequence::Reset() {
  if (pool_ == nullptr) return;
  std::exchange(pool_, nullptr)->Release(id_, std::move(lease_));
}

Status Sequence::Truncate(int32_t length) {
  if (length >= lease_.length()) return OkStatus();
  FORETOKEN_RETURN_IF_ERROR(pool_->backend_.Truncate(id_, length));
  lease_.Truncate(length);
  return OkStatus();
}

Result<Sequence> Sequence::Fork(int32_t length) const {
  FORETOKEN_ASSIGN_OR_RETURN(Sequence fork, pool_->Acquire());
  FORETOKEN_RETURN_IF_ERROR(pool_->backend_.Fork(id_, fork.id_, length));
  fork.lease_ = lease_.Fork(length);
  return fork;
}

Result<std::vector<uint8_t>> Sequence::Save() const {
  return pool_->backend_.SaveSequence(id_);
}

Status Sequence::Restore(std::span<const uint8_t> state, int32_t tokens) {
  FORETOKEN_RETURN_IF_ERROR(lease_.Grow(tokens));
  Status restored = pool_->backend_.RestoreSequence(id_, state);
  if (!restored.ok()) lease_.Truncate(0);
  return restored;
}

}  // namespace foretoken
