#include "foretoken/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace foretoken {

namespace {

constexpr int kBoundsPerOctave = 4;
constexpr int kFirstExponent = -7;

const std::array<double, Histogram::kBuckets>& Bounds() {
  static const auto bounds = [] {
    std::array<double, Histogram::kBuckets> result = {};
    for (size_t i = 0; i < result.size(); ++i) {
      result[i] = std::exp2(kFirstExponent + static_cast<double>(i) / kBoundsPerOctave);
    }
    result.back() = std::numeric_limits<double>::infinity();
    return result;
  }();
  return bounds;
}

}  // namespace

double Histogram::UpperBound(size_t i) {
  return Bounds()[i];
}

void Histogram::Add(double value) {
  const auto& bounds = Bounds();
  const auto bucket = std::lower_bound(bounds.begin(), bounds.end() - 1, value) - bounds.begin();
  ++buckets[static_cast<size_t>(bucket)];
  ++count;
  sum += value;
}

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) buckets[i] += other.buckets[i];
  count += other.count;
  sum += other.sum;
}

double Histogram::Quantile(double p) const {
  const double rank = p * static_cast<double>(count);
  double below = 0;  // values in the buckets before
  for (size_t i = 0; i + 1 < kBuckets; ++i) {
    const auto here = static_cast<double>(buckets[i]);
    if (here > 0 && below + here >= rank) {
      const double lower = i == 0 ? 0 : UpperBound(i - 1);
      return lower + (UpperBound(i) - lower) * std::max(0.0, rank - below) / here;
    }
    below += here;
  }
  return count == 0 ? 0 : UpperBound(kBuckets - 2);
}

void Forecast::Add(double expected_value, double actual_value) {
  ++count;
  expected += expected_value;
  actual += actual_value;
  absolute_error += std::abs(expected_value - actual_value);
}

std::string_view NoDraftReasonName(NoDraftReason reason) {
  switch (reason) {
    case NoDraftReason::kOff:
      return "off";
    case NoDraftReason::kLimit:
      return "limit";
    case NoDraftReason::kNoProposal:
      return "no_proposal";
    case NoDraftReason::kNotKnown:
      return "not_known";
    case NoDraftReason::kDoesNotPay:
      return "does_not_pay";
    case NoDraftReason::kFailing:
      return "failing";
  }
  return "unknown";
}

double TenantMetrics::tau() const {
  return rounds == 0 ? 0 : static_cast<double>(completion_tokens) / static_cast<double>(rounds);
}

}  // namespace foretoken
