#include "sampling/gumbel_noise.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "unit/sampling/statistics.h"

namespace foretoken {
namespace {

// docs/sampling.md written down once more, with the C library's logarithms in extended precision.
uint64_t ReferenceMix64(uint64_t h) {
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
  h = (h ^ (h >> 27)) * 0x94d049bb133111eb;
  return h ^ (h >> 31);
}

uint64_t ReferenceRowKey(uint64_t domain, uint64_t seed, uint64_t stream, uint64_t counter) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
  uint64_t h = ReferenceMix64(domain + kGolden);
  for (const uint64_t word : {seed, stream, counter}) h = ReferenceMix64((h ^ word) + kGolden);
  return h;
}

uint32_t ReferenceMixToken(uint32_t token, uint64_t key) {
  uint32_t h = token + static_cast<uint32_t>(key >> 32);
  h = (h ^ (h >> 17)) * 0xed5ad4bb;
  h ^= static_cast<uint32_t>(key);
  h = (h ^ (h >> 11)) * 0xac4c1b51;
  h = (h ^ (h >> 15)) * 0x31848bab;
  return h ^ (h >> 14);
}

long double ReferenceGumbel(uint64_t seed, uint64_t stream, int64_t position, TokenId token) {
  const uint64_t key =
      ReferenceRowKey(0x466f7265746f6b31, seed, stream, static_cast<uint64_t>(position));
  const uint32_t id = static_cast<uint32_t>(token);
  const uint64_t high = ReferenceMixToken(id, key);
  const uint64_t low = ReferenceMixToken(id, ReferenceMix64(key + 0x9e3779b97f4a7c15));
  const long double exact = (static_cast<long double>(high << 32 | low) + 0.5L) * 0x1p-64L;
  const double v = std::min(static_cast<double>(exact), 0x1.fffffffffffffp-1);
  return -std::log(-std::log1p(-static_cast<long double>(v)));
}

TEST(GumbelNoiseTest, FollowsItsDefinition) {
  for (const uint64_t seed : {uint64_t{0}, uint64_t{42}, ~uint64_t{0}}) {
    for (const uint64_t stream : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 63}) {
      for (const int64_t position : {int64_t{0}, int64_t{1}, int64_t{131071}}) {
        const RowNoise noise(seed, stream, position);
        for (TokenId token = 0; token < 151936; token += 997) {
          const long double truth = ReferenceGumbel(seed, stream, position, token);
          ASSERT_NEAR(noise.Gumbel(token), static_cast<double>(truth),
                      2e-15 + 2e-15 * std::fabs(static_cast<double>(truth)));
        }
      }
    }
  }
}

// The same bits from every compiler and instruction set; see docs/sampling.md.
TEST(GumbelNoiseTest, CommittedBits) {
  struct Vector {
    uint64_t seed;
    uint64_t stream;
    int64_t position;
    TokenId token;
    double gumbel;
  };
  constexpr std::array<Vector, 8> kVectors = {{
      {0, 0, 0, 0, -0x1.95f895e935ae3p-1},
      {0, 0, 0, 1, -0x1.03533021cc29dp+0},
      {0, 0, 1, 0, 0x1.1433f1f9928ebp+0},
      {0, 1, 0, 0, 0x1.eef7808a6c1d7p-4},
      {1, 0, 0, 0, 0x1.ebd1a0fd10818p+0},
      {42, 0, 100, 151935, -0x1.e3b199ea1fffap-1},
      {0xffffffffffffffff, 0x8000000000000000, 131071, 2147483647, 0x1.ae921565daf1ap+0},
      {123456789, 7, 4096, 31999, 0x1.148c4b1f28bbap+0},
  }};
  for (const Vector& v : kVectors) {
    EXPECT_EQ(RowNoise(v.seed, v.stream, v.position).Gumbel(v.token), v.gumbel)
        << v.seed << " " << v.stream << " " << v.position << " " << v.token;
  }
  BitHash gumbels;
  BitHash uniforms;
  for (int64_t position = 0; position < 20; ++position) {
    const RowNoise noise(2024, 3, position);
    for (TokenId token = 0; token < 5000; ++token) gumbels.Add(noise.Gumbel(token));
  }
  for (uint64_t counter = 0; counter < 5000; ++counter) {
    uniforms.Add(UniformNoise(2024, 3, counter));
  }
  EXPECT_EQ(gumbels.value(), 0xaea5b6fecab5f428u);
  EXPECT_EQ(uniforms.value(), 0x469b42b9525d8731u);
  EXPECT_EQ(UniformNoise(0, 0, 0), 0x1.d6947501d37cdp-1);
  EXPECT_EQ(UniformNoise(42, 1, 7), 0x1.2285fa1a1ec9ap-2);
}

