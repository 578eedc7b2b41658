#include "model/sequence_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

using Tokens = std::vector<TokenId>;

class SequencePoolTest : public testing::Test {
 protected:
  explicit SequencePoolTest(const FakeModelOptions& options = {}) {
    control_ = std::make_shared<FakeControl>();
    model_ = NewFakeModel(options, control_);
    backend_ = model_->NewBackend({.kv_cache_tokens = 64, .max_sequences = 3}).value();
    pool_ = std::make_unique<SequencePool>(*backend_);
  }
  // What a test took it must have given back.
  ~SequencePoolTest() override {
    EXPECT_EQ(pool_->used(), 0);
    EXPECT_EQ(pool_->free_ids(), 3);
    EXPECT_EQ(pool_->used_cells(), 0);
    EXPECT_EQ(control_->cells_in_use, 0);
  }

  // Runs tokens after those that the sequence has; the row of logits after the last.
  Result<std::vector<float>> Run(Sequence& sequence, const Tokens& tokens) {
    std::vector<BatchRow> rows;
    for (const TokenId token : tokens) {
      rows.push_back({.token = token,
                      .position = sequence.length() + static_cast<int32_t>(rows.size()),
                      .sequences = {sequence.id()},
                      .wants_logits = rows.size() + 1 == tokens.size()});
    }
    const Status grown = sequence.Grow(static_cast<int32_t>(tokens.size()));
    if (!grown.ok()) return grown;
    const auto logits = backend_->Decode(rows);
    if (!logits.ok()) return logits.status();
    return std::vector<float>((*logits)[0].begin(), (*logits)[0].end());
  }

  Sequence NewSequence(const Tokens& tokens) {
    Sequence sequence = pool_->Acquire().value();
    EXPECT_TRUE(Run(sequence, tokens).ok());
    return sequence;
  }

  // The row after `tokens`, which nobody shares.
  std::vector<float> RowAfter(const Tokens& tokens) {
    Sequence sequence = pool_->Acquire().value();
    return Run(sequence, tokens).value();
  }

  void FailCalls(FakeCall failing) {
    control_->before_call = [failing](FakeCall call) {
      return call == failing ? InternalError("injected") : OkStatus();
    };
  }

  // What is promised is what is in use.
  void ExpectCells(int32_t cells) {
    EXPECT_EQ(pool_->used_cells(), cells);
    EXPECT_EQ(pool_->free_cells(), 64 - cells);
    EXPECT_EQ(control_->cells_in_use, cells);
  }

  std::shared_ptr<FakeControl> control_;
  std::shared_ptr<LoadedModel> model_;
  std::unique_ptr<ModelBackend> backend_;
  std::unique_ptr<SequencePool> pool_;
};

class RecurrentSequencePoolTest : public SequencePoolTest {
 protected:
  RecurrentSequencePoolTest() : SequencePoolTest({.can_truncate = false}) {}
};

TEST_F(SequencePoolTest, HandsOutEachIdOnceAndTakesItBack) {
  auto first = pool_->Acquire();
  auto second = pool_->Acquire();
  auto third = pool_->Acquire();
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  EXPECT_NE(first->id(), second->id());
  EXPECT_NE(first->id(), third->id());
  EXPECT_NE(second->id(), third->id());
  EXPECT_EQ(pool_->free_ids(), 0);
  EXPECT_EQ(pool_->Acquire().status().code(), StatusCode::kResourceExhausted);
  const SequenceId freed = first->id();
  first->Reset();
  EXPECT_FALSE(first->valid());
  EXPECT_EQ(pool_->free_ids(), 1);
  auto again = pool_->Acquire();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->id(), freed);
  EXPECT_EQ(pool_->used(), 3);
}

TEST_F(SequencePoolTest, DroppingASequenceFreesItsCells) {
  {
    Sequence sequence = NewSequence({1});
    ExpectCells(1);
    Sequence moved = std::move(sequence);
    EXPECT_TRUE(moved.valid());
    EXPECT_FALSE(sequence.valid());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(moved.length(), 1);
    ExpectCells(1);
    Sequence other = NewSequence({2, 3});
    ExpectCells(3);
    other = std::move(moved);
    ExpectCells(1);
    EXPECT_EQ(pool_->used(), 1);
  }
  ExpectCells(0);
  EXPECT_EQ(pool_->used(), 0);
  Sequence none;
  none.Reset();
  EXPECT_FALSE(none.valid());
}

