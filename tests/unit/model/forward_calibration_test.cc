#include "model/forward_calibration.h"

#include <chrono>
#include <memory>
#include <set>

#include <gtest/gtest.h>

#include "model/cache_files.h"
#include "testing/fake_model.h"
#include "testing/temp_directory.h"

namespace foretoken {
namespace {

std::unique_ptr<ModelBackend> NewBackend(std::shared_ptr<FakeControl> control,
                                         const std::string& cost_identity = "a machine",
                                         int32_t max_rows = 16) {
  FakeModelOptions options;
  options.max_batch_rows = max_rows;
  options.max_logits_rows = max_rows;
  options.cost_identity = cost_identity;
  options.decode_time = [](int32_t rows) { return std::chrono::microseconds(300 + 10 * rows); };
  return NewFakeModel(options, std::move(control))->NewBackend({}).value();
}

int64_t Undisturbed() {
  return 0;
}

TEST(ForwardCalibrationTest, EverySizeIsTimedAndNothingStaysCached) {
  const auto control = std::make_shared<FakeControl>();
  const auto backend = NewBackend(control);
  const auto times = TimeForwards(*backend, std::chrono::seconds(60), Undisturbed);
  ASSERT_TRUE(times.ok()) << times.status().ToString();
  std::set<int32_t> sizes;
  for (const ForwardTime& time : *times) {
    sizes.insert(time.rows);
    EXPECT_GE(time.us, 300);
  }
  EXPECT_EQ(sizes, (std::set<int32_t>{1, 2, 3, 4, 6, 8, 16}));
  EXPECT_EQ(control->cells_in_use, 0);
}

TEST(ForwardCalibrationTest, ItEndsWithItsBudget) {
  const auto control = std::make_shared<FakeControl>();
  const auto backend = NewBackend(control);
  EXPECT_EQ(TimeForwards(*backend, std::chrono::milliseconds(0), Undisturbed)->size(), 1u);
}

TEST(ForwardCalibrationTest, SmallBackEndsAreTimedAsFarAsTheyGo) {
  const auto backend = NewBackend(std::make_shared<FakeControl>(), "a machine", 3);
  const auto times = TimeForwards(*backend, std::chrono::seconds(60), Undisturbed);
  ASSERT_TRUE(times.ok());
  for (const ForwardTime& time : *times) EXPECT_LE(time.rows, 3);
}

TEST(ForwardCalibrationTest, WhatWasMeasuredIsKeptForTheSameCost) {
  const testing::TempDirectory directory;
  const auto control = std::make_shared<FakeControl>();
  const auto backend = NewBackend(control);
  const auto first = CalibrateForwards(*backend, directory.path(), Undisturbed);
  ASSERT_TRUE(first.ok());
  const int64_t decodes = control->decodes;
  EXPECT_GT(decodes, 0);
  const auto second = CalibrateForwards(*backend, directory.path(), Undisturbed);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(control->decodes, decodes);
  ASSERT_EQ(second->size(), first->size());
  for (size_t i = 0; i < first->size(); ++i) EXPECT_NEAR((*second)[i].us, (*first)[i].us, 0.1);
  const auto other = NewBackend(control, "another machine");
  ASSERT_TRUE(CalibrateForwards(*other, directory.path(), Undisturbed).ok());
  EXPECT_GT(control->decodes, decodes);
}

TEST(ForwardCalibrationTest, ADamagedEntryIsMeasuredAgain) {
  const testing::TempDirectory directory;
  const auto control = std::make_shared<FakeControl>();
  const auto backend = NewBackend(control);
  for (const char* text : {"", "1 -5\n", "x", "1 300.0\n2"}) {
    ASSERT_TRUE(WriteCacheEntry(directory.path(), "forward times of a machine", text).ok());
    const int64_t decodes = control->decodes;
    EXPECT_GT(CalibrateForwards(*backend, directory.path(), Undisturbed)->size(), 1u) << text;
    EXPECT_GT(control->decodes, decodes) << text;
  }
}

TEST(ForwardCalibrationTest, ForwardsThatOthersDisturbedSayNothingAndAreNotKept) {
  const testing::TempDirectory directory;
  const auto control = std::make_shared<FakeControl>();
  const auto backend = NewBackend(control);
  int64_t preemptions = 0;
  const auto always = [&] { return ++preemptions; };
  EXPECT_TRUE(CalibrateForwards(*backend, directory.path(), always)->empty());
  EXPECT_GT(control->decodes, 0);
  // Every third forward is disturbed.
  const auto sometimes = [&] { return ++preemptions / 6; };
  EXPECT_FALSE(TimeForwards(*backend, std::chrono::seconds(60), sometimes)->empty());
  const int64_t decodes = control->decodes;
  EXPECT_GT(CalibrateForwards(*backend, directory.path(), Undisturbed)->size(), 1u);
  EXPECT_GT(control->decodes, decodes);
}

TEST(ForwardCalibrationTest, PreemptionsAreCounted) {
  EXPECT_GE(ProcessPreemptions(), 0);
}

TEST(ForwardCalibrationTest, WithoutAnIdentityNothingRuns) {
  const auto control = std::make_shared<FakeControl>();
  const auto backend = NewBackend(control, "");
  EXPECT_TRUE(CalibrateForwards(*backend, "/nowhere")->empty());
  EXPECT_EQ(control->decodes, 0);
}

TEST(ForwardCalibrationTest, AForwardThatFailsIsTheError) {
  const auto control = std::make_shared<FakeControl>();
  const auto backend = NewBackend(control);
  control->before_decode = [](int64_t, std::span<const BatchRow>) { return InternalError("no"); };
  EXPECT_EQ(CalibrateForwards(*backend, "/nowhere").status().code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace foretoken
