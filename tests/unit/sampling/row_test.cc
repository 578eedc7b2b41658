#include "sampling/row.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "sampling/exact_math.h"
#include "unit/sampling/statistics.h"

namespace foretoken {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(RowTest, ScanFindsTheFirstOfTheLargest) {
  for (const size_t size : {1, 2, 255, 256, 257, 1000}) {
    for (size_t at = 0; at < size; at += 1 + size / 7) {
      std::vector<float> row = BellRow(size, size + at, 2);
      row[at] = 50;
      row.back() = 50;
      const RowScan scan = ScanRow(row);
      EXPECT_EQ(scan.argmax, static_cast<TokenId>(at));
      EXPECT_TRUE(scan.clean);
    }
  }
  EXPECT_EQ(ScanRow(std::vector<float>{-0.0f, 0.0f}).argmax, 0);
  EXPECT_EQ(ScanRow(std::vector<float>{}).argmax, -1);
  EXPECT_EQ(ScanRow(std::vector<float>{-kInfinity, -kInfinity}).argmax, -1);
  EXPECT_EQ(ScanRow(std::vector<float>{-kInfinity, -kMaxLogit}).argmax, 1);
}

TEST(RowTest, ScanFindsWhatIsNotClean) {
  for (const float odd : {kNan, -kNan, kInfinity}) {
    std::vector<float> row = BellRow(700, 1, 2);
    ASSERT_TRUE(ScanRow(row).clean);
    row[600] = odd;
    EXPECT_FALSE(ScanRow(row).clean) << odd;
  }
  EXPECT_TRUE(ScanRow(std::vector<float>{-kInfinity, kMaxLogit}).clean);
}

TEST(RowTest, CleanRowReplacesNanAndInfinity) {
  std::vector<float> row = {kNan, 1, kInfinity, -kInfinity, kMaxLogit, -kNan};
  CleanRow(row);
  EXPECT_EQ(row, (std::vector<float>{-kInfinity, 1, kMaxLogit, -kInfinity, kMaxLogit, -kInfinity}));
  EXPECT_TRUE(ScanRow(row).clean);
}

TEST(RowTest, KeysFollowTheLogits) {
  const std::vector<float> rising = {-kInfinity, -kMaxLogit, -1.5f, -1e-45f,  0.0f,
                                     1e-45f,     0.5f,       1.0f,  kMaxLogit};
  for (size_t i = 0; i < rising.size(); ++i) {
    EXPECT_EQ(LogitOf(KeyOf(rising[i])), rising[i]);
    if (i > 0) {
      EXPECT_LT(KeyOf(rising[i - 1]), KeyOf(rising[i]));
    }
  }
  EXPECT_EQ(KeyOf(-0.0f), KeyOf(0.0f));
}

ScaledRow MakeRow(const std::vector<float>& logits, double inverse_temperature) {
  const TokenId argmax = ScanRow(logits).argmax;
  return {.logits = logits,
          .argmax = argmax,
          .max_logit = logits[argmax],
          .inverse_temperature = inverse_temperature};
}

TEST(RowTest, ExpsEqualTheScalarOnes) {
  const std::vector<float> logits = BellRow(1003, 4, 9);
  const ScaledRow row = MakeRow(logits, 1 / 0.7);
  std::vector<double> exps(logits.size());
  row.Exps(0, logits.size(), exps.data());
  for (size_t i = 0; i < logits.size(); ++i) {
    ASSERT_EQ(exps[i], ExactExp(row.Scaled(logits[i]))) << i;
  }
}

// The order of summation that docs/sampling.md fixes, one addition at a time.
double SumInFixedOrder(std::vector<double> terms) {
  terms.resize((terms.size() + 255) / 256 * 256, 0.0);
  double sum = 0;
  for (size_t block = 0; block < terms.size(); block += 256) {
    for (size_t half = 128; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) terms[block + i] += terms[block + i + half];
    }
    sum += terms[block];
  }
  return sum;
}

TEST(RowTest, SumHasOneOrder) {
  for (const size_t size : {1, 3, 256, 300, 5000}) {
    const std::vector<float> logits = size == 300 ? TiedRow(size, 1) : BellRow(size, size, 3);
    const ScaledRow row = MakeRow(logits, 1.25);
    for (const Cut cut :
         {Cut(), Cut{logits[size / 2]}, Cut{0.5f, 170}, Cut{row.max_logit, row.argmax}}) {
      std::vector<double> terms(size);
      for (size_t i = 0; i < size; ++i) {
        const bool kept = cut.Keeps(logits[i], static_cast<TokenId>(i));
        terms[i] = kept ? ExactExp(row.Scaled(logits[i])) : 0.0;
      }
      std::vector<double> exps(size, -1);
      EXPECT_EQ(SumExps(row, cut, exps.data()), SumInFixedOrder(terms));
      EXPECT_EQ(exps, terms);
      EXPECT_EQ(SumExps(row, cut, nullptr), SumInFixedOrder(terms));
    }
  }
}

}  // namespace
}  // namespace foretoken
