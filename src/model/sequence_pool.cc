#include "model/sequence_pool.h"

#include <utility>

#include <fmt/format.h>

#include "base/log.h"

namespace foretoken {

SequencePool::SequencePool(ModelBackend& backend) : backend_(backend) {
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
  return Sequence(this, id);
}

void SequencePool::Release(SequenceId id) {
  const Status dropped = backend_.Truncate(id, 0);
  if (!dropped.ok()) {
    // An id whose cells are not known to be free must not be handed out again.
    Log(LogLevel::kError, fmt::format("a sequence could not be emptied: {}", dropped.ToString()));
    return;
  }
  free_.push_back(id);
}

Sequence& Sequence::operator=(Sequence&& other) noexcept {
  if (this != &other) {
    Reset();
    pool_ = std::exchange(other.pool_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

void Sequence::Reset() {
  if (pool_ != nullptr) std::exchange(pool_, nullptr)->Release(id_);
}

}  // namespace foretoken
