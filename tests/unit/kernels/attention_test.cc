#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "unit/kernels/attention_cases.h"

namespace foretoken {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// The row by itself, over a cache of its own cells alone, in order.
std::vector<float> Alone(const AttentionShape& shape, const std::vector<CachedToken>& cache,
                         const AskingRow& row) {
  std::vector<CachedToken> seen;
  for (const CachedToken& token : cache) {
    const int32_t distance = row.position - token.position;
    if (((token.sequences >> row.sequence) & 1) == 0 || distance < 0) continue;
    if (shape.window == 0 || distance < shape.window) seen.push_back(token);
  }
  std::sort(seen.begin(), seen.end(),
            [](const auto& a, const auto& b) { return a.position < b.position; });
  return AttentionCase(shape, seen, {row}).Compute(1);
}

void ExpectEachAsAlone(const AttentionShape& shape, const std::vector<CachedToken>& cache,
                       const std::vector<AskingRow>& rows, int32_t threads) {
  const AttentionCase together(shape, cache, rows);
  const std::vector<float> result = together.Compute(threads);
  for (size_t r = 0; r < rows.size(); ++r) {
    SCOPED_TRACE(r);
    ASSERT_NO_FATAL_FAILURE(
        ExpectSameBits(RowsOf(result, together.row_floats(), r, 1), Alone(shape, cache, rows[r])));
  }
}

class AttentionShapeTest : public ::testing::TestWithParam<size_t> {
 protected:
  AttentionShape shape() const { return VariedShapes()[GetParam()]; }
};

TEST_P(AttentionShapeTest, IsTheTextbooks) {
  for (const int32_t length : {1, 64, 513, 1025}) {
    const AttentionCase problem(shape(), Scattered(CachedSequence(length), 1),
                                LastRows(length, std::min(length, 2)));
    const std::vector<float> got = problem.Compute(2);
    const std::vector<float> wanted = problem.Reference();
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 2e-5f) << length;
  }
}

TEST_P(AttentionShapeTest, ARowIsTheSameInAnyCompany) {
  for (const int32_t length : {1, 16, 63, 64, 65, 130, 511, 512, 513, 600}) {
    SCOPED_TRACE(length);
    std::vector<CachedToken> cache = CachedSequence(length, 0);
    for (const CachedToken& token : CachedSequence(90, 1)) cache.push_back(token);
    std::vector<AskingRow> rows = LastRows(length, std::min(length, 5), 0);
    for (const AskingRow& row : LastRows(90, 2, 1)) rows.insert(rows.begin() + 1, row);
    ASSERT_NO_FATAL_FAILURE(
        ExpectEachAsAlone(shape(), Scattered(cache, static_cast<uint32_t>(length)), rows, 2));
  }
}

