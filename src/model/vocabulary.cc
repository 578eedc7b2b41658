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

uint64_t VocabularyFingerprint(const Vocabulary& vocabulary) {
  // FNV-1a, 64 bits.
  uint64_t hash = 0xcbf29ce484222325u;
  for (TokenId token = 0; token < vocabulary.size(); ++token) {
    // A text's end counts too, or "ab", "c" would be "a", "bc".
    for (const char c : vocabulary.TokenText(token) + '\0') {
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    }
  }
  return hash;
}

}  // namespace foretoken
