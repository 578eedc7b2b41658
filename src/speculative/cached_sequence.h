#ifndef FORETOKEN_SPECULATIVE_CACHED_SEQUENCE_H_
#define FORETOKEN_SPECULATIVE_CACHED_SEQUENCE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"
#include "model/sequence_pool.h"

namespace foretoken {

// A model's KV sequence that follows a session: knows which tokens are cached, and what is missing.
// Acquires its sequence at the first use. Forwards are run by RunForward, for any number of them.
// One thread at a time; the pool must outlive it. After a failed forward the cache is what it was
// before, or given up and rebuilt at the next one.
class CachedSequence {
 public:
  explicit CachedSequence(SequencePool& pool) : pool_(&pool) {}

  // Cuts the cache to what it has in common with `tokens`, less the last of them, which is always
  // run because its logits are asked for. Returns how many of `tokens` are missing then, at
  // least 1. Precondition: `tokens` is not empty.
  int32_t Align(std::span<const TokenId> tokens);

  // Begins a forward: appends `tokens` as rows of this sequence, the last `logits_rows` of them
  // with logits, and reserves their cells. Commit or Abandon must follow.
  Status Stage(std::span<const TokenId> tokens, int32_t logits_rows, std::vector<BatchRow>& rows);
  // The staged rows ran: their tokens are cached.
  void Commit();
  // They did not, or not whole: the cache is cut back to what it held before.
  void Abandon();

  // Cuts the cache to its first `length` tokens; a no-op where it is not longer. A memory that
  // cannot be cut is given up.
  void Truncate(int32_t length);

  // Takes over a sequence that holds `tokens`: a fork of a cached one, or a restored one.
  void Adopt(Sequence sequence, std::span<const TokenId> tokens);
  // Gives the sequence and its cells away, or back when the result is dropped.
  Sequence Release();

  int32_t cached_tokens() const { return static_cast<int32_t>(cached_.size()); }
  std::span<const TokenId> tokens() const { return cached_; }
  // Null before the first use.
  const Sequence* sequence() const { return sequence_.valid() ? &sequence_ : nullptr; }
  SequencePool& pool() const { return *pool_; }
  const BackendDescription& description() const { return pool_->backend().description(); }

 private:
  SequencePool* pool_;
  Sequence sequence_;
  std::vector<TokenId> cached_;
  std::vector<TokenId> staged_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_CACHED_SEQUENCE_H_
