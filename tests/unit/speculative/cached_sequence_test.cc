#include "speculative/cached_sequence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/macros.h"
#include "unit/speculative/session_fixture.h"

namespace foretoken {
namespace {

using Rows = std::vector<std::vector<float>>;

// One forward over what is missing of `tokens` and over `ahead`: the row after the last of
// `tokens`, and one after each of `ahead`.
Result<Rows> Advance(CachedSequence& sequence, const Tokens& tokens, const Tokens& ahead = {}) {
  const int32_t missing = sequence.Align(tokens);
  Tokens run(tokens.end() - missing, tokens.end());
  run.insert(run.end(), ahead.begin(), ahead.end());
  std::vector<BatchRow> rows;
  FORETOKEN_RETURN_IF_ERROR(sequence.Stage(run, static_cast<int32_t>(ahead.size()) + 1, rows));
  auto logits = sequence.pool().backend().Decode(rows);
  if (!logits.ok()) {
    sequence.Abandon();
    return logits.status();
  }
  sequence.Commit();
  Rows result;
  for (int32_t i = 0; i < logits->size(); ++i) result.push_back(Copy((*logits)[i]));
  return result;
}

// Makes the sequence hold exactly `tokens`.
void Fill(CachedSequence& sequence, const Tokens& tokens) {
  if (tokens.empty()) return;
  ASSERT_TRUE(Advance(sequence, tokens).ok());
}

// What is cached, what is reserved and what the back end holds are the same.
void ExpectCells(const FakeSetup& setup, int32_t cells) {
  EXPECT_EQ(setup.pool->used_cells(), cells);
  EXPECT_EQ(setup.control->cells_in_use, cells);
}

TEST(CachedSequenceTest, RunsWhatIsMissingAndNothingElse) {
  FakeSetup setup;
  CachedSequence sequence(*setup.pool);
  ASSERT_TRUE(Advance(sequence, {1, 2, 3}).ok());
  EXPECT_EQ(setup.control->rows, 3);
  // The drafts 5 and 6 are run once; 5 was accepted, 6 was not.
  const auto drafted = Advance(sequence, {1, 2, 3, 4}, {5, 6});
  ASSERT_TRUE(drafted.ok());
  EXPECT_EQ(setup.control->rows, 6);
  EXPECT_EQ(*drafted, (Rows{RowAfter(setup.options, Tokens{1, 2, 3, 4}),
                            RowAfter(setup.options, Tokens{1, 2, 3, 4, 5}),
                            RowAfter(setup.options, Tokens{1, 2, 3, 4, 5, 6})}));
  const auto after = Advance(sequence, {1, 2, 3, 4, 5, 7});
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(setup.control->rows, 7);
  EXPECT_EQ(*after, (Rows{RowAfter(setup.options, Tokens{1, 2, 3, 4, 5, 7})}));
  ExpectCells(setup, 6);
}

TEST(CachedSequenceTest, StagedRowsContinueTheCacheAndTheLastOfThemWantLogits) {
  FakeSetup setup;
  CachedSequence other(*setup.pool);
  Fill(other, {9});
  CachedSequence sequence(*setup.pool);
  EXPECT_EQ(sequence.sequence(), nullptr);
  Fill(sequence, {1, 2});
  std::vector<BatchRow> rows(1);  // somebody else's
  ASSERT_TRUE(sequence.Stage(Tokens{3, 4, 5}, 2, rows).ok());
  ASSERT_EQ(rows.size(), 4u);
  for (int32_t i = 0; i < 3; ++i) {
    const BatchRow& row = rows[static_cast<size_t>(i) + 1];
    EXPECT_EQ(row.token, 3 + i);
    EXPECT_EQ(row.position, 2 + i);
    EXPECT_EQ(row.sequences, std::vector<SequenceId>{sequence.sequence()->id()});
    EXPECT_EQ(row.wants_logits, i > 0);
  }
  // Reserved, and cached only when they ran.
  EXPECT_EQ(setup.pool->used_cells(), 1 + 2 + 3);
  EXPECT_EQ(sequence.cached_tokens(), 2);
  ASSERT_TRUE(setup.backend->Decode(std::span(rows).subspan(1)).ok());
  sequence.Commit();
  EXPECT_EQ(sequence.cached_tokens(), 5);
  EXPECT_TRUE(std::ranges::equal(sequence.tokens(), Tokens{1, 2, 3, 4, 5}));
  ExpectCells(setup, 6);
}

// All sequences of up to four tokens of two kinds.
std::vector<Tokens> ShortSequences() {
  std::vector<Tokens> all = {{}};
  for (size_t i = 0; all[i].size() < 4; ++i) {
    for (const TokenId token : {1, 2}) {
      all.push_back(all[i]);
      all.back().push_back(token);
    }
  }
  return all;
}

TEST(CachedSequenceTest, AligningKeepsTheCommonBeginningButForTheLastToken) {
  for (const bool can_truncate : {true, false}) {
    FakeSetup setup({.can_truncate = can_truncate});
    for (const Tokens& cached : ShortSequences()) {
      for (const Tokens& tokens : ShortSequences()) {
        if (tokens.empty()) continue;
        CachedSequence sequence(*setup.pool);
        Fill(sequence, cached);
        size_t common = 0;
        while (common < std::min(cached.size(), tokens.size() - 1) &&
               cached[common] == tokens[common]) {
          ++common;
        }
        // A memory that cannot be cut keeps all or nothing.
        const size_t kept = can_truncate || common == cached.size() ? common : 0;
        ASSERT_EQ(sequence.Align(tokens), static_cast<int32_t>(tokens.size() - kept));
        ASSERT_TRUE(std::ranges::equal(sequence.tokens(), std::span(tokens).first(kept)));
        ExpectCells(setup, static_cast<int32_t>(kept));
        ASSERT_EQ((*Advance(sequence, tokens))[0], RowAfter(setup.options, tokens));
      }
    }
  }
}

TEST(CachedSequenceTest, TruncatingGivesTheCellsBack) {
  FakeSetup setup;
  CachedSequence sequence(*setup.pool);
  const Tokens tokens = {1, 2, 3, 4};
  for (int32_t length = 0; length <= 6; ++length) {
    Fill(sequence, tokens);
    sequence.Truncate(length);
    const int32_t kept = std::min(length, 4);
    EXPECT_EQ(sequence.cached_tokens(), kept);
    EXPECT_TRUE(
        std::ranges::equal(sequence.tokens(), std::span(tokens).first(static_cast<size_t>(kept))));
    ExpectCells(setup, kept);
  }
  CachedSequence unused(*setup.pool);
  unused.Truncate(0);
  EXPECT_EQ(unused.sequence(), nullptr);
}

TEST(CachedSequenceTest, TruncatingAMemoryThatCannotBeCutGivesItUp) {
  FakeSetup setup({.can_truncate = false});
  CachedSequence sequence(*setup.pool);
  Fill(sequence, {1, 2, 3});
  sequence.Truncate(3);
  ExpectCells(setup, 3);
  sequence.Truncate(2);
  EXPECT_EQ(sequence.cached_tokens(), 0);
  ExpectCells(setup, 0);
}

TEST(CachedSequenceTest, AFailureLeavesTheCacheAsItWas) {
  for (const bool leaves_rows : {true, false}) {
    FakeSetup setup;
    setup.control->failed_decode_leaves_rows = leaves_rows;
    setup.control->before_decode = [](int64_t decode, std::span<const BatchRow>) {
      return decode == 1 ? InternalError("injected") : OkStatus();
    };
    CachedSequence sequence(*setup.pool);
    ASSERT_TRUE(Advance(sequence, {1, 2}).ok());
    const Tokens longer = {1, 2, 3};
    EXPECT_EQ(Advance(sequence, longer, {9, 9}).status(), InternalError("injected"));
    EXPECT_TRUE(std::ranges::equal(sequence.tokens(), Tokens{1, 2}));
    ExpectCells(setup, 2);
    const auto retried = Advance(sequence, longer);
    ASSERT_TRUE(retried.ok());
    EXPECT_EQ(setup.control->rows, 2 + 1);
    EXPECT_EQ((*retried)[0], RowAfter(setup.options, longer));
  }
}

TEST(CachedSequenceTest, AMemoryThatCannotBeCutIsRebuilt) {
  FakeSetup setup({.can_truncate = false});
  setup.control->before_decode = [](int64_t decode, std::span<const BatchRow>) {
    return decode == 1 ? InternalError("injected") : OkStatus();
  };
  CachedSequence sequence(*setup.pool);
  ASSERT_TRUE(Advance(sequence, {1, 2}).ok());
  const Tokens longer = {1, 2, 3};
  EXPECT_FALSE(Advance(sequence, longer).ok());
  ExpectCells(setup, 0);
  EXPECT_EQ(setup.pool->used(), 0);
  const auto rebuilt = Advance(sequence, longer);
  ASSERT_TRUE(rebuilt.ok());
  EXPECT_EQ((*rebuilt)[0], RowAfter(setup.options, longer));
  ExpectCells(setup, 3);
}

TEST(CachedSequenceTest, WithoutCellsOrIdsNothingIsStaged) {
  FakeSetup setup({.context_tokens = 4}, {.kv_cache_tokens = 5, .max_sequences = 2});
  CachedSequence first(*setup.pool);
  CachedSequence second(*setup.pool);
  Fill(first, {1, 2, 3});
  Fill(second, {1});
  std::vector<BatchRow> rows;
  EXPECT_EQ(second.Stage(Tokens{2, 3}, 1, rows).code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(rows.empty());
  ExpectCells(setup, 4);
  EXPECT_EQ(second.cached_tokens(), 1);
  // What is there can still be had.
  EXPECT_TRUE(Advance(second, {1, 2}).ok());
  CachedSequence third(*setup.pool);
  EXPECT_EQ(third.Stage(Tokens{2}, 1, rows).code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(rows.empty());
  EXPECT_EQ(third.sequence(), nullptr);
}

TEST(CachedSequenceTest, AForkIsTakenOverAndSharesItsCells) {
  FakeSetup setup;
  CachedSequence first(*setup.pool);
  Fill(first, {1, 2, 3, 4});
  CachedSequence second(*setup.pool);
  Fill(second, {7, 7});
  // What it held before goes back.
  second.Adopt(first.sequence()->Fork(3).value(), Tokens{1, 2, 3});
  ExpectCells(setup, 4);
  EXPECT_EQ(setup.pool->used(), 2);
  EXPECT_EQ(second.cached_tokens(), 3);
  const Tokens other = {1, 2, 3, 5, 6};
  EXPECT_EQ((*Advance(second, other))[0], RowAfter(setup.options, other));
  EXPECT_EQ(setup.control->rows, 4 + 2 + 2);
  ExpectCells(setup, 6);
  EXPECT_EQ((*Advance(first, {1, 2, 3, 4, 5}))[0], RowAfter(setup.options, Tokens{1, 2, 3, 4, 5}));
}

TEST(CachedSequenceTest, ReleasingGivesTheSequenceAwayOrBack) {
  FakeSetup setup;
  CachedSequence first(*setup.pool);
  Fill(first, {1, 2, 3});
  {
    Sequence taken = first.Release();
    EXPECT_EQ(first.sequence(), nullptr);
    EXPECT_EQ(first.cached_tokens(), 0);
    EXPECT_TRUE(taken.valid());
    ExpectCells(setup, 3);
    // It goes on as if nothing had been.
    EXPECT_EQ((*Advance(first, {1, 2}))[0], RowAfter(setup.options, Tokens{1, 2}));
    ExpectCells(setup, 5);
    EXPECT_EQ(setup.pool->used(), 2);
  }
  ExpectCells(setup, 2);
  first.Release();
  ExpectCells(setup, 0);
  EXPECT_EQ(setup.pool->used(), 0);
  EXPECT_FALSE(first.Release().valid());
}

TEST(CachedSequenceTest, DroppingItFreesTheCells) {
  FakeSetup setup;
  {
    CachedSequence sequence(*setup.pool);
    EXPECT_EQ(setup.pool->used(), 0);
    ASSERT_TRUE(Advance(sequence, {1}).ok());
    EXPECT_EQ(setup.pool->used(), 1);
    CachedSequence moved = std::move(sequence);
    ExpectCells(setup, 1);
  }
  EXPECT_EQ(setup.pool->used(), 0);
  ExpectCells(setup, 0);
}

}  // namespace
}  // namespace foretoken
