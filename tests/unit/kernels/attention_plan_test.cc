#include "kernels/attention_plan.h"

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "unit/kernels/attention_cases.h"

namespace foretoken {
namespace {

TEST(AttentionPlanTest, RowsOfASequenceShareItsBlocks) {
  const AttentionCase problem(AttentionShape(), CachedSequence(600), LastRows(600, 8));
  AttentionPlan plan;
  plan.Build(problem.Mask());
  ASSERT_EQ(plan.tile_count(), 1);
  const AttentionPlan::Tile& tile = plan.tile(0);
  EXPECT_EQ(tile.order.size(), 10u);
  EXPECT_EQ(tile.spans, (std::vector<int32_t>{0, 8, 10}));
  EXPECT_FALSE(tile.add_mask);
}

}  // namespace
}  // namespace foretoken
