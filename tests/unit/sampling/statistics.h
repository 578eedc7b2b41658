#ifndef FORETOKEN_TESTS_UNIT_SAMPLING_STATISTICS_H_
#define FORETOKEN_TESTS_UNIT_SAMPLING_STATISTICS_H_

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace foretoken {

// Pearson's statistic as a standard normal score (Wilson and Hilferty 1931). Cells that expect
// fewer than 5 draws are pooled. Far above 0: another law; far below: too even to be random.
inline double ChiSquareScore(std::span<const int64_t> counts, std::span<const double> law) {
  int64_t draws = 0;
  for (const int64_t count : counts) draws += count;
  double statistic = 0;
  int cells = 0;
  double pooled_expected = 0;
  double pooled_count = 0;
  const auto add = [&](double count, double expected) {
    statistic += (count - expected) * (count - expected) / expected;
    ++cells;
  };
  for (size_t i = 0; i < law.size(); ++i) {
    const double expected = law[i] * static_cast<double>(draws);
    if (expected >= 5) {
      add(static_cast<double>(counts[i]), expected);
    } else {
      pooled_expected += expected;
      pooled_count += static_cast<double>(counts[i]);
    }
  }
  if (pooled_expected >= 1) add(pooled_count, pooled_expected);
  const double freedom = cells - 1;
  const double spread = 2.0 / (9.0 * freedom);
  return (std::cbrt(statistic / freedom) - (1 - spread)) / std::sqrt(spread);
}

// A bell-shaped row (the sum of four uniform variates), the same from every standard library.
inline std::vector<float> BellRow(size_t size, uint64_t seed, double sigma) {
  std::mt19937_64 random(seed);
  std::vector<float> row(size);
  for (float& logit : row) {
    double sum = -2;
    for (int i = 0; i < 4; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53;
    logit = static_cast<float>(sum * 1.7320508 * sigma);
  }
  return row;
}

// A row of few distinct values, so that ties are everywhere.
inline std::vector<float> TiedRow(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> row(size);
  for (float& logit : row) logit = static_cast<float>(static_cast<int>(random() % 7) - 3) * 0.5f;
  return row;
}

// FNV-1a over the bits of many values: equal hashes, equal bits.
class BitHash {
 public:
  void Add(uint64_t bits) {
    for (int shift = 0; shift < 64; shift += 8) {
      hash_ ^= (bits >> shift) & 0xff;
      hash_ *= 0x100000001b3;
    }
  }
  void Add(double value) { Add(std::bit_cast<uint64_t>(value)); }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace foretoken

#endif  // FORETOKEN_TESTS_UNIT_SAMPLING_STATISTICS_H_