TEST_F(SequencePoolTest, CellsAreReservedBeforeTheyAreUsedAndNoMoreThanThereAre) {
  Sequence first = pool_->Acquire().value();
  Sequence second = pool_->Acquire().value();
  ASSERT_TRUE(first.Grow(40).ok());
  EXPECT_EQ(first.length(), 40);
  EXPECT_EQ(first.exclusive_cells(), 40);
  EXPECT_EQ(second.Grow(25).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(second.length(), 0);
  EXPECT_EQ(second.Grow(-1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(pool_->used_cells(), 40);
  EXPECT_TRUE(second.Grow(24).ok());
  EXPECT_EQ(pool_->free_cells(), 0);
  // Not decoded: the back end holds nothing yet.
  EXPECT_EQ(control_->cells_in_use, 0);
  ASSERT_TRUE(first.Truncate(30).ok());
  EXPECT_EQ(pool_->free_cells(), 10);
  EXPECT_TRUE(second.Grow(10).ok());
}

TEST_F(SequencePoolTest, TruncatingGivesCellsBackAndKeepsTheRest) {
  Sequence sequence = NewSequence({1, 2, 3, 4});
  ASSERT_TRUE(sequence.Truncate(6).ok());
  ExpectCells(4);
  ASSERT_TRUE(sequence.Truncate(2).ok());
  ExpectCells(2);
  EXPECT_EQ(*Run(sequence, {5}), RowAfter({1, 2, 5}));
  EXPECT_FALSE(sequence.Truncate(-1).ok());
  ExpectCells(3);
  ASSERT_TRUE(sequence.Truncate(0).ok());
  ExpectCells(0);
}

TEST_F(SequencePoolTest, AForkSharesCells) {
  Sequence first = NewSequence({1, 2, 3, 4});
  Sequence second = first.Fork(3).value();
  EXPECT_EQ(second.length(), 3);
  EXPECT_NE(second.id(), first.id());
  ExpectCells(4);
  EXPECT_EQ(first.exclusive_cells(), 1);
  EXPECT_EQ(second.exclusive_cells(), 0);
  EXPECT_EQ(*Run(second, {9, 8}), RowAfter({1, 2, 3, 9, 8}));
  ExpectCells(6);
  EXPECT_EQ(second.exclusive_cells(), 2);
  // Dropping both frees what only they share.
  const Sequence* one[] = {&first};
  const Sequence* both[] = {&first, &second};
  EXPECT_EQ(pool_->CellsExclusiveTo(one), 1);
  EXPECT_EQ(pool_->CellsExclusiveTo(both), 6);
  EXPECT_EQ(pool_->CellsExclusiveTo({}), 0);
  first.Reset();
  ExpectCells(5);
  EXPECT_EQ(second.exclusive_cells(), 5);
  EXPECT_EQ(*Run(second, {7}), RowAfter({1, 2, 3, 9, 8, 7}));
}

TEST_F(SequencePoolTest, AForkThatFailsTakesNothing) {
  Sequence first = NewSequence({1, 2});
  EXPECT_EQ(first.Fork(3).status().code(), StatusCode::kInvalidArgument);
  FailCalls(FakeCall::kFork);
  EXPECT_EQ(first.Fork(2).status(), InternalError("injected"));
  EXPECT_EQ(pool_->used(), 1);
  ExpectCells(2);
  control_->before_call = nullptr;
  const Sequence second = first.Fork(2).value();
  const Sequence third = first.Fork(0).value();
  EXPECT_EQ(third.length(), 0);
  EXPECT_EQ(first.Fork(1).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(pool_->used(), 3);
  ExpectCells(2);
}

TEST_F(SequencePoolTest, ASavedSequenceComesBackInCellsOfItsOwn) {
  Sequence first = NewSequence({1, 2, 3});
  Sequence fork = first.Fork(3).value();
  const auto state = fork.Save();
  ASSERT_TRUE(state.ok());
  fork.Reset();
  Sequence restored = pool_->Acquire().value();
  ASSERT_TRUE(restored.Restore(*state, 3).ok());
  EXPECT_EQ(restored.length(), 3);
  EXPECT_EQ(restored.exclusive_cells(), 3);
  ExpectCells(6);
  EXPECT_EQ(*Run(restored, {4}), RowAfter({1, 2, 3, 4}));
}

TEST_F(SequencePoolTest, ARestoreThatFailsHoldsNothing) {
  Sequence first = NewSequence({1, 2, 3});
  EXPECT_FALSE(pool_->Acquire()->Save().ok());
  FailCalls(FakeCall::kSaveSequence);
  EXPECT_EQ(first.Save().status(), InternalError("injected"));
  FailCalls(FakeCall::kRestoreSequence);
  const std::vector<uint8_t> state = first.Save().value();
  Sequence second = pool_->Acquire().value();
  EXPECT_EQ(second.Restore(state, 3), InternalError("injected"));
  EXPECT_EQ(second.length(), 0);
  ExpectCells(3);
  control_->before_call = nullptr;
  std::vector<uint8_t> corrupt = state;
  corrupt[9] ^= 1;
  EXPECT_EQ(second.Restore(corrupt, 3).code(), StatusCode::kDataLoss);
  EXPECT_EQ(second.length(), 0);
  ExpectCells(3);
  // Without room it does not come to the back end at all.
  ASSERT_TRUE(first.Grow(59).ok());
  EXPECT_EQ(second.Restore(state, 3).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(second.length(), 0);
  EXPECT_EQ(control_->restores, 0);
  ASSERT_TRUE(first.Truncate(2).ok());
  ASSERT_TRUE(second.Restore(state, 3).ok());
  ExpectCells(5);
}

TEST_F(RecurrentSequencePoolTest, AMemoryThatCannotBeCutKeepsItsCellsUntilItIsEmptied) {
  Sequence sequence = NewSequence({1, 2, 3});
  EXPECT_EQ(sequence.Truncate(2).code(), StatusCode::kUnimplemented);
  EXPECT_EQ(sequence.length(), 3);
  ExpectCells(3);
  EXPECT_EQ(sequence.Fork(2).status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(pool_->used(), 1);
  EXPECT_EQ(sequence.Fork(3)->length(), 3);
  ASSERT_TRUE(sequence.Truncate(0).ok());
  ExpectCells(0);
}

// A back end that cannot empty its sequences.
class StuckBackend : public ModelBackend {
 public:
  explicit StuckBackend(ModelBackend& backend) : backend_(backend) {}
  const BackendDescription& description() const override { return backend_.description(); }
  Result<LogitsRows> Decode(std::span<const BatchRow> rows) override {
    return backend_.Decode(rows);
  }
  Status Truncate(SequenceId, int32_t) override { return InternalError("stuck"); }
  Status Fork(SequenceId source, SequenceId target, int32_t length) override {
    return backend_.Fork(source, target, length);
  }
  Result<std::vector<uint8_t>> SaveSequence(SequenceId sequence) override {
    return backend_.SaveSequence(sequence);
  }
  Status RestoreSequence(SequenceId target, std::span<const uint8_t> state) override {
    return backend_.RestoreSequence(target, state);
  }
  Status UseAdapter(const LoadedAdapter* adapter, float scale) override {
    return backend_.UseAdapter(adapter, scale);
  }

 private:
  ModelBackend& backend_;
};

TEST_F(SequencePoolTest, WhatCannotBeEmptiedIsNotHandedOutAgain) {
  StuckBackend stuck(*backend_);
  SequencePool pool(stuck);
  Sequence sequence = pool.Acquire().value();
  const SequenceId id = sequence.id();
  ASSERT_TRUE(sequence.Grow(5).ok());
  sequence.Reset();
  EXPECT_EQ(pool.free_ids(), 2);
  EXPECT_EQ(pool.free_cells(), 59);
  const Sequence second = pool.Acquire().value();
  const Sequence third = pool.Acquire().value();
  EXPECT_NE(second.id(), id);
  EXPECT_NE(third.id(), id);
  EXPECT_FALSE(pool.Acquire().ok());
}

// After any calls, failing ones among them, what the pool counts is what the back end holds, and
// what it says that dropping a sequence frees is what dropping it frees.
TEST_F(SequencePoolTest, RandomCallsKeepTheCount) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto up_to = [&](int32_t n) { return static_cast<int32_t>(random() % (n + 1)); };
    bool failing = false;
    control_->before_call = [&](FakeCall) { return failing ? InternalError("no") : OkStatus(); };
    std::vector<Sequence> sequences;
    std::vector<uint8_t> saved;
    int32_t saved_tokens = 0;
    for (int step = 0; step < 60; ++step) {
      failing = up_to(4) == 0;
      Sequence* sequence = sequences.empty()
                               ? nullptr
                               : &sequences[random() % static_cast<uint64_t>(sequences.size())];
      const int32_t before = pool_->used_cells();
      switch (sequence == nullptr ? 0 : up_to(6)) {
        case 0:
          if (auto fresh = pool_->Acquire(); fresh.ok()) sequences.push_back(std::move(*fresh));
          break;
        case 1:
          if (sequence->length() < 40) {
            const auto ran = Run(*sequence, Tokens(static_cast<size_t>(up_to(9)) + 1, 3));
            ASSERT_TRUE(ran.ok() || ran.status().code() == StatusCode::kResourceExhausted);
          }
          break;
        case 2:
          ASSERT_TRUE(sequence->Truncate(up_to(sequence->length())).ok());
          break;
        case 3:
          if (auto fork = sequence->Fork(up_to(sequence->length())); fork.ok()) {
            sequences.push_back(std::move(*fork));
          }
          break;
        case 4:
          if (auto state = sequence->Save(); state.ok()) {
            saved = std::move(*state);
            saved_tokens = sequence->length();
          }
          break;
        case 5:
          if (sequence->length() == 0 && saved_tokens > 0 &&
              !sequence->Restore(saved, saved_tokens).ok()) {
            ASSERT_EQ(pool_->used_cells(), before);
          }
          break;
        default: {
          const int32_t exclusive = sequence->exclusive_cells();
          const Sequence* alone[] = {sequence};
          ASSERT_EQ(pool_->CellsExclusiveTo(alone), exclusive);
          std::swap(*sequence, sequences.back());
          sequences.pop_back();
          ASSERT_EQ(pool_->used_cells(), before - exclusive);
        }
      }
      ASSERT_EQ(pool_->used_cells(), control_->cells_in_use);
      ASSERT_EQ(pool_->used(), static_cast<int32_t>(sequences.size()));
    }
    std::vector<const Sequence*> all;
    for (const Sequence& sequence : sequences) all.push_back(&sequence);
    ASSERT_EQ(pool_->CellsExclusiveTo(all), pool_->used_cells());
  }
  control_->before_call = nullptr;
}

}  // namespace
}  // namespace foretoken
