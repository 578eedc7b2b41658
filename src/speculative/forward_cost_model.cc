#include "speculative/forward_cost_model.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace foretoken {
namespace {

// A weight is a number of observations' worth. A bucket's average follows its last ones.
constexpr double kMaxWeight = 48;
// The level follows what a bucket of great weight sees at this rate, of this weight at half of it.
constexpr double kLevelRate = 0.03;
constexpr double kLevelTrustWeight = 8;
// Buckets drift apart: what is known of one not in use loses in precision with every observation of
// the others, as much as one observation is worth in 1,000.
constexpr double kDriftPerObservation = 1e-3;
// Below this weight a bucket is taken for unknown.
constexpr double kForgottenWeight = 0.05;
// What the straight line between the neighbours counts beside a bucket's own average.
constexpr double kNeighbourWeight = 1.0;
// At this weight a bucket is half certain.
constexpr double kHalfCertainWeight = 1.5;
// An observation is clamped to this times what is expected, or known to be possible.
constexpr double kClamp = 1.6;
constexpr double kKnownWeight = 3;
// Disturbances only ever make a forward slower: one this much faster than the few before it at the
// same number of rows says that those were disturbed.
constexpr double kDisturbed = 1.3;
// The first observation of a number of rows that is this much slower than expected counts less.
constexpr double kDoubtedWeight = 0.4;
// What a further row is taken to cost where no slope was measured, as a share of the average row.
constexpr double kUnseenSlope = 0.3;
// That counts as much as a slope seen over this share of the rows.
constexpr double kUnseenSpan = 0.25;
constexpr double kSlopeSpan = 1.5;
// Between two measured numbers of rows, a distance of this share from the nearer one leaves what is
// in between unknown.
constexpr double kUnknownDistance = 0.25;

}  // namespace

size_t ForwardCostModel::BucketOf(int32_t rows) {
  const auto n = static_cast<size_t>(std::max(rows, 1));
  if (n <= kExactRows) return n - 1;
  const auto octave = static_cast<size_t>(std::bit_width(n)) - 1;  // 6 or more
  const size_t within = (n >> (octave - 3)) - kBucketsPerOctave;
  return std::min(kExactRows + (octave - 6) * kBucketsPerOctave + within, kBuckets - 1);
}

double ForwardCostModel::Weight(const Bucket& bucket) const {
  if (bucket.weight <= 0) return 0;
  const auto age = static_cast<double>(observations_ - bucket.last_observation);
  return 1 / (1 / bucket.weight + age * kDriftPerObservation);
}

void ForwardCostModel::Observe(int32_t rows, double us) {
  rows = std::max(rows, 1);
  if (!std::isfinite(us)) return;
  us = std::max(us, 1.0);  // the clock's step
  ++observations_;
  Bucket& bucket = buckets_[BucketOf(rows)];
  double weight = Weight(bucket);
  if (weight < kForgottenWeight) weight = 0;
  const double expected = bucket.us * level_;
  double counted = 1;
  if (weight > 0) {
    us = std::clamp(us, expected / kClamp, expected * kClamp);
  } else if (!points_.empty()) {
    const ForwardCost bounds = Predict(rows);
    if (us > bounds.us * kDisturbed) counted = kDoubtedWeight;
    us = std::clamp(us, bounds.least_us / kClamp, std::max(bounds.most_us, bounds.us * kDisturbed));
  }
  if (weight > 0 && weight < kKnownWeight && us * kDisturbed < expected) {
    weight = 0;
  } else if (weight > 0) {
    const double trust = weight / (weight + kLevelTrustWeight);
    level_ *= 1 + kLevelRate * trust * (us / expected - 1);
  }
  bucket.weight = std::min(weight + counted, kMaxWeight);
  bucket.us += (us / level_ - bucket.us) / (weight > 0 ? bucket.weight : 1);
  bucket.rows += (rows - bucket.rows) / (weight > 0 ? bucket.weight : 1);
  bucket.last_observation = observations_;
  Rebuild();
}

