#include "sampling/filters.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "unit/sampling/statistics.h"

namespace foretoken {
namespace {

ScaledRow MakeRow(const std::vector<float>& logits, const SamplingOptions& options) {
  const TokenId argmax = ScanRow(logits).argmax;
  return {.logits = logits,
          .argmax = argmax,
          .max_logit = logits[argmax],
          .inverse_temperature = 1.0 / static_cast<double>(options.temperature)};
}

// The filters as their definitions say it: a full sort and long sums in extended precision.
std::vector<TokenId> ReferenceSupport(const std::vector<float>& row, const SamplingOptions& o) {
  std::vector<TokenId> ids;
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i] > kNoLogit) ids.push_back(static_cast<TokenId>(i));
  }
  std::stable_sort(ids.begin(), ids.end(), [&](TokenId a, TokenId b) { return row[a] > row[b]; });
  const auto ratio = [&](TokenId id) {  // to the most likely token's probability
    return std::exp((static_cast<long double>(row[id]) - row[ids[0]]) / o.temperature);
  };
  if (o.top_k > 0) ids.resize(std::min(ids.size(), static_cast<size_t>(o.top_k)));
  if (o.top_p < 1) {
    long double total = 0;
    for (const TokenId id : ids) total += ratio(id);
    long double sum = 0;
    size_t kept = 0;
    while (kept < ids.size() && sum < o.top_p * total) sum += ratio(ids[kept++]);
    ids.resize(kept);
  }
  if (o.min_p > 0) std::erase_if(ids, [&](TokenId id) { return ratio(id) < o.min_p; });
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::vector<TokenId> Kept(const std::vector<float>& row, const SamplingOptions& options) {
  Filters filters(options, row.size());
  const Support support = filters.Apply(MakeRow(row, options));
  std::vector<TokenId> kept;
  for (size_t i = 0; i < row.size(); ++i) {
    if (support.cut.Keeps(row[i], static_cast<TokenId>(i))) kept.push_back(static_cast<TokenId>(i));
  }
  if (support.tokens != nullptr) {
    EXPECT_EQ(support.tokens->ids, kept);
    for (size_t i = 0; i < kept.size(); ++i) {
      EXPECT_EQ(LogitOf(support.tokens->keys[i]), row[kept[i]]);
    }
  }
  return kept;
}

std::vector<SamplingOptions> EverySetting() {
  std::vector<SamplingOptions> settings;
  for (const float temperature : {0.05f, 0.8f, 1.0f, 3.0f}) {
    for (const int32_t top_k : {0, 1, 2, 7, 40, 1000}) {
      for (const float top_p : {1.0f, 0.953f, 0.37f, 0.001f}) {
        for (const float min_p : {0.0f, 0.051f, 0.83f, 1.0f}) {
          SamplingOptions options;
          options.temperature = temperature;
          options.top_k = top_k;
          options.top_p = top_p;
          options.min_p = min_p;
          settings.push_back(options);
        }
      }
    }
  }
  return settings;
}

TEST(FiltersTest, EqualTheirDefinitionsOnSmallVocabularies) {
  std::mt19937_64 random(1);
  for (const SamplingOptions& options : EverySetting()) {
    for (int round = 0; round < 12; ++round) {
      const size_t size = 1 + random() % 50;
      std::vector<float> row =
          round % 3 == 0 ? TiedRow(size, random()) : BellRow(size, random(), 2);
      if (round % 4 == 1 && size > 1) row[random() % (size - 1)] = kNoLogit;
      ASSERT_EQ(Kept(row, options), ReferenceSupport(row, options))
          << "size " << size << " T " << options.temperature << " k " << options.top_k << " p "
          << options.top_p << " min " << options.min_p;
    }
  }
}

TEST(FiltersTest, EqualTheirDefinitionsOnLargeVocabularies) {
  uint64_t seed = 100;
  for (const SamplingOptions& options : EverySetting()) {
    ++seed;
    const std::vector<float> row =
        seed % 5 == 0 ? TiedRow(3000, seed) : BellRow(3000, seed, seed % 2 == 0 ? 3 : 0.01);
    ASSERT_EQ(Kept(row, options), ReferenceSupport(row, options))
        << "seed " << seed << " T " << options.temperature << " k " << options.top_k << " p "
        << options.top_p << " min " << options.min_p;
  }
}

TEST(FiltersTest, TopPStopsExactlyAtItsShare) {
  const std::vector<float> even(4, 1.5f);
  SamplingOptions options;
  options.top_p = 0.5f;
  EXPECT_EQ(Kept(even, options), (std::vector<TokenId>{0, 1}));
  options.top_p = 0.50001f;
  EXPECT_EQ(Kept(even, options), (std::vector<TokenId>{0, 1, 2}));
  options.top_p = 1e-30f;
  EXPECT_EQ(Kept(even, options), (std::vector<TokenId>{0}));
  options.top_p = std::nextafter(1.0f, 0.0f);
  EXPECT_EQ(Kept(even, options), (std::vector<TokenId>{0, 1, 2, 3}));
}

TEST(FiltersTest, TopPIsOfWhatTopKLeaves) {
  // 0.4, 0.3, 0.2, 0.1: the first two of the first three are 7/9, of all four 7/10.
  std::vector<float> row;
  for (const float p : {0.1f, 0.4f, 0.2f, 0.3f}) row.push_back(std::log(p));
  SamplingOptions options;
  options.top_p = 0.75f;
  EXPECT_EQ(Kept(row, options), (std::vector<TokenId>{1, 2, 3}));
  options.top_k = 3;
  EXPECT_EQ(Kept(row, options), (std::vector<TokenId>{1, 3}));
}

TEST(FiltersTest, ExtremeRows) {
  const std::vector<std::vector<float>> rows = {
      {0.0f},
      {kMaxLogit, -kMaxLogit, 0},
      {-kMaxLogit, -kMaxLogit, kNoLogit},
      {1e30f, 1e30f, 0.99e30f, -1e-45f, 0.0f, -0.0f},
      {-1e30f, -2e30f, -1e30f},
      std::vector<float>(5000, -1e20f),
  };
  for (const float temperature : {1e-45f, 1e-30f, 1.0f, 1e30f, kMaxLogit}) {
    for (const auto& row : rows) {
      for (SamplingOptions options : EverySetting()) {
        if (options.temperature != 1.0f) continue;
        options.temperature = temperature;
        ASSERT_EQ(Kept(row, options), ReferenceSupport(row, options))
            << "first " << row[0] << " of " << row.size() << " T " << temperature << " k "
            << options.top_k << " p " << options.top_p << " min " << options.min_p;
      }
    }
  }
}

}  // namespace
}  // namespace foretoken
