#include "sampling/exact_math.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "unit/sampling/statistics.h"

namespace foretoken {
namespace {

double RelativeError(double value, long double truth) {
  return static_cast<double>(std::fabs((value - truth) / truth));
}

TEST(ExactMathTest, ExpIsPrecise) {
  double worst = 0;
  for (double x = -707.99; x <= 300; x += 0.00837) {
    worst = std::max(worst, RelativeError(ExactExp(x), std::exp(static_cast<long double>(x))));
  }
  EXPECT_LT(worst, 1e-15);
  EXPECT_EQ(ExactExp(0.0), 1.0);
  EXPECT_EQ(ExactExp(-0.0), 1.0);
}

TEST(ExactMathTest, ExpOfImpossibleIsZero) {
  for (const double x : {-708.5, -1e10, -5e83, -std::numeric_limits<double>::infinity(),
                         std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(ExactExp(x), 0.0) << x;
  }
}

TEST(ExactMathTest, LogIsPrecise) {
  double worst = 0;
  for (double x = 0x1p-70; x < 1e6; x *= 1.00037) {
    const long double truth = std::log(static_cast<long double>(x));
    worst = std::max(worst, RelativeError(ExactLog(x), truth));
  }
  for (double x = 0.9; x < 1.1; x += 1.37e-6) {
    worst = std::max(worst, RelativeError(ExactLog(x), std::log(static_cast<long double>(x))));
  }
  EXPECT_LT(worst, 1e-15);
  EXPECT_EQ(ExactLog(1.0), 0.0);
}

TEST(ExactMathTest, NegLog1mIsPreciseForSmallAndLargeArguments) {
  double worst = 0;
  for (double v = 0x1p-65; v < 1; v *= 1.0021) {
    worst =
        std::max(worst, RelativeError(ExactNegLog1m(v), -std::log1p(-static_cast<long double>(v))));
  }
  for (double gap = 0x1p-53; gap < 0.5; gap *= 1.9) {
    const double v = 1 - gap;
    worst =
        std::max(worst, RelativeError(ExactNegLog1m(v), -std::log1p(-static_cast<long double>(v))));
  }
  EXPECT_LT(worst, 1e-15);
}

// The same bits from every compiler and instruction set; see docs/sampling.md.
TEST(ExactMathTest, CommittedBits) {
  EXPECT_EQ(ExactExp(-1.0), 0x1.78b56362cef38p-2);
  EXPECT_EQ(ExactExp(-0.3), 0x1.7b4c869c37c05p-1);
  EXPECT_EQ(ExactExp(-17.25), 0x1.14f49dbc5078cp-25);
  EXPECT_EQ(ExactLog(3.0), 0x1.193ea7aad030bp+0);
  EXPECT_EQ(ExactLog(0.7), -0x1.6d3c324e13f5p-2);
  EXPECT_EQ(ExactNegLog1m(1e-9), 0x1.12e0be84bbb51p-30);
  BitHash exps;
  BitHash logs;
  for (int i = 1; i <= 20000; ++i) {
    exps.Add(ExactExp(-0.0021 * i));
    logs.Add(ExactLog(0.00037 * i));
    logs.Add(ExactNegLog1m(0x1.9p-15 * i));
  }
  EXPECT_EQ(exps.value(), 0xd3705a2a3050387cu);
  EXPECT_EQ(logs.value(), 0xb870879469f1cb20u);
}

}  // namespace
}  // namespace foretoken
