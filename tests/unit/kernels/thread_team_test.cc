#include "kernels/thread_team.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace foretoken {
namespace {

class ThreadTeamTest : public ::testing::TestWithParam<int32_t> {};

TEST_P(ThreadTeamTest, EveryMemberRunsTheBodyOnce) {
  ThreadTeam team(GetParam());
  std::vector<std::atomic<int>> runs(static_cast<size_t>(team.size()));
  for (int round = 1; round <= 50; ++round) {
    team.Run([&](TeamMember& member) {
      EXPECT_EQ(member.size(), team.size());
      ++runs[static_cast<size_t>(member.index())];
    });
    for (const auto& count : runs) ASSERT_EQ(count, round);
  }
}

TEST_P(ThreadTeamTest, ItemsAreTakenOnceInEveryPhase) {
  constexpr int64_t kItems = 1000;
  constexpr int kPhases = 20;
  ThreadTeam team(GetParam());
  std::vector<std::atomic<int>> taken(kItems);
  team.Run([&](TeamMember& member) {
    for (int phase = 1; phase <= kPhases; ++phase) {
      for (int64_t first = member.Take(7); first < kItems; first = member.Take(7)) {
        for (int64_t i = first; i < std::min(first + 7, kItems); ++i) {
          ++taken[static_cast<size_t>(i)];
        }
      }
      member.Barrier();
      for (const auto& count : taken) ASSERT_EQ(count, phase);
      member.Barrier();
    }
  });
}

TEST_P(ThreadTeamTest, MembersThatSleepWakeUp) {
  ThreadTeam team(GetParam());
  std::atomic<int> arrived = 0;
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // longer than they spin
    team.Run([&](TeamMember& member) {
      if (member.index() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));
      ++arrived;
      member.Barrier();
      EXPECT_EQ(arrived % team.size(), 0);
      member.Barrier();
    });
  }
  EXPECT_EQ(arrived, 3 * team.size());
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadTeamTest, ::testing::Values(0, 1, 2, 3, 4));

}  // namespace
}  // namespace foretoken
