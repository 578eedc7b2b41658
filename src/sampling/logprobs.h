#ifndef FORETOKEN_SAMPLING_LOGPROBS_H_
#define FORETOKEN_SAMPLING_LOGPROBS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "foretoken/generation.h"

namespace foretoken {

struct RowLogprobs {
  float chosen = 0;               // of the chosen token
  std::vector<TokenLogprob> top;  // most likely first, ties by lowest id
};

// Log-softmax of an unprocessed row, in one fixed summation order: the same bits everywhere.
// NaN counts as -infinity, +infinity as the largest finite value; a token that cannot occur has
// -infinity. Precondition: `chosen` is inside the row. `top_count` is cut to the row's length.
RowLogprobs ComputeLogprobs(std::span<const float> logits, TokenId chosen, int32_t top_count);

}  // namespace foretoken

#endif  // FORETOKEN_SAMPLING_LOGPROBS_H_