TEST(GumbelNoiseTest, UpperBoundHolds) {
  float tightest = 1e9f;
  for (int64_t position = 0; position < 30; ++position) {
    const RowNoise noise(11, 0, position);
    for (TokenId token = 0; token < 20000; ++token) {
      const RowNoise::Key key = noise.high_key();
      const float bound = GumbelUpperBound(MixToken(static_cast<uint32_t>(token), key.a, key.b));
      const float gumbel = static_cast<float>(noise.Gumbel(token));
      ASSERT_GE(bound + 1e-4f, gumbel) << position << " " << token;
      if (gumbel > 3) tightest = std::min(tightest, bound - gumbel);
    }
  }
  EXPECT_LT(tightest, 0.01f);  // of use where it counts
  // The words at both ends, whose variates are -ln(2^-65) at most and about -3.6 at least.
  EXPECT_GT(GumbelUpperBound(0), 45.1f);
  EXPECT_GT(GumbelUpperBound(1), 45.1f);
  EXPECT_GT(GumbelUpperBound(2), static_cast<float>(31 * std::log(2.0) - 1e-4));
  EXPECT_GT(GumbelUpperBound(0xffffffff), -1e-4f);
}

TEST(GumbelNoiseTest, MomentsAreGumbels) {
  constexpr int kTokens = 100000;
  constexpr int kRows = 10;
  double sum = 0;
  double squares = 0;
  double cubes = 0;
  const double kMean = 0.57721566490153286;  // Euler's constant
  for (int64_t position = 0; position < kRows; ++position) {
    const RowNoise noise(5, 0, position);
    for (TokenId token = 0; token < kTokens; ++token) {
      const double d = noise.Gumbel(token) - kMean;
      sum += d;
      squares += d * d;
      cubes += d * d * d;
    }
  }
  constexpr double kDraws = double{kTokens} * kRows;
  // Standard errors: 1.28e-3, 3.5e-3 and 0.024 for a million draws; four of each are allowed.
  EXPECT_NEAR(sum / kDraws, 0, 0.0052);
  EXPECT_NEAR(squares / kDraws, 1.6449340668, 0.014);
  EXPECT_NEAR(cubes / kDraws, 2.4041138063, 0.1);
}

TEST(GumbelNoiseTest, DistributionIsGumbels) {
  constexpr size_t kCells = 200;
  std::vector<int64_t> counts(kCells);
  for (int64_t position = 0; position < 10; ++position) {
    const RowNoise noise(6, 0, position);
    for (TokenId token = 0; token < 50000; ++token) {
      const double uniform = std::exp(-std::exp(-noise.Gumbel(token)));
      ++counts[std::min(kCells - 1, static_cast<size_t>(uniform * kCells))];
    }
  }
  EXPECT_LT(std::fabs(ChiSquareScore(counts, std::vector<double>(kCells, 1.0 / kCells))), 4);
}

