// The first and the third promise under load: thousands of random schedules of tenants, requests,
// cancels, removals and failures, each played against the engine. Whatever its neighbours do and
// however it is speculated, every request gets the tokens that it gets alone, a failure ends its
// victim only, every stream ends exactly once, and nothing is left behind.
//
// A failure names its schedule. FORETOKEN_SCHEDULE=<seed> plays that one alone, as many times as
// FORETOKEN_SCHEDULE_REPEAT says: the plan is the same each time, the race between threads is not.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "integration/schedule_features.h"
#include "integration/schedule_fixture.h"

namespace foretoken {
namespace {

constexpr int32_t kShards = 10;
constexpr uint64_t kSchedulesPerShard = 400 / kSlowness;

class ScheduleTest : public testing::TestWithParam<int32_t> {
 protected:
  void PlaySeed(uint64_t seed) {
    const Schedule schedule = RandomSchedule(seed);
    const std::vector<std::string> faults = Play(schedule, totals_);
    EXPECT_TRUE(faults.empty()) << fmt::format("FORETOKEN_SCHEDULE={} plays this one again: {}\n{}",
                                               seed, Describe(schedule), fmt::join(faults, "\n"));
  }

  Totals totals_;
};

TEST_P(ScheduleTest, EveryRequestGetsWhatItGetsAlone) {
  if (const char* seed = std::getenv("FORETOKEN_SCHEDULE")) {
    const char* repeat = std::getenv("FORETOKEN_SCHEDULE_REPEAT");
    const int times = GetParam() > 0 ? 0 : repeat ? std::atoi(repeat) : 1;
    for (int i = 0; i < times && !HasFailure(); ++i) PlaySeed(std::strtoull(seed, nullptr, 10));
    return;
  }
  const uint64_t first = static_cast<uint64_t>(GetParam()) * kSchedulesPerShard;
  for (uint64_t i = 0; i < kSchedulesPerShard; ++i) PlaySeed(first + i);

  // The schedules did what they are for.
  SCOPED_TRACE(totals_.ToString());
  const auto count = static_cast<int64_t>(kSchedulesPerShard);
  EXPECT_GT(totals_.exact, 4 * count);
  EXPECT_GT(totals_.cancelled, count / 4);
  EXPECT_GT(totals_.dropped, count / 8);
  EXPECT_GT(totals_.failed, count / 8);
  EXPECT_GT(totals_.accepted, 5 * count);
  EXPECT_GT(totals_.rejected, 5 * count);
  EXPECT_GT(totals_.drafting_failures, count / 8);
  EXPECT_TRUE(!features::kPredictions || totals_.predicted > count);
  EXPECT_TRUE(!features::kPrefixReuse || totals_.cached_prompt_tokens > 10 * count);
  EXPECT_TRUE(!features::kBatching || totals_.target_forwards < totals_.rounds);
}

INSTANTIATE_TEST_SUITE_P(Shards, ScheduleTest, testing::Range(0, kShards));

}  // namespace
}  // namespace foretoken
