#ifndef FORETOKEN_SPECULATIVE_CACHED_SEQUENCE_H_
#define FORETOKEN_SPECULATIVE_CACHED_SEQUENCE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"
#include "model/sequence_pool.h"

namespace foretoken {

// A model's KV sequence that follows a session: knows which tokens are cached and makes the cache
// agree with the session's before more are run. Acquires its sequence at the first use.
// One thread at a time; the pool must outlive it. After a failure the cache is cut back to what
// was there before the call, or given up and rebuilt at the next one.
class CachedSequence {
 public:
  explicit CachedSequence(SequencePool& pool) : pool_(&pool) {}

  // Makes the cache hold exactly `tokens` followed by `ahead`, running what is missing in as few
  // forwards as the batch limit allows (one, but for a prefill). Logits are returned for the last
  // of `tokens` and for each of `ahead`: ahead.size() + 1 rows. `tokens` must not be empty.
  Result<LogitsRows> Advance(std::span<const TokenId> tokens, std::span<const TokenId> ahead);

  // Cuts the cache to its first `length` tokens; a no-op where it is not longer.
  Status Truncate(int32_t length);

  int32_t cached_tokens() const { return static_cast<int32_t>(cached_.size()); }
  const BackendDescription& description() const { return pool_->backend().description(); }

 private:
  Result<LogitsRows> Run(std::span<const TokenId> missing, int32_t logits_rows);

  SequencePool* pool_;
  Sequence sequence_;
  std::vector<TokenId> cached_;
  std::vector<BatchRow> rows_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_CACHED_SEQUENCE_H_
