#include "sampling/logprobs.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "unit/sampling/statistics.h"

namespace foretoken {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<TokenId> Ids(const RowLogprobs& logprobs) {
  std::vector<TokenId> ids;
  for (const TokenLogprob& entry : logprobs.top) ids.push_back(entry.token);
  return ids;
}

TEST(LogprobsTest, EqualsALogSoftmax) {
  for (const size_t size : {1, 3, 50, 300, 32000}) {
    for (const std::vector<float>& row : {BellRow(size, size, 4), TiedRow(size, size)}) {
      long double sum = 0;
      for (const float logit : row) sum += std::exp(static_cast<long double>(logit));
      const auto truth = [&](TokenId token) {
        return static_cast<float>(row[token] - std::log(sum));
      };
      std::vector<TokenId> order(size);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(),
                       [&](TokenId a, TokenId b) { return row[a] > row[b]; });
      const TokenId chosen = static_cast<TokenId>(size / 2);
      const RowLogprobs logprobs = ComputeLogprobs(row, chosen, 20);
      EXPECT_NEAR(logprobs.chosen, truth(chosen), 2e-6);
      order.resize(std::min<size_t>(20, size));
      ASSERT_EQ(Ids(logprobs), order);
      for (const TokenLogprob& entry : logprobs.top) {
        EXPECT_NEAR(entry.logprob, truth(entry.token), 2e-6);
      }
    }
  }
}

TEST(LogprobsTest, TopCountIsCutToTheRow) {
  const std::vector<float> row = {1, 3, 2};
  EXPECT_EQ(Ids(ComputeLogprobs(row, 0, 20)), (std::vector<TokenId>{1, 2, 0}));
  EXPECT_EQ(Ids(ComputeLogprobs(row, 0, 2)), (std::vector<TokenId>{1, 2}));
  EXPECT_TRUE(ComputeLogprobs(row, 0, 0).top.empty());
  EXPECT_TRUE(ComputeLogprobs(row, 0, -1).top.empty());
}

TEST(LogprobsTest, ImpossibleTokensComeLast) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const RowLogprobs logprobs = ComputeLogprobs(std::vector<float>{nan, 0, -kInfinity, 0}, 2, 4);
  EXPECT_EQ(logprobs.chosen, -kInfinity);
  EXPECT_EQ(Ids(logprobs), (std::vector<TokenId>{1, 3, 0, 2}));
  EXPECT_FLOAT_EQ(logprobs.top[0].logprob, std::log(0.5f));
  EXPECT_EQ(logprobs.top[2].logprob, -kInfinity);

  const RowLogprobs infinite = ComputeLogprobs(std::vector<float>{0, kInfinity, 5}, 1, 1);
  EXPECT_EQ(infinite.chosen, 0);
  EXPECT_EQ(Ids(infinite), (std::vector<TokenId>{1}));

  const RowLogprobs none = ComputeLogprobs(std::vector<float>{nan, -kInfinity}, 0, 2);
  EXPECT_EQ(none.chosen, -kInfinity);
  EXPECT_EQ(Ids(none), (std::vector<TokenId>{0, 1}));
}

// The same bits from every compiler and instruction set; see docs/sampling.md.
TEST(LogprobsTest, CommittedBits) {
  BitHash bits;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const RowLogprobs logprobs = ComputeLogprobs(BellRow(3001, seed, 3), 11, 5);
    bits.Add(uint64_t{std::bit_cast<uint32_t>(logprobs.chosen)});
    for (const TokenLogprob& entry : logprobs.top) {
      bits.Add(uint64_t{std::bit_cast<uint32_t>(entry.logprob)});
    }
  }
  EXPECT_EQ(bits.value(), 0x8fcff8cb1d496249u);
}

}  // namespace
}  // namespace foretoken
