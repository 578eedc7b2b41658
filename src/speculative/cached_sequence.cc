#include "speculative/cached_sequence.h"

#include <algorithm>

#include "base/macros.h"

namespace foretoken {

Result<LogitsRows> CachedSequence::Advance(std::span<const TokenId> tokens,
                                           std::span<const TokenId> ahead) {
  if (tokens.empty()) return InvalidArgumentError("a sequence needs at least one token");
  if (!sequence_.valid()) {
    FORETOKEN_ASSIGN_OR_RETURN(sequence_, pool_->Acquire());
    cached_.clear();
  }
  // The last of `tokens` is always run: its logits are asked for.
  const auto [cached_end, token] =
      std::mismatch(cached_.begin(), cached_.end(), tokens.begin(), tokens.end() - 1);
  FORETOKEN_RETURN_IF_ERROR(Truncate(static_cast<int32_t>(cached_end - cached_.begin())));

  const size_t kept = cached_.size();
  std::vector<TokenId> missing(tokens.begin() + static_cast<std::ptrdiff_t>(kept), tokens.end());
  missing.insert(missing.end(), ahead.begin(), ahead.end());
  auto logits = Run(missing, static_cast<int32_t>(ahead.size()) + 1);
  if (!logits.ok()) {
    // What a failed forward left behind is unknown: cut it off, or give the sequence up.
    cached_.resize(kept);
    const Status cut =
        pool_->backend().Truncate(sequence_.id(), static_cast<int32_t>(cached_.size()));
    if (!cut.ok()) {
      sequence_.Reset();
      cached_.clear();
    }
  }
  return logits;
}

Result<LogitsRows> CachedSequence::Run(std::span<const TokenId> missing, int32_t logits_rows) {
  const auto max_rows = static_cast<size_t>(description().max_batch_rows);
  const size_t first_logits = missing.size() - static_cast<size_t>(logits_rows);
  // The rows that want logits go into the last forward together.
  size_t done = 0;
  while (true) {
    size_t end = std::min(done + max_rows, missing.size());
    if (end < missing.size()) end = std::min(end, first_logits);
    if (end == done) {
      return InvalidArgumentError("more drafted tokens than one batch can hold");
    }
    rows_.clear();
    for (size_t i = done; i < end; ++i) {
      rows_.push_back({.token = missing[i],
                       .position = static_cast<int32_t>(cached_.size() + (i - done)),
                       .sequences = {sequence_.id()},
                       .wants_logits = i >= first_logits});
    }
    FORETOKEN_ASSIGN_OR_RETURN(const LogitsRows logits, pool_->backend().Decode(rows_));
    cached_.insert(cached_.end(), missing.begin() + static_cast<std::ptrdiff_t>(done),
                   missing.begin() + static_cast<std::ptrdiff_t>(end));
    done = end;
    if (done == missing.size()) return logits;
  }
}

Status CachedSequence::Truncate(int32_t length) {
  if (static_cast<size_t>(length) >= cached_.size()) return OkStatus();
  FORETOKEN_RETURN_IF_ERROR(pool_->backend().Truncate(sequence_.id(), length));
  cached_.resize(static_cast<size_t>(length));
  return OkStatus();
}

}  // namespace foretoken
