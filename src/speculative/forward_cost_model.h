#ifndef FORETOKEN_SPECULATIVE_FORWARD_COST_MODEL_H_
#define FORETOKEN_SPECULATIVE_FORWARD_COST_MODEL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace foretoken {

// What a forward is expected to take, and the bounds of that as far as it was not measured.
struct ForwardCost {
  double us = 0;
  double least_us = 0;
  double most_us = 0;
};

// T(rows) of one model, learned from the forwards that ran: an average for each number of rows (for
// a range of them above 64), times one level that all of them share. What is not about rows
// (context lengths, a busy machine) moves the level, so that an average stays good while others are
// in use. One thread at a time. A value.
class ForwardCostModel {
 public:
  // A forward over `rows` rows (1 or more) took `us`. Times far from what is expected are clamped.
  void Observe(int32_t rows, double us);

  // All 0 before the first Observe. Linear between measured numbers of rows. `least_us` takes a
  // forward that was not measured to be as cheap as one with fewer rows, `most_us` to be as dear as
  // one with more, or in proportion to its rows.
  ForwardCost Predict(int32_t rows) const;
  // Element i: over first_rows + i rows.
  void Predict(int32_t first_rows, std::span<ForwardCost> costs) const;

  // 0 (never measured) to 1 (often and not long ago).
  double Certainty(int32_t rows) const;
  bool empty() const { return points_.empty(); }

 private:
  struct Bucket {
    double rows = 0;  // the average of what was observed
    double us = 0;    // at level 1
    double weight = 0;
    int64_t last_observation = 0;
  };
  // A bucket that has something to say, its neighbours' word included.
  struct Point {
    double rows;
    double us;
    double least_us;
    double certainty;
  };

  static constexpr size_t kExactRows = 64;
  static constexpr size_t kBucketsPerOctave = 8;
  static constexpr size_t kBuckets = kExactRows + kBucketsPerOctave * 24;

  static size_t BucketOf(int32_t rows);
  double Weight(const Bucket& bucket) const;
  void Rebuild();
  // `above`: the index of the first point at `rows` or more; points_.size() if there is none.
  ForwardCost At(double rows, size_t above) const;
  size_t FirstPointAt(double rows) const;

  std::array<Bucket, kBuckets> buckets_;
  std::vector<Point> points_;  // by rows
  double slope_beyond_ = 0;    // us a row, beyond the last point
  double level_ = 1;
  int64_t observations_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_FORWARD_COST_MODEL_H_
