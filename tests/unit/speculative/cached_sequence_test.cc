#include "speculative/cached_sequence.h"

#include <gtest/gtest.h>

#include <vector>

#include "unit/speculative/session_fixture.h"

namespace foretoken {
namespace {

std::vector<float> Copy(std::span<const float> row) {
  return {row.begin(), row.end()};
}

TEST(CachedSequenceTest, RunsWhatIsMissingAndNothingElse) {
  FakeSetup setup;
  CachedSequence sequence(*setup.pool);
  ASSERT_TRUE(sequence.Advance(std::vector<TokenId>{1, 2, 3}, {}).ok());
  EXPECT_EQ(setup.control->rows, 3);
  // The drafts 5 and 6 are run once; 5 was accepted, 6 was not.
  ASSERT_TRUE(sequence.Advance(std::vector<TokenId>{1, 2, 3, 4}, std::vector<TokenId>{5, 6}).ok());
  EXPECT_EQ(setup.control->rows, 6);
  const auto after = sequence.Advance(std::vector<TokenId>{1, 2, 3, 4, 5, 7}, {});
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(setup.control->rows, 7);

  FakeSetup fresh;
  CachedSequence from_scratch(*fresh.pool);
  const auto expected = from_scratch.Advance(std::vector<TokenId>{1, 2, 3, 4, 5, 7}, {});
  EXPECT_EQ(Copy((*after)[0]), Copy((*expected)[0]));
}

TEST(CachedSequenceTest, APrefillIsSplitIntoBatchesAndTheRowsWithLogitsStayTogether) {
  FakeSetup setup({.max_batch_rows = 4, .max_logits_rows = 4});
  CachedSequence sequence(*setup.pool);
  const std::vector<TokenId> tokens = {1, 2, 3, 4, 5, 6};
  const std::vector<TokenId> ahead = {7, 8, 9};
  const auto logits = sequence.Advance(tokens, ahead);
  ASSERT_TRUE(logits.ok()) << logits.status().ToString();
  EXPECT_EQ(logits->size(), 4);
  EXPECT_EQ(setup.control->decodes, 3);  // 4 + 1 rows, then the last token with the three ahead
  const auto too_many = sequence.Advance(tokens, std::vector<TokenId>{1, 2, 3, 4});
  EXPECT_EQ(too_many.status().code(), StatusCode::kInvalidArgument);
}

TEST(CachedSequenceTest, AFailureLeavesTheCacheAsItWas) {
  FakeSetup setup;
  setup.control->before_decode = [](int64_t decode, std::span<const BatchRow>) {
    return decode == 1 ? InternalError("injected") : OkStatus();
  };
  CachedSequence sequence(*setup.pool);
  ASSERT_TRUE(sequence.Advance(std::vector<TokenId>{1, 2}, {}).ok());
  const std::vector<TokenId> longer = {1, 2, 3};
  EXPECT_EQ(sequence.Advance(longer, std::vector<TokenId>{9, 9}).status(),
            InternalError("injected"));
  EXPECT_EQ(setup.control->cells_in_use, 2);
  const auto retried = sequence.Advance(longer, {});
  ASSERT_TRUE(retried.ok());
  FakeSetup fresh;
  CachedSequence from_scratch(*fresh.pool);
  EXPECT_EQ(Copy((*retried)[0]), Copy((*from_scratch.Advance(longer, {}))[0]));
}

TEST(CachedSequenceTest, AMemoryThatCannotBeCutIsRebuilt) {
  FakeSetup setup({.can_truncate = false});
  setup.control->before_decode = [](int64_t decode, std::span<const BatchRow>) {
    return decode == 1 ? InternalError("injected") : OkStatus();
  };
  CachedSequence sequence(*setup.pool);
  ASSERT_TRUE(sequence.Advance(std::vector<TokenId>{1, 2}, {}).ok());
  const std::vector<TokenId> longer = {1, 2, 3};
  EXPECT_FALSE(sequence.Advance(longer, {}).ok());
  EXPECT_EQ(setup.control->cells_in_use, 0);
  EXPECT_TRUE(sequence.Advance(longer, {}).ok());
  EXPECT_EQ(setup.control->cells_in_use, 3);
}

TEST(CachedSequenceTest, DroppingItFreesTheCells) {
  FakeSetup setup;
  {
    CachedSequence sequence(*setup.pool);
    EXPECT_EQ(sequence.Advance({}, {}).status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(setup.pool->used(), 0);
    ASSERT_TRUE(sequence.Advance(std::vector<TokenId>{1}, {}).ok());
    EXPECT_EQ(setup.pool->used(), 1);
  }
  EXPECT_EQ(setup.pool->used(), 0);
  EXPECT_EQ(setup.control->cells_in_use, 0);
}

}  // namespace
}  // namespace foretoken
