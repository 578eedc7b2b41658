#include "bench_load_ceiling.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

// `accepted` of 100 drafts at each position.
SpeculationStats Seen(std::vector<int64_t> accepted, DraftSourceKind source) {
  SpeculationStats stats;
  for (const int64_t count : accepted) {
    stats.by_position.push_back({.drafted = 100, .accepted = count});
    stats.drafted += 100;
  }
  stats.by_source[source].drafted = stats.drafted;
  return stats;
}

TEST(BenchLoadCeilingTest, LooksUpRowsOfEveryLength) {
  EXPECT_EQ(CeilingRows(std::array{1, 4}, 2), (std::set<int32_t>{1, 2, 3, 4, 8, 12}));
  EXPECT_EQ(CeilingRows(std::array{200}, 8), (std::set<int32_t>{200, 400})) << "512 at most";
}

TEST(BenchLoadCeilingTest, TakesTheBestLength) {
  const MeasuredForwards costs = {.target_ms = {{2, 10}, {4, 12}, {6, 20}},
                                  .draft_ms = {{1, 100}, {2, 2}}};
  const SpeculationStats seen = Seen({80, 60}, DraftSourceKind::kDraftModel);
  const SpeculationCeiling ceiling = CeilingAt(2, costs, seen);
  // One: 1.8 * 10 / (12 + 2); two: 2.4 * 10 / (20 + 4).
  EXPECT_EQ(ceiling.draft_tokens, 1);
  EXPECT_DOUBLE_EQ(ceiling.ratio, 18.0 / 14);

  const SpeculationCeiling free = CeilingAt(2, costs, Seen({80, 60}, DraftSourceKind::kSuffix));
  EXPECT_DOUBLE_EQ(free.ratio, 18.0 / 12) << "no model drafted";
}

TEST(BenchLoadCeilingTest, HalfOfTheDraftsCostHalf) {
  const MeasuredForwards costs = {.target_ms = {{1, 10}, {2, 10}}, .draft_ms = {{1, 4}}};
  SpeculationStats seen = Seen({100}, DraftSourceKind::kDraftModel);
  seen.by_source[DraftSourceKind::kDraftModel].drafted = 50;
  EXPECT_DOUBLE_EQ(CeilingAt(1, costs, seen).ratio, 20.0 / 12);
}

TEST(BenchLoadCeilingTest, IsOneWhereNothingPaysOrNothingIsKnown) {
  const MeasuredForwards costs = {.target_ms = {{1, 10}, {2, 30}}, .draft_ms = {}};
  EXPECT_EQ(CeilingAt(1, costs, Seen({100}, DraftSourceKind::kSuffix)).draft_tokens, 0);
  EXPECT_EQ(CeilingAt(1, costs, Seen({100}, DraftSourceKind::kSuffix)).ratio, 1);
  EXPECT_EQ(CeilingAt(1, costs, SpeculationStats()).ratio, 1);
  EXPECT_EQ(CeilingAt(3, costs, Seen({100}, DraftSourceKind::kSuffix)).ratio, 1);
}

TEST(BenchLoadCeilingTest, TimesEachRowCountInTurns) {
  FakeModelOptions options;
  options.context_tokens = 1024;
  options.max_batch_rows = 512;
  options.max_logits_rows = 512;
  const auto control = std::make_shared<FakeControl>();
  std::vector<size_t> forwards;
  control->before_decode = [&](int64_t, std::span<const BatchRow> rows) {
    forwards.push_back(rows.size());
    return OkStatus();
  };
  const auto times = MeasureForwards(*NewFakeModel(options, control), {1, 7, 300}, 1);
  ASSERT_TRUE(times.ok()) << times.status().message();
  ASSERT_EQ(times->size(), 3u);
  for (const auto& [rows, ms] : *times) EXPECT_GT(ms, 0) << rows;
  ASSERT_EQ(forwards.size(), 16u);
  for (size_t i = 1; i < forwards.size(); i += 3) {
    EXPECT_EQ(forwards[i], 1u);
    EXPECT_EQ(forwards[i + 2], 300u);
  }
  EXPECT_EQ(control->cells_in_use, 0);

  options.can_truncate = false;
  EXPECT_EQ(MeasureForwards(*NewFakeModel(options), {1}, 1).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_TRUE(MeasureForwards(*NewFakeModel(options), {}, 1)->empty());
}

}  // namespace
}  // namespace foretoken