// Pairs of variates that differ in one coordinate by one step fill a 16 x 16 table evenly.
double PairScore(uint64_t seed_step, uint64_t stream_step, int64_t position_step,
                 TokenId token_step) {
  constexpr size_t kSide = 16;
  std::vector<int64_t> counts(kSide * kSide);
  const auto cell = [](double gumbel) {
    const double uniform = std::exp(-std::exp(-gumbel));
    return std::min(kSide - 1, static_cast<size_t>(uniform * kSide));
  };
  for (uint64_t row = 0; row < 400; ++row) {
    const int64_t position = static_cast<int64_t>(row);
    const RowNoise first(9, row % 5, position);
    const RowNoise second(9 + seed_step, row % 5 + stream_step, position + position_step);
    for (TokenId token = 0; token < 500; ++token) {
      ++counts[cell(first.Gumbel(token)) * kSide + cell(second.Gumbel(token + token_step))];
    }
  }
  return ChiSquareScore(counts, std::vector<double>(counts.size(), 1.0 / (kSide * kSide)));
}

TEST(GumbelNoiseTest, NeighboursAreIndependent) {
  EXPECT_LT(std::fabs(PairScore(0, 0, 0, 1)), 4) << "tokens";
  EXPECT_LT(std::fabs(PairScore(0, 0, 0, 256)), 4) << "tokens a block apart";
  EXPECT_LT(std::fabs(PairScore(0, 0, 1, 0)), 4) << "positions";
  EXPECT_LT(std::fabs(PairScore(0, 1, 0, 0)), 4) << "streams";
  EXPECT_LT(std::fabs(PairScore(1, 0, 0, 0)), 4) << "seeds";
  EXPECT_LT(std::fabs(PairScore(0, 0, 1, 1)), 4) << "position and token";
  EXPECT_LT(std::fabs(PairScore(1, 0, 1, 0)), 4) << "seed and position";
  EXPECT_GT(PairScore(0, 0, 0, 0), 100) << "the same variate twice must be found out";
}

TEST(GumbelNoiseTest, NeighboursDoNotCorrelate) {
  constexpr int kTokens = 200000;
  const RowNoise a(1, 0, 10);
  const RowNoise b(1, 0, 11);
  const RowNoise c(1, 1, 10);
  double positions = 0;
  double streams = 0;
  double tokens = 0;
  const auto centred = [](double gumbel) { return (gumbel - 0.5772156649) / 1.2825498302; };
  for (TokenId token = 0; token < kTokens; ++token) {
    const double value = centred(a.Gumbel(token));
    positions += value * centred(b.Gumbel(token));
    streams += value * centred(c.Gumbel(token));
    tokens += value * centred(a.Gumbel(token + 1));
  }
  const double limit = 4 * std::sqrt(double{kTokens});
  EXPECT_LT(std::fabs(positions), limit);
  EXPECT_LT(std::fabs(streams), limit);
  EXPECT_LT(std::fabs(tokens), limit);
}

TEST(UniformNoiseTest, IsUniformAndApartFromTheGumbels) {
  constexpr size_t kSide = 20;
  std::vector<int64_t> singles(kSide * kSide);
  std::vector<int64_t> pairs(kSide * kSide);
  std::vector<int64_t> with_gumbel(kSide * kSide);
  for (uint64_t counter = 0; counter < 200000; ++counter) {
    const double u = UniformNoise(3, 1, counter);
    ASSERT_GT(u, 0);
    ASSERT_LT(u, 1);
    const auto cell = [](double uniform) { return static_cast<size_t>(uniform * kSide); };
    const double g = RowNoise(3, 1, static_cast<int64_t>(counter)).Gumbel(0);
    ++singles[static_cast<size_t>(u * kSide * kSide)];
    ++pairs[cell(u) * kSide + cell(UniformNoise(3, 1, counter + 1))];
    ++with_gumbel[cell(u) * kSide + cell(std::exp(-std::exp(-g)))];
  }
  const std::vector<double> even(kSide * kSide, 1.0 / (kSide * kSide));
  EXPECT_LT(std::fabs(ChiSquareScore(singles, even)), 4);
  EXPECT_LT(std::fabs(ChiSquareScore(pairs, even)), 4);
  EXPECT_LT(std::fabs(ChiSquareScore(with_gumbel, even)), 4);
}

}  // namespace
}  // namespace foretoken
