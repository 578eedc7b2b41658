#include "sampling/noisy_argmax.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "unit/sampling/statistics.h"

namespace foretoken {
namespace {

TokenId BruteForce(const ScaledRow& row, const Cut& cut, const RowNoise& noise) {
  TokenId best = -1;
  double best_score = 0;
  for (size_t i = 0; i < row.logits.size(); ++i) {
    const TokenId token = static_cast<TokenId>(i);
    if (!cut.Keeps(row.logits[i], token)) continue;
    const double score = row.Scaled(row.logits[i]) + noise.Gumbel(token);
    if (best < 0 || score > best_score) {
      best = token;
      best_score = score;
    }
  }
  return best;
}

void ExpectBest(const std::vector<float>& logits, const SamplingOptions& options,
                const RowNoise& noise) {
  const TokenId argmax = ScanRow(logits).argmax;
  const ScaledRow row{.logits = logits,
                      .argmax = argmax,
                      .max_logit = logits[argmax],
                      .inverse_temperature = 1.0 / static_cast<double>(options.temperature)};
  Filters filters(options, logits.size());
  const Support support = filters.Apply(row);
  ASSERT_EQ(NoisyArgmax(row, support, noise), BruteForce(row, support.cut, noise))
      << logits.size() << " tokens, T " << options.temperature << " k " << options.top_k << " p "
      << options.top_p << " min " << options.min_p;
}

SamplingOptions RandomOptions(std::mt19937_64& random) {
  SamplingOptions options;
  options.temperature = std::vector<float>{0.02f, 0.5f, 1.0f, 2.0f, 40.0f}[random() % 5];
  if (random() % 2 == 0) options.top_k = static_cast<int32_t>(1 + random() % 60);
  if (random() % 2 == 0) options.top_p = 0.01f + 0.0049f * static_cast<float>(random() % 200);
  if (random() % 3 == 0) options.min_p = 0.004f * static_cast<float>(random() % 200);
  return options;
}

TEST(NoisyArgmaxTest, EqualsWorkingOutEveryScore) {
  std::mt19937_64 random(1);
  for (int64_t round = 0; round < 4000; ++round) {
    const size_t size = 1 + random() % (round % 10 == 0 ? 4000 : 300);
    const std::vector<float> row = round % 3 == 0
                                       ? TiedRow(size, random())
                                       : BellRow(size, random(), 0.02 * (1 << (random() % 10)));
    ExpectBest(row, RandomOptions(random), RowNoise(random(), random() % 3, round));
    if (HasFatalFailure()) return;
  }
}

TEST(NoisyArgmaxTest, EqualsWorkingOutEveryScoreAtAFullVocabulary) {
  const std::vector<float> bell = BellRow(151936, 5, 2.5);
  const std::vector<float> flat(151936, 4.0f);
  SamplingOptions options;
  for (int64_t position = 0; position < 10; ++position) {
    ExpectBest(bell, options, RowNoise(1, 0, position));
    ExpectBest(flat, options, RowNoise(1, 0, position));
  }
}

TEST(NoisyArgmaxTest, ExtremeLogitsAndTemperatures) {
  const std::vector<std::vector<float>> rows = {
      {kMaxLogit, -kMaxLogit, 0, kMaxLogit}, {-kMaxLogit, kNoLogit, -kMaxLogit},
      {1e-45f, 0.0f, -1e-45f, -0.0f},        {3e38f, 2e38f, 1e38f, -3e38f},
      std::vector<float>(600, -kMaxLogit),
  };
  for (const float temperature : {1e-45f, 1e-39f, 1e-20f, 1.0f, 1e20f, 1e38f, kMaxLogit}) {
    for (const auto& row : rows) {
      for (int64_t position = 0; position < 50; ++position) {
        SamplingOptions options;
        options.temperature = temperature;
        ExpectBest(row, options, RowNoise(2, 0, position));
        options.top_k = 2;
        ExpectBest(row, options, RowNoise(2, 0, position));
      }
    }
  }
}

}  // namespace
}  // namespace foretoken