void ForwardCostModel::Rebuild() {
  points_.clear();
  for (const Bucket& bucket : buckets_) {
    const double weight = Weight(bucket);
    if (weight < kForgottenWeight) continue;
    points_.push_back({bucket.rows, bucket.us * level_, 0, weight});
  }
  double before = 0;  // the point before, as measured
  for (size_t i = 0; i < points_.size(); ++i) {
    Point& point = points_[i];
    const double weight = point.certainty;
    const double measured = point.us;
    point.certainty = weight / (weight + kHalfCertainWeight);
    if (i > 0 && i + 1 < points_.size()) {
      const Point& a = points_[i - 1];
      const Point& b = points_[i + 1];
      const double line = before + (b.us - before) * (point.rows - a.rows) / (b.rows - a.rows);
      point.us += (line - point.us) * kNeighbourWeight / (weight + kNeighbourWeight);
    }
    const double fewer = i > 0 ? std::min(point.us, points_[i - 1].us) : point.us;
    point.least_us = fewer + point.certainty * (point.us - fewer);
    before = measured;
  }
  // The slope beyond the last point: over a good part of what was measured, for neighbouring points
  // say more of the noise.
  const Point& last = points_.back();
  const Point* lower = &points_.front();
  for (const Point& point : points_) {
    if (point.rows * kSlopeSpan > last.rows) break;
    lower = &point;
  }
  const double average = last.us / last.rows;
  const double span = last.rows - lower->rows;
  const double unseen_span = last.rows * kUnseenSpan;
  const double slope = span > 0 ? std::clamp((last.us - lower->us) / span, 0.0, average) : 0.0;
  slope_beyond_ = (slope * span + kUnseenSlope * average * unseen_span) / (span + unseen_span);
}

size_t ForwardCostModel::FirstPointAt(double rows) const {
  const auto point = std::lower_bound(points_.begin(), points_.end(), rows,
                                      [](const Point& p, double r) { return p.rows < r; });
  return static_cast<size_t>(point - points_.begin());
}

ForwardCost ForwardCostModel::At(double rows, size_t above) const {
  if (points_.empty()) return {};
  if (above < points_.size() && points_[above].rows == rows) {
    const Point& point = points_[above];
    return {point.us, point.least_us, point.us};
  }
  if (above == 0) {  // fewer rows than ever measured
    const Point& first = points_.front();
    const double proportional = first.us * rows / first.rows;
    return {(first.us + proportional) / 2, proportional, first.us};
  }
  const Point& a = points_[above - 1];
  if (above == points_.size()) {  // more rows than ever measured
    const double more = rows - a.rows;
    return {a.us + slope_beyond_ * more, a.us, a.us + a.us / a.rows * more};
  }
  const Point& b = points_[above];
  const double share = (rows - a.rows) / (b.rows - a.rows);
  const double us = a.us + share * (b.us - a.us);
  const double least = a.least_us + share * (b.least_us - a.least_us);
  const double distance = std::min(rows - a.rows, b.rows - rows) / rows;
  const double unknown = std::min(1.0, distance / kUnknownDistance);
  // A row is never dearer in company than alone.
  const double lowest = std::clamp(b.us / b.rows * rows, std::min(a.least_us, least), least);
  const double highest = std::clamp(a.us / a.rows * rows, us, std::max({a.us, b.us, us}));
  return {us, least + unknown * (lowest - least), us + unknown * (highest - us)};
}

ForwardCost ForwardCostModel::Predict(int32_t rows) const {
  rows = std::max(rows, 1);
  return At(rows, FirstPointAt(rows));
}

void ForwardCostModel::Predict(int32_t first_rows, std::span<ForwardCost> costs) const {
  first_rows = std::max(first_rows, 1);
  size_t above = FirstPointAt(first_rows);
  for (size_t i = 0; i < costs.size(); ++i) {
    const double rows = first_rows + static_cast<double>(i);
    while (above < points_.size() && points_[above].rows < rows) ++above;
    costs[i] = At(rows, above);
  }
}

double ForwardCostModel::Certainty(int32_t rows) const {
  const double weight = Weight(buckets_[BucketOf(rows)]);
  return weight / (weight + kHalfCertainWeight);
}

}  // namespace foretoken
