#ifndef FORETOKEN_SAMPLING_NOISY_ARGMAX_H_
#define FORETOKEN_SAMPLING_NOISY_ARGMAX_H_

#include "foretoken/options.h"
#include "sampling/filters.h"
#include "sampling/gumbel_noise.h"
#include "sampling/row.h"

namespace foretoken {

// The token of the support with the largest Scaled(logit) + Gumbel variate, ties by lowest id: a
// draw from the softmax of the support. A cheap float bound finds the few tokens for which the
// score is worked out; the result is that of working out all.
TokenId NoisyArgmax(const ScaledRow& row, const Support& support, const RowNoise& noise);

}  // namespace foretoken

#endif  // FORETOKEN_SAMPLING_NOISY_ARGMAX_H_