TEST_P(AttentionShapeTest, ThreadsAndInstructionSetsDoNotMatter) {
  const auto cache = Scattered(CachedSequence(1100), 3);
  for (const int32_t rows : {1, 3, 40}) {
    const AttentionCase problem(shape(), cache, LastRows(1100, rows));
    const std::vector<float> wanted = problem.Compute(1);
    for (const InstructionSet set : SupportedInstructionSets()) {
      if (set == InstructionSet::kGeneric && rows > 3) continue;  // slow
      for (int32_t threads = 1; threads <= 4; ++threads) {
        ASSERT_NO_FATAL_FAILURE(ExpectSameBits(problem.Compute(threads, set), wanted))
            << InstructionSetName(set) << " " << threads << " " << rows;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionShapeTest,
                         ::testing::Range(size_t{0}, VariedShapes().size()));

TEST(AttentionTest, AnyNumberOfRowsAtATime) {
  AttentionShape shape;
  const int32_t length = 700;
  const auto cache = Scattered(CachedSequence(length), 5);
  const std::vector<AskingRow> rows = LastRows(length, 64);
  std::vector<std::vector<float>> alone;
  for (const AskingRow& row : rows) alone.push_back(Alone(shape, cache, row));
  ThreadTeam team(2);
  for (size_t n = 1; n <= rows.size(); ++n) {
    const AttentionCase problem(shape, cache,
                                {rows.begin(), rows.begin() + static_cast<ptrdiff_t>(n)});
    const std::vector<float> result = problem.Compute(team);
    for (size_t r = 0; r < n; ++r) {
      ASSERT_NO_FATAL_FAILURE(ExpectSameBits(RowsOf(result, problem.row_floats(), r, 1), alone[r]))
          << n << " " << r;
    }
  }
}

TEST(AttentionTest, AnyLengthOfCache) {
  AttentionShape shape;
  shape.heads = 2;
  shape.kv_heads = 1;
  shape.head_size_k = shape.head_size_v = 32;
  ThreadTeam team(3);
  for (int32_t length = 1; length <= 2100; length += length % 64 == 1 ? 1 : 31) {
    const auto cache = CachedSequence(length);
    const AttentionCase compact(shape, cache, LastRows(length, 1));
    const AttentionCase scattered(shape, Scattered(cache, static_cast<uint32_t>(length)),
                                  LastRows(length, 1));
    const std::vector<float> result = compact.Compute(team);
    const std::vector<float> wanted = compact.Reference();
    for (size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(result[i], wanted[i], 2e-5f) << length;
    ASSERT_NO_FATAL_FAILURE(ExpectSameBits(scattered.Compute(team), result)) << length;
  }
}

TEST(AttentionTest, ForksShareTheirBeginning) {
  // Cells that both see, then each its own at the same positions, up to different lengths.
  for (const int32_t shared : {1, 40, 64, 100, 512, 700}) {
    std::vector<CachedToken> cache;
    for (CachedToken token : CachedSequence(shared, 0)) {
      token.sequences = 7;
      cache.push_back(token);
    }
    std::vector<AskingRow> rows;
    for (const int32_t sequence : {0, 1, 2}) {
      const int32_t length = shared + 30 * sequence + 3;
      const auto own = CachedSequence(length, sequence);
      cache.insert(cache.end(), own.begin() + shared, own.end());
      for (const AskingRow& row : LastRows(length, 2, sequence)) rows.push_back(row);
    }
    ASSERT_NO_FATAL_FAILURE(ExpectEachAsAlone(AttentionShape(), Scattered(cache, 9), rows, 2))
        << shared;
  }
}

TEST(AttentionTest, AWindowNeedsOnlyItsOwnCells) {
  AttentionShape shape;
  shape.window = 600;
  const auto cache = CachedSequence(1500);
  // The cells before the first row's window are gone from one of the caches.
  const std::vector<CachedToken> recent(cache.end() - 640, cache.end());
  const std::vector<AskingRow> rows = LastRows(1500, 41);
  const std::vector<float> wanted = AttentionCase(shape, cache, rows).Compute(2);
  ExpectSameBits(AttentionCase(shape, recent, rows).Compute(3), wanted);
  ExpectEachAsAlone(shape, cache, rows, 2);
}

TEST(AttentionTest, WithoutAMaskEveryCellIsSeen) {
  AttentionShape shape;
  const auto cache = CachedSequence(200);
  const AskingRow last = LastRows(200, 1)[0];
  const AttentionCase masked(shape, cache, {last, last});
  AttentionCase unmasked(shape, cache, {last, last});
  unmasked.mask.clear();
  ExpectSameBits(unmasked.Compute(2), masked.Compute(2));
}

TEST(AttentionTest, WithoutPositionsCellsAreInOrder) {
  const AttentionCase with(AttentionShape(), CachedSequence(600), LastRows(600, 3));
  AttentionCase without(AttentionShape(), CachedSequence(600), LastRows(600, 3));
  without.positions.clear();
  ExpectSameBits(without.Compute(2), with.Compute(2));
}

TEST(AttentionTest, CellsOfOnePositionAreTakenByRank) {
  // An image's tokens share a position.
  std::vector<CachedToken> cache = CachedSequence(300);
  for (size_t i = 20; i < 150; ++i) cache[i].position = 20;
  std::vector<AskingRow> rows = LastRows(300, 3);
  rows.push_back({99, 19, 0});  // sees each position once
  const AttentionCase problem(AttentionShape(), cache, rows);
  const std::vector<float> result = problem.Compute(2);
  const std::vector<float> wanted = problem.Reference();
  for (size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(result[i], wanted[i], 2e-5f);
  // Ties go by cell, so strangers may lie among them but not their order change.
  std::vector<CachedToken> apart;
  for (const CachedToken& token : cache) {
    apart.push_back(token);
    apart.push_back({token.content + 7, 5, 256});
  }
  ExpectSameBits(AttentionCase(AttentionShape(), apart, rows).Compute(2), result);
  for (size_t r = 0; r < rows.size(); ++r) {
    const AttentionCase alone(AttentionShape(), apart, {rows[r]});
    ExpectSameBits(alone.Compute(1), RowsOf(result, alone.row_floats(), r, 1));
  }
}

TEST(AttentionTest, ARowThatSeesNothingIsZero) {
  for (const bool sinks : {false, true}) {
    AttentionShape shape;
    shape.sinks = sinks;
    std::vector<AskingRow> rows = LastRows(100, 2);
    rows.insert(rows.begin() + 1, {1, 50, 5});
    const AttentionCase problem(shape, CachedSequence(100), rows);
    const auto result = RowsOf(problem.Compute(2), problem.row_floats(), 1, 1);
    ExpectSameBits(result, std::vector<float>(problem.row_floats(), 0.0f));
    const AttentionCase empty(shape, {}, rows);
    ExpectSameBits(empty.Compute(2), std::vector<float>(3 * empty.row_floats(), 0.0f));
  }
}

TEST(AttentionTest, WhatARowDoesNotSeeCannotHurtIt) {
  // Strangers' cells, and its own sequence's later ones in the same block, hold what would spread.
  for (const float bad : {kNan, kInf, -kInf}) {
    const auto cache = Scattered(CachedSequence(140), 4);
    const std::vector<AskingRow> rows = LastRows(138, 9);
    AttentionCase problem(AttentionShape(), cache, rows);
    const std::vector<float> wanted = problem.Compute(1);
    for (size_t c = 0; c < cache.size(); ++c) {
      if (cache[c].sequences == 1 && cache[c].position < 138) continue;
      for (int32_t g = 0; g < 2; ++g) {
        for (int32_t i = 0; i < 64; ++i) {
          EncodeKv(KvType::kF16, bad, problem.KeyOf(static_cast<int32_t>(c), g), i);
          EncodeKv(KvType::kF16, bad, problem.ValueOf(static_cast<int32_t>(c), g), i);
        }
      }
    }
    for (const InstructionSet set : SupportedInstructionSets()) {
      ASSERT_NO_FATAL_FAILURE(ExpectSameBits(problem.Compute(2, set), wanted));
    }
  }
}

TEST(AttentionTest, BadNumbersSpreadAlikeEverywhere) {
  for (const float bad : {kNan, kInf, -kInf, 60000.0f}) {
    for (const bool in_key : {false, true}) {
      AttentionShape shape;
      shape.kv_heads = 1;
      AttentionCase problem(shape, CachedSequence(600), LastRows(600, 12));
      const int32_t cell = 592;  // the last seven rows see it
      EncodeKv(KvType::kF16, bad, in_key ? problem.KeyOf(cell, 0) : problem.ValueOf(cell, 0), 3);
      const std::vector<float> wanted = problem.Compute(1, InstructionSet::kGeneric);
      for (const InstructionSet set : SupportedInstructionSets()) {
        ASSERT_NO_FATAL_FAILURE(ExpectSameBits(problem.Compute(2, set), wanted));
      }
      const size_t row = problem.row_floats();
      for (size_t i = 0; i < 4 * row; ++i) ASSERT_TRUE(std::isfinite(wanted[i]));
      if (std::isnan(bad)) {
        for (size_t i = 5 * row; i < wanted.size(); ++i) {
          ASSERT_EQ(std::isnan(wanted[i]), in_key || i % 64 == 3) << i;
        }
      }
    }
  }
}

TEST(AttentionTest, AllLogitsMayBeMinusInfinity) {
  // Beside a row of two spans and without one.
  const std::vector<AskingRow> rows = {{1, 100, 0}, {2, 699, 0}};
  std::vector<std::vector<float>> results;
  for (const size_t count : {size_t{1}, size_t{2}}) {
    AttentionCase problem(AttentionShape(), CachedSequence(700),
                          {rows.begin(), rows.begin() + static_cast<ptrdiff_t>(count)});
    for (float& x : problem.queries) x = std::fabs(x) + 1;
    for (int32_t c = 0; c < 700; ++c) {
      EncodeKv(KvType::kF16, -kInf, problem.KeyOf(c, 0), 0);
      EncodeKv(KvType::kF16, kInf, problem.ValueOf(c, 0), 1);
    }
    results.push_back(RowsOf(problem.Compute(2), problem.row_floats(), 0, 1));
  }
  ExpectSameBits(results[0], results[1]);
}

TEST(AttentionTest, LogitsMayBeHuge) {
  AttentionCase problem(AttentionShape(), CachedSequence(700), LastRows(700, 3));
  for (float& x : problem.queries) x *= 3000;
  const std::vector<float> got = problem.Compute(2);
  const std::vector<float> wanted = problem.Reference();
  // Logits of 1e5 are a hundredth off; weights that matter are nearly 0 or 1.
  size_t far = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(std::isfinite(got[i]));
    far += std::fabs(got[i] - wanted[i]) > 0.05f ? 1u : 0u;
  }
  EXPECT_LT(far, got.size() / 20);
}

TEST(AttentionTest, AnyProblem) {
  std::mt19937 random(11);
  const auto below = [&random](uint32_t n) { return static_cast<int32_t>(random() % n); };
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE(round);
    AttentionShape shape = VariedShapes()[random() % VariedShapes().size()];
    shape.kv_heads = 1 + below(3);
    shape.heads = shape.kv_heads * (1 + below(9));
    shape.sinks = below(3) == 0;
    shape.window = below(3) == 0 ? 1 + below(200) : 0;
    std::vector<CachedToken> cache;
    std::vector<AskingRow> rows;
    for (int32_t sequence = 0; sequence < 1 + below(4); ++sequence) {
      const int32_t length = 1 + below(below(4) == 0 ? 1200 : 150);
      for (const CachedToken& token : CachedSequence(length, sequence)) cache.push_back(token);
      const int32_t count = std::min(length, 1 + below(20));
      for (const AskingRow& row : LastRows(length, count, sequence)) rows.push_back(row);
    }
    std::shuffle(rows.begin(), rows.end(), random);
    cache = Scattered(cache, static_cast<uint32_t>(round));
    const AttentionCase problem(shape, cache, rows);
    const std::vector<float> result = problem.Compute(1 + below(4));
    const size_t r = random() % rows.size();
    ASSERT_NO_FATAL_FAILURE(
        ExpectSameBits(RowsOf(result, problem.row_floats(), r, 1), Alone(shape, cache, rows[r])));
    const auto sets = SupportedInstructionSets();
    ASSERT_NO_FATAL_FAILURE(
        ExpectSameBits(problem.Compute(1 + below(4), sets[random() % sets.size()]), result));
  }
}

TEST(AttentionTest, SaysWhatItCanDo) {
  const AttentionCase problem(AttentionShape(), CachedSequence(1), LastRows(1, 1));
  AttentionJob job = problem.Job(nullptr);
  EXPECT_TRUE(SupportsAttention(job));
  job.head_size_v = 0;
  EXPECT_FALSE(SupportsAttention(job));
  job.head_size_v = kMaxHeadSize;
  EXPECT_TRUE(SupportsAttention(job));
  job.head_size_v = kMaxHeadSize + 1;
  EXPECT_FALSE(SupportsAttention(job));
  job.head_size_v = 80;
  EXPECT_TRUE(SupportsAttention(job));
  job.value_type = KvType::kQ8_0;
  EXPECT_FALSE(SupportsAttention(job));
  job.head_size_v = 96;
  EXPECT_TRUE(SupportsAttention(job));
  job.kv_heads = 4;
  EXPECT_FALSE(SupportsAttention(job));
}

}  // namespace
}  // namespace foretoken
