#include "sampling/logprobs.h"

#include <algorithm>

#include "sampling/candidates.h"
#include "sampling/exact_math.h"
#include "sampling/row.h"

namespace foretoken {

RowLogprobs ComputeLogprobs(std::span<const float> logits, TokenId chosen, int32_t top_count) {
  std::vector<float> cleaned;
  RowScan scan = ScanRow(logits);
  if (!scan.clean) {
    cleaned.assign(logits.begin(), logits.end());
    CleanRow(cleaned);
    logits = cleaned;
    scan = ScanRow(logits);
  }
  const size_t count = std::min(logits.size(), static_cast<size_t>(std::max(top_count, 0)));

  RowLogprobs result;
  const bool possible = scan.argmax >= 0;
  const ScaledRow row{
      .logits = logits, .argmax = scan.argmax, .max_logit = possible ? logits[scan.argmax] : 0};
  const double log_sum = possible ? ExactLog(SumExps(row, Cut(), nullptr)) : 0;
  const auto logprob = [&](TokenId token) {
    return static_cast<float>(row.Scaled(logits[token]) - log_sum);
  };
  result.chosen = logprob(chosen);

  Candidates top;
  if (count > 0) {
    std::vector<float> maxima;
    GatherTopK(logits, count, maxima, top);
  }
  for (const TokenId token : top.ids) result.top.push_back({token, logprob(token)});
  std::stable_sort(result.top.begin(), result.top.end(),
                   [&](const TokenLogprob& a, const TokenLogprob& b) {
                     return logits[a.token] > logits[b.token];
                   });
  // A row with fewer possible tokens is filled up with impossible ones.
  for (TokenId token = 0; result.top.size() < count; ++token) {
    if (logits[token] == kNoLogit) result.top.push_back({token, kNoLogit});
  }
  return result;
}

}  // namespace foretoken
