#include "speculative/cached_sequence.h"

#include <algorithm>
#include <utility>

#include "base/macros.h"

namespace foretoken {

int32_t CachedSequence::Align(std::span<const TokenId> tokens) {
  const auto [cached_end, token] =
      std::mismatch(cached_.begin(), cached_.end(), tokens.begin(), tokens.end() - 1);
  Truncate(static_cast<int32_t>(cached_end - cached_.begin()));
  return static_cast<int32_t>(tokens.size() - cached_.size());
}

Status CachedSequence::Stage(std::span<const TokenId> tokens, int32_t logits_rows,
                             std::vector<BatchRow>& rows) {
  if (!sequence_.valid()) {
    FORETOKEN_ASSIGN_OR_RETURN(sequence_, pool_->Acquire());
  }
  FORETOKEN_RETURN_IF_ERROR(sequence_.Grow(static_cast<int32_t>(tokens.size())));
  staged_.assign(tokens.begin(), tokens.end());
  const size_t first_logits = tokens.size() - static_cast<size_t>(logits_rows);
  for (size_t i = 0; i < tokens.size(); ++i) {
    rows.push_back({.token = tokens[i],
                    .position = static_cast<int32_t>(cached_.size() + i),
                    .sequences = {sequence_.id()},
                    .wants_logits = i >= first_logits});
  }
  return OkStatus();
}

void CachedSequence::Commit() {
  cached_.insert(cached_.end(), staged_.begin(), staged_.end());
  staged_.clear();
}

void CachedSequence::Abandon() {
  staged_.clear();
  // What a failed forward left behind is unknown: cut it off, or give the sequence up.
  if (!sequence_.Truncate(cached_tokens()).ok()) Release();
}

void CachedSequence::Truncate(int32_t length) {
  if (length >= cached_tokens()) return;
  if (sequence_.Truncate(length).ok()) {
    cached_.resize(static_cast<size_t>(length));
  } else {
    Release();
  }
}

void CachedSequence::Adopt(Sequence sequence, std::span<const TokenId> tokens) {
  sequence_ = std::move(sequence);
  cached_.assign(tokens.begin(), tokens.end());
}

Sequence CachedSequence::Release() {
  cached_.clear();
  return std::move(sequence_);
}

}  // namespace foretoken
