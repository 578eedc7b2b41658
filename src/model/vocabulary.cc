#include "model/vocabulary.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

namespace foretoken {
namespace {

constexpr int32_t kMaxPaddingDifference = 256;

}  // namespace

Status CheckVocabularyMatch(const Vocabulary& target, const Vocabulary& draft) {
  const int32_t difference = std::abs(target.size() - draft.size());
  if (difference > kMaxPaddingDifference) {
    return FailedPreconditionError(fmt::format(
        "the draft's vocabulary has {} tokens and the target's {}: not the same tokenizer",
        draft.size(), target.size()));
  }
  if (target.begin_of_text() != draft.begin_of_text()) {
    return FailedPreconditionError(
        "the draft's begin-of-text token is not the target's: not the same tokenizer");
  }
  const int32_t shared = std::min(target.size(), draft.size());
  for (TokenId token = 0; token < shared; ++token) {
    if (target.TokenText(token) != draft.TokenText(token)) {
      return FailedPreconditionError(
          fmt::format("token {} is '{}' for the draft and '{}' for the target: not the same "
                      "tokenizer",
                      token, draft.TokenText(token), target.TokenText(token)));
    }
    if (target.IsEndOfGeneration(token) != draft.IsEndOfGeneration(token)) {
      return FailedPreconditionError(
          fmt::format("token {} ('{}') ends a generation for one of draft and target only", token,
                      target.TokenText(token)));
    }
  }
  return OkStatus();
}

}  // namespace foretoken
