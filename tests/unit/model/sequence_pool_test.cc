#include "model/sequence_pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

class SequencePoolTest : public testing::Test {
 protected:
  SequencePoolTest() {
    control_ = std::make_shared<FakeControl>();
    model_ = NewFakeModel({}, control_);
    backend_ = model_->NewBackend({.max_sequences = 2}).value();
  }

  std::shared_ptr<FakeControl> control_;
  std::shared_ptr<LoadedModel> model_;
  std::unique_ptr<ModelBackend> backend_;
};

TEST_F(SequencePoolTest, HandsOutEachIdOnceAndTakesItBack) {
  SequencePool pool(*backend_);
  auto first = pool.Acquire();
  auto second = pool.Acquire();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(first->id(), second->id());
  EXPECT_EQ(pool.Acquire().status().code(), StatusCode::kResourceExhausted);
  const SequenceId freed = first->id();
  first->Reset();
  EXPECT_FALSE(first->valid());
  auto third = pool.Acquire();
  ASSERT_TRUE(third.ok());
  EXPECT_EQ(third->id(), freed);
  EXPECT_EQ(pool.used(), 2);
}

TEST_F(SequencePoolTest, DroppingASequenceFreesItsCells) {
  SequencePool pool(*backend_);
  {
    Sequence sequence = pool.Acquire().value();
    const BatchRow row{.token = 1, .position = 0, .sequences = {sequence.id()}};
    ASSERT_TRUE(backend_->Decode({&row, 1}).ok());
    EXPECT_EQ(control_->cells_in_use, 1);
    Sequence moved = std::move(sequence);
    EXPECT_TRUE(moved.valid());
    EXPECT_EQ(control_->cells_in_use, 1);
  }
  EXPECT_EQ(control_->cells_in_use, 0);
  EXPECT_EQ(pool.used(), 0);
}

}  // namespace
}  // namespace foretoken
