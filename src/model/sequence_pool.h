#ifndef FORETOKEN_MODEL_SEQUENCE_POOL_H_
#define FORETOKEN_MODEL_SEQUENCE_POOL_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "foretoken/status.h"
#include "model/kv_ledger.h"
#include "model/model_backend.h"

namespace foretoken {

class Sequence;

// Hands out a back end's sequence ids, each to one owner at a time, and its KV cells, of which no
// more are promised than there are.
// Used on the back end's thread only. It must outlive its sequences; the back end must outlive it.
class SequencePool {
 public:
  explicit SequencePool(ModelBackend& backend);
  SequencePool(const SequencePool&) = delete;
  SequencePool& operator=(const SequencePool&) = delete;

  // An empty sequence. RESOURCE_EXHAUSTED when all ids are in use.
  Result<Sequence> Acquire();

  ModelBackend& backend() { return backend_; }
  int32_t used() const {
    return backend_.description().max_sequences - static_cast<int32_t>(free_.size());
  }
  int32_t free_ids() const { return static_cast<int32_t>(free_.size()); }
  // Cells that no sequence has reserved; a cell that forks share counts once.
  int32_t free_cells() const { return cells_.free(); }
  int32_t used_cells() const { return cells_.used(); }
  // Cells that would come free if all of `sequences` were dropped.
  int32_t CellsExclusiveTo(std::span<const Sequence* const> sequences) const;

 private:
  friend class Sequence;
  void Release(SequenceId id, KvLease lease);

  ModelBackend& backend_;
  KvLedger cells_;
  std::vector<SequenceId> free_;
  std::vector<KvLease> lost_;  // of sequences that the back end could not empty
};

// A sequence id with the cells reserved for what is cached under it; dropping it gives both back.
// Move-only.
class Sequence {
 public:
  Sequence() = default;
  Sequence(Sequence&& other) noexcept { *this = std::move(other); }
  Sequence& operator=(Sequence&& other) noexcept;
  ~Sequence() { Reset(); }

  bool valid() const { return pool_ != nullptr; }
  SequenceId id() const { return id_; }
  void Reset();

  // The rest needs a valid sequence.

  // Tokens that are cached or have cells reserved.
  int32_t length() const { return lease_.length(); }
  // Cells that dropping this sequence would free.
  int32_t exclusive_cells() const { return lease_.exclusive(); }
  // Reserves cells for more tokens, before they are decoded. RESOURCE_EXHAUSTED, and nothing
  // changed, when they are not there.
  Status Grow(int32_t tokens) { return lease_.Grow(tokens); }
  // Cuts the cache to its first `length` tokens and gives the other cells back; a no-op where it is
  // not longer. Length 0 works on every memory.
  Status Truncate(int32_t length);
  // Another sequence that shares the first `length` tokens.
  Result<Sequence> Fork(int32_t length) const;
  // The cached tokens' state, for Restore into an empty sequence of the same pool.
  Result<std::vector<uint8_t>> Save() const;
  // Precondition: empty. Afterwards it holds `tokens` tokens, or, on failure, none.
  Status Restore(std::span<const uint8_t> state, int32_t tokens);

 private:
  friend class SequencePool;
  Sequence(SequencePool* pool, SequenceId id, KvLease lease)
      : pool_(pool), id_(id), lease_(std::move(lease)) {}

  SequencePool* pool_ = nullptr;
  SequenceId id_{};
  KvLease lease_;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_SEQUENCE_POOL_H_
