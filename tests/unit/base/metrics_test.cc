#include "foretoken/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace foretoken {
namespace {

// The bucket of a value, looked for from the first.
size_t BucketOf(double value) {
  size_t bucket = 0;
  while (value > Histogram::UpperBound(bucket)) ++bucket;
  return bucket;
}

Histogram HistogramOf(const std::vector<double>& values) {
  Histogram histogram;
  for (const double value : values) histogram.Add(value);
  return histogram;
}

TEST(HistogramTest, BoundsRiseEvenlyFromMicrosecondsToMinutes) {
  EXPECT_DOUBLE_EQ(Histogram::UpperBound(0), 1.0 / 128);
  for (size_t i = 1; i + 1 < Histogram::kBuckets; ++i) {
    EXPECT_NEAR(Histogram::UpperBound(i) / Histogram::UpperBound(i - 1), std::exp2(0.25), 1e-12);
  }
  EXPECT_DOUBLE_EQ(Histogram::UpperBound(Histogram::kBuckets - 2), 1 << 20);
  EXPECT_EQ(Histogram::UpperBound(Histogram::kBuckets - 1),
            std::numeric_limits<double>::infinity());
}

TEST(HistogramTest, EveryValueIsCountedOnceInItsBucket) {
  std::vector<double> values = {0, 0.001, 1e5, 1e6, 2e6, 1e300};
  for (size_t i = 0; i + 1 < Histogram::kBuckets; ++i) {
    const double bound = Histogram::UpperBound(i);
    values.insert(values.end(), {std::nextafter(bound, 0), bound, std::nextafter(bound, 1e9)});
  }
  for (const double value : values) {
    const Histogram histogram = HistogramOf({value});
    EXPECT_EQ(histogram.buckets[BucketOf(value)], 1) << value;
    EXPECT_EQ(histogram.count, 1);
    EXPECT_EQ(histogram.sum, value);
  }
}

TEST(HistogramTest, QuantilesFallIntoTheBucketOfTheExactOnes) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<double> values(static_cast<size_t>(1 + round * round));
    std::lognormal_distribution<double> distribution(round % 7, 0.1 + round % 3);
    for (double& value : values) value = distribution(random);
    const Histogram histogram = HistogramOf(values);
    std::sort(values.begin(), values.end());
    double before = 0;
    for (const double p : {0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
      const double rank = std::ceil(p * static_cast<double>(values.size()));
      const size_t bucket = BucketOf(values[static_cast<size_t>(std::max(rank, 1.0)) - 1]);
      const double quantile = histogram.Quantile(p);
      EXPECT_LE(quantile, Histogram::UpperBound(bucket));
      EXPECT_GE(quantile, bucket == 0 ? 0 : Histogram::UpperBound(bucket - 1));
      EXPECT_GE(quantile, before);
      before = quantile;
    }
  }
}

TEST(HistogramTest, QuantilesAreInterpolated) {
  Histogram histogram;
  for (int i = 0; i < 4; ++i) histogram.Add(1.0);  // in (2^-0.25, 1]
  const double lower = std::exp2(-0.25);
  EXPECT_DOUBLE_EQ(histogram.Quantile(0.5), lower + (1 - lower) * 0.5);
  EXPECT_DOUBLE_EQ(histogram.Quantile(1), 1);
  EXPECT_EQ(Histogram().Quantile(0.5), 0);
  EXPECT_DOUBLE_EQ(HistogramOf({1e9}).Quantile(0.5), 1 << 20);  // beyond the last finite bound
}

TEST(HistogramTest, MergingIsCountingTogetherInAnyOrder) {
  std::mt19937_64 random(4);
  std::uniform_int_distribution<int> whole(0, 1000);  // whole numbers add up without rounding
  std::vector<std::vector<double>> parts(3);
  std::vector<double> all;
  for (std::vector<double>& part : parts) {
    for (int i = 0; i < 200; ++i) part.push_back(whole(random));
    all.insert(all.end(), part.begin(), part.end());
  }
  const Histogram a = HistogramOf(parts[0]);
  const Histogram b = HistogramOf(parts[1]);
  const Histogram c = HistogramOf(parts[2]);
  Histogram left = a;  // (a + b) + c
  left.Merge(b);
  left.Merge(c);
  Histogram right = c;  // (c + b) + a
  right.Merge(b);
  right.Merge(a);
  const Histogram together = HistogramOf(all);
  for (const Histogram* merged : {&left, &right}) {
    EXPECT_EQ(merged->buckets, together.buckets);
    EXPECT_EQ(merged->count, together.count);
    EXPECT_EQ(merged->sum, together.sum);
  }
}

TEST(ForecastTest, KeepsBothSumsAndWhatTheyDifferBy) {
  Forecast forecast;
  forecast.Add(2, 3);
  forecast.Add(5, 1);
  EXPECT_EQ(forecast.count, 2);
  EXPECT_DOUBLE_EQ(forecast.expected, 7);
  EXPECT_DOUBLE_EQ(forecast.actual, 4);
  EXPECT_DOUBLE_EQ(forecast.absolute_error, 5);
}

TEST(TenantMetricsTest, TauIsTokensPerRound) {
  TenantMetrics metrics;
  EXPECT_EQ(metrics.tau(), 0);
  metrics.rounds = 4;
  metrics.completion_tokens = 10;
  EXPECT_DOUBLE_EQ(metrics.tau(), 2.5);
}

TEST(NoDraftReasonTest, NamesAreStable) {
  EXPECT_EQ(NoDraftReasonName(NoDraftReason::kOff), "off");
  EXPECT_EQ(NoDraftReasonName(NoDraftReason::kDoesNotPay), "does_not_pay");
}

}  // namespace
}  // namespace foretoken
