#include "kernels/attention_plan.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "unit/kernels/attention_cases.h"

namespace foretoken {
namespace {

using Tile = AttentionPlan::Tile;

// What a plan's row sees, in its order: position (or rank) and cell.
using Seen = std::vector<std::pair<int32_t, int32_t>>;

// Of every row, by its number; fails where a row is in two tiles.
std::map<int32_t, Seen> SeenByRow(const AttentionPlan& plan, const AttentionMask& mask) {
  std::map<int32_t, Seen> result;
  for (int32_t t = 0; t < plan.tile_count(); ++t) {
    const Tile& tile = plan.tile(t);
    EXPECT_EQ(tile.spans.front(), 0);
    EXPECT_EQ(tile.spans.back(), static_cast<int32_t>(tile.order.size()));
    for (size_t r = 0; r < tile.rows.size(); ++r) {
      EXPECT_EQ(result.count(tile.rows[r]), 0u);
      Seen& seen = result[tile.rows[r]];
      for (const int32_t block : tile.order) {
        const auto b = static_cast<size_t>(block);
        const uint64_t visible = tile.visible[b * tile.rows.size() + r];
        for (size_t lane = 0; lane < 64; ++lane) {
          if (((visible >> lane) & 1) == 0) continue;
          const int32_t cell = tile.cells[b * 64 + lane];
          const int32_t position = mask.positions == nullptr ? cell : mask.positions[cell];
          EXPECT_EQ(position % 64, static_cast<int32_t>(lane));
          seen.emplace_back(position, cell);
        }
      }
    }
  }
  return result;
}

void ExpectSeesItsCells(const AttentionPlan& plan, const AttentionMask& mask) {
  const auto seen = SeenByRow(plan, mask);
  ASSERT_EQ(seen.size(), static_cast<size_t>(mask.rows));
  for (const auto& [row, got] : seen) {
    Seen wanted;
    for (int32_t c = 0; c < mask.cells; ++c) {
      if (mask.mask[row * mask.cells + c] == 0xfc00) continue;
      wanted.emplace_back(mask.positions == nullptr ? c : mask.positions[c], c);
    }
    std::sort(wanted.begin(), wanted.end());
    ASSERT_EQ(got, wanted) << row;
  }
}

void ExpectSpansAreOfPositions(const AttentionPlan& plan, const AttentionMask& mask) {
  for (int32_t t = 0; t < plan.tile_count(); ++t) {
    const Tile& tile = plan.tile(t);
    std::set<int32_t> before;
    for (int32_t s = 0; s < tile.span_count(); ++s) {
      std::set<int32_t> spans;
      for (int32_t i = tile.spans[static_cast<size_t>(s)];
           i < tile.spans[static_cast<size_t>(s) + 1]; ++i) {
        const auto* cells = tile.cells.data() + tile.order[static_cast<size_t>(i)] * 64;
        bool seen = false;
        for (int lane = 0; lane < 64; ++lane) {
          if (cells[lane] < 0) continue;
          seen = true;
          spans.insert(mask.positions[cells[lane]] / kAttentionSpan);
        }
        ASSERT_TRUE(seen);
      }
      ASSERT_EQ(spans.size(), 1u);
      ASSERT_TRUE(before.empty() || *before.rbegin() < *spans.begin());
      before.insert(*spans.begin());
    }
  }
}

void ExpectEqualPlans(const AttentionPlan& a, const AttentionPlan& b) {
  ASSERT_EQ(a.tile_count(), b.tile_count());
  for (int32_t t = 0; t < a.tile_count(); ++t) {
    ASSERT_EQ(a.tile(t).rows, b.tile(t).rows);
    ASSERT_EQ(a.tile(t).add_mask, b.tile(t).add_mask);
    ASSERT_EQ(a.tile(t).cells, b.tile(t).cells);
    ASSERT_EQ(a.tile(t).visible, b.tile(t).visible);
    ASSERT_EQ(a.tile(t).order, b.tile(t).order);
    ASSERT_EQ(a.tile(t).spans, b.tile(t).spans);
  }
}

AttentionPlan PlanOf(const AttentionMask& mask) {
  AttentionPlan plan;
  plan.Build(mask);
  return plan;
}

TEST(AttentionPlanTest, RowsOfASequenceShareItsBlocks) {
  const AttentionCase problem(AttentionShape(), CachedSequence(600), LastRows(600, 8));
  const AttentionPlan plan = PlanOf(problem.Mask());
  ASSERT_EQ(plan.tile_count(), 1);
  EXPECT_EQ(plan.tile(0).order.size(), 10u);
  EXPECT_EQ(plan.tile(0).spans, (std::vector<int32_t>{0, 8, 10}));
  EXPECT_FALSE(plan.tile(0).add_mask);
}

TEST(AttentionPlanTest, SoDoForksAsFarAsTheyAgree) {
  std::vector<CachedToken> cache = CachedSequence(200);
  for (CachedToken& token : cache) token.sequences = 3;
  for (int32_t i = 200; i < 300; ++i) {
    cache.push_back({static_cast<uint64_t>(i), i, 1});
    cache.push_back({static_cast<uint64_t>(i), i, 2});
  }
  const AttentionCase problem(AttentionShape(), cache,
                              {{0, 299, 0}, {0, 299, 1}, {0, 298, 0}, {0, 298, 1}});
  const AttentionPlan plan = PlanOf(problem.Mask());
  ASSERT_EQ(plan.tile_count(), 1);
  // Positions up to 191 once, 192 to 299 twice.
  EXPECT_EQ(plan.tile(0).order.size(), 3u + 2 * 2);
}

TEST(AttentionPlanTest, StrangersAreInTilesOfTheirOwn) {
  std::vector<CachedToken> cache;
  for (const int32_t sequence : {0, 1, 2}) {
    for (const CachedToken& token : CachedSequence(100, sequence)) cache.push_back(token);
  }
  const AttentionCase problem(AttentionShape(), Scattered(cache, 1),
                              {{0, 99, 0}, {0, 99, 1}, {0, 98, 0}, {0, 99, 2}, {0, 98, 1}});
  const AttentionPlan plan = PlanOf(problem.Mask());
  ASSERT_EQ(plan.tile_count(), 3);
  EXPECT_EQ(plan.tile(0).rows, (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(plan.tile(1).rows, (std::vector<int32_t>{1, 4}));
  EXPECT_EQ(plan.tile(2).rows, (std::vector<int32_t>{3}));
}

TEST(AttentionPlanTest, ManyRowsAreDividedEvenly) {
  const AttentionCase problem(AttentionShape(), CachedSequence(200), LastRows(200, 130));
  AttentionMask mask = problem.Mask();
  mask.heads_per_kv_head = 6;
  const AttentionPlan plan = PlanOf(mask);
  ASSERT_EQ(plan.tile_count(), 9);  // of 96 / 6 rows at most
  for (int32_t t = 0; t < 9; ++t) {
    EXPECT_GE(plan.tile(t).row_count(), 14);
    EXPECT_LE(plan.tile(t).row_count(), 15);
  }
}

TEST(AttentionPlanTest, AWindowMovesOverTheSameBlocks) {
  AttentionShape shape;
  shape.window = 100;
  const AttentionCase problem(shape, CachedSequence(1000), LastRows(1000, 16));
  const AttentionPlan plan = PlanOf(problem.Mask());
  ASSERT_EQ(plan.tile_count(), 1);
  EXPECT_EQ(plan.tile(0).order.size(), 3u);  // positions 885 to 999
  ExpectSeesItsCells(plan, problem.Mask());
}

TEST(AttentionPlanTest, EveryRowSeesItsCellsInTheirOrder) {
  std::mt19937 random(3);
  for (int round = 0; round < 100; ++round) {
    SCOPED_TRACE(round);
    AttentionShape shape;
    shape.head_size_k = shape.head_size_v = 1;
    shape.window = round % 3 == 0 ? 1 + static_cast<int32_t>(random() % 150) : 0;
    const auto shared = static_cast<int32_t>(random() % 200);
    std::vector<CachedToken> cache;
    std::vector<AskingRow> rows;
    for (int32_t sequence = 0; sequence < 4; ++sequence) {
      const auto length = static_cast<int32_t>(1 + random() % 700);
      for (CachedToken token : CachedSequence(length, sequence)) {
        if (sequence == 3 && token.position < shared) continue;  // in the place of these: 2's
        if (sequence == 2 && token.position < shared) token.sequences |= 8;
        cache.push_back(token);
      }
      const auto count = std::min(length, static_cast<int32_t>(1 + random() % 30));
      for (const AskingRow& row : LastRows(length, count, sequence)) rows.push_back(row);
    }
    if (round % 2 == 0) std::shuffle(rows.begin(), rows.end(), random);
    const AttentionCase problem(shape, Scattered(cache, static_cast<uint32_t>(round)), rows);
    const AttentionPlan plan = PlanOf(problem.Mask());
    ASSERT_NO_FATAL_FAILURE(ExpectSeesItsCells(plan, problem.Mask()));
    ASSERT_NO_FATAL_FAILURE(ExpectSpansAreOfPositions(plan, problem.Mask()));
  }
}

TEST(AttentionPlanTest, ABlockHoldsOnlyWhatSomeoneSees) {
  // The second row's first cell goes to the first row's block, the next one's place is taken there.
  std::vector<CachedToken> cache = {{0, 40, 2}};
  for (int32_t i = 0; i < 10; ++i) cache.push_back({1, i, 1});
  for (int32_t i = 0; i < 10; ++i) cache.push_back({2, i, 2});
  cache.push_back({3, 64, 3});  // so that they are in one tile
  const AttentionCase problem(AttentionShape(), cache, {{0, 70, 0}, {0, 70, 1}});
  const AttentionPlan plan = PlanOf(problem.Mask());
  ASSERT_EQ(plan.tile_count(), 1);
  const Tile& tile = plan.tile(0);
  ASSERT_EQ(tile.order.size(), 3u);
  for (const int32_t block : tile.order) {
    for (size_t lane = 0; lane < 64; ++lane) {
      const auto b = static_cast<size_t>(block);
      const uint64_t seen = tile.visible[b * 2] | tile.visible[b * 2 + 1];
      EXPECT_EQ(tile.cells[b * 64 + lane] >= 0, ((seen >> lane) & 1) != 0);
    }
  }
  ExpectSeesItsCells(plan, problem.Mask());
}

TEST(AttentionPlanTest, RowsWithoutDistinctPositionsGoByRank) {
  std::vector<CachedToken> cache = CachedSequence(100);
  cache[7].position = 6;
  for (const int32_t odd : {-5, 1 << 24, 1 << 30}) {
    AttentionCase problem(AttentionShape(), cache, {{0, 1 << 30, 0}, {0, 5, 0}, {0, 6, 0}});
    problem.positions[20] = odd;
    problem.mask[200 + 20] = problem.mask[100 + 20] = 0xfc00;
    const AttentionPlan plan = PlanOf(problem.Mask());
    ASSERT_EQ(plan.tile_count(), 1);
    const Tile& tile = plan.tile(0);
    std::map<int32_t, std::vector<int32_t>> cells;  // by row
    for (size_t r = 0; r < 3; ++r) {
      for (const int32_t block : tile.order) {
        const auto b = static_cast<size_t>(block);
        for (size_t lane = 0; lane < 64; ++lane) {
          if (((tile.visible[b * 3 + r] >> lane) & 1) != 0) {
            cells[static_cast<int32_t>(r)].push_back(tile.cells[b * 64 + lane]);
          }
        }
      }
    }
    std::vector<int32_t> wanted(100);
    for (int32_t i = 0; i < 100; ++i) wanted[static_cast<size_t>(i)] = i;
    EXPECT_EQ(cells[1], std::vector<int32_t>(wanted.begin(), wanted.begin() + 6));
    EXPECT_EQ(cells[2], std::vector<int32_t>(wanted.begin(), wanted.begin() + 8));
    wanted.erase(wanted.begin() + 20);
    wanted.insert(odd < 0 ? wanted.begin() : wanted.end(), 20);
    EXPECT_EQ(cells[0], wanted);
  }
}

TEST(AttentionPlanTest, SeesWhetherTheMaskAdds) {
  AttentionCase problem(AttentionShape(), CachedSequence(150), LastRows(150, 2));
  problem.mask[3] = 0x8000;  // -0
  EXPECT_FALSE(PlanOf(problem.Mask()).tile(0).add_mask);
  for (const uint16_t added : {0x0001, 0x3c00, 0xbc00, 0xfbff, 0x7c00, 0x7e00, 0xfe00}) {
    for (const size_t at : {size_t{0}, size_t{149}, size_t{299}}) {
      AttentionCase other(AttentionShape(), CachedSequence(150), LastRows(150, 2));
      other.mask[at] = added;
      for (const InstructionSet set : SupportedInstructionSets()) {
        AttentionPlan plan;
        plan.Build(other.Mask(), set);
        EXPECT_TRUE(plan.tile(0).add_mask) << at << " " << added;
      }
    }
  }
}

TEST(AttentionPlanTest, ATeamBuildsTheSame) {
  AttentionShape shape;
  shape.head_size_k = shape.head_size_v = 1;
  std::vector<CachedToken> cache = CachedSequence(500, 0);
  for (const CachedToken& token : CachedSequence(300, 1)) cache.push_back(token);
  std::vector<AskingRow> rows = LastRows(500, 200, 0);
  for (const AskingRow& row : LastRows(300, 100, 1)) rows.push_back(row);
  const AttentionCase problem(shape, Scattered(cache, 2), rows);
  for (const InstructionSet set : SupportedInstructionSets()) {
    AttentionPlan wanted;
    wanted.Build(problem.Mask(), set);
    for (int32_t threads = 1; threads <= 4; ++threads) {
      ThreadTeam team(threads);
      AttentionPlan plan;
      team.Run([&](TeamMember& member) { plan.Build(problem.Mask(), member, set); });
      ASSERT_NO_FATAL_FAILURE(ExpectEqualPlans(plan, wanted));
    }
    ASSERT_NO_FATAL_FAILURE(ExpectEqualPlans(wanted, PlanOf(problem.Mask())));
  }
}

TEST(AttentionPlanTest, MayBeBuiltAgain) {
  const AttentionCase large(AttentionShape(), Scattered(CachedSequence(700), 1), LastRows(700, 90));
  const AttentionCase small(AttentionShape(), Scattered(CachedSequence(90), 2), LastRows(90, 3));
  const AttentionCase none(AttentionShape(), {}, {});
  AttentionPlan plan;
  for (const AttentionCase* problem : {&small, &large, &none, &small, &none, &large}) {
    plan.Build(problem->Mask());
    ASSERT_NO_FATAL_FAILURE(ExpectEqualPlans(plan, PlanOf(problem->Mask())));
  }
}

}  // namespace
}  // namespace foretoken
