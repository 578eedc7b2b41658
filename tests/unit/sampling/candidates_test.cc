#include "sampling/candidates.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "unit/sampling/statistics.h"

namespace foretoken {
namespace {

// Ids by larger logit, then lower id; those at -infinity left out.
std::vector<TokenId> Sorted(const std::vector<float>& row) {
  std::vector<TokenId> ids;
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i] > kNoLogit) ids.push_back(static_cast<TokenId>(i));
  }
  std::stable_sort(ids.begin(), ids.end(), [&](TokenId a, TokenId b) { return row[a] > row[b]; });
  return ids;
}

void ExpectTopK(const std::vector<float>& row, size_t k) {
  std::vector<TokenId> expected = Sorted(row);
  expected.resize(std::min(k, expected.size()));
  std::sort(expected.begin(), expected.end());
  Candidates top;
  std::vector<float> scratch;
  const Cut cut = GatherTopK(row, k, scratch, top);
  EXPECT_EQ(top.ids, expected) << row.size() << " choose " << k;
  std::vector<TokenId> kept;
  for (size_t i = 0; i < row.size(); ++i) {
    if (cut.Keeps(row[i], static_cast<TokenId>(i))) kept.push_back(static_cast<TokenId>(i));
  }
  EXPECT_EQ(kept, expected) << row.size() << " choose " << k;
}

TEST(CandidatesTest, TopKEqualsASort) {
  for (const size_t size : {1, 2, 5, 50, 256, 1000, 4096, 20011}) {
    for (const size_t k : {1, 2, 3, 10, 40, 300, 2500, 20011, 100000}) {
      ExpectTopK(BellRow(size, size * 31 + k, 2.5), k);
      ExpectTopK(TiedRow(size, size + k), k);
    }
  }
}

TEST(CandidatesTest, TopKOfAwkwardRows) {
  std::vector<float> rising(10000);
  std::iota(rising.begin(), rising.end(), -5000.0f);
  std::vector<float> falling(rising.rbegin(), rising.rend());
  std::vector<float> same(10000, -3.0f);
  std::vector<float> few(10000, kNoLogit);
  for (const size_t i : {17, 4000, 9999}) few[i] = static_cast<float>(i);
  std::vector<float> signs(1000);
  for (size_t i = 0; i < signs.size(); ++i) signs[i] = i % 2 == 0 ? 0.0f : -0.0f;
  // The largest share their group of the lower bound: the bound is of no use.
  std::vector<float> crowded(100000, 0.0f);
  for (size_t i = 0; i < 128; ++i) crowded[i * 64] = static_cast<float>(100 + i);
  for (const size_t k : {1, 3, 4, 40, 200, 5000}) {
    for (const auto* row : {&rising, &falling, &same, &few, &signs, &crowded}) ExpectTopK(*row, k);
  }
  ExpectTopK(std::vector<float>(10, kNoLogit), 3);
}

TEST(CandidatesTest, CutAtWeightEqualsASortedSum) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 300; ++round) {
    const size_t size = 1 + random() % 400;
    const std::vector<float> row =
        round % 2 == 0 ? BellRow(size, random(), 1) : TiedRow(size, random());
    Candidates all;
    std::vector<uint64_t> weights;
    uint64_t total = 0;
    for (size_t i = 0; i < size; ++i) {
      all.Append(row[i], static_cast<TokenId>(i));
      weights.push_back(static_cast<uint64_t>((row[i] + 10) * 1000));
      total += weights.back();
    }
    const uint64_t target = 1 + random() % total;
    std::vector<TokenId> expected;
    uint64_t sum = 0;
    for (const TokenId id : Sorted(row)) {
      if (sum >= target) break;
      sum += weights[id];
      expected.push_back(id);
    }
    std::sort(expected.begin(), expected.end());
    all.Keep(CutAtWeight(all, weights, target));
    ASSERT_EQ(all.ids, expected);
  }
}

TEST(CandidatesTest, AWeightOutOfReachKeepsAll) {
  Candidates some;
  for (const float logit : {1.0f, 3.0f, 2.0f}) {
    some.Append(logit, static_cast<TokenId>(some.size()));
  }
  some.Keep(CutAtWeight(some, {}, 4));
  EXPECT_EQ(some.ids, (std::vector<TokenId>{0, 1, 2}));
  some.Keep(CutAtWeight(some, {}, 2));
  EXPECT_EQ(some.ids, (std::vector<TokenId>{1, 2}));
  some.Clear();
  EXPECT_EQ(some.size(), 0u);
}

}  // namespace
}  // namespace foretoken
