#include "tenancy/quota_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

namespace foretoken {
namespace {

TEST(QuotaWindowTest, UseCountsForSixtySecondsAndABucketAtMost) {
  QuotaWindow window;
  window.Add(5, 1000);
  EXPECT_EQ(window.Used(1000), 5);
  EXPECT_EQ(window.Used(61'000), 5);
  EXPECT_EQ(window.Used(61'099), 5);
  EXPECT_EQ(window.Used(61'100), 0);
}

// A time is given in whole milliseconds: 999 may be 999.9, which is not 60 s before 60,999.
TEST(QuotaWindowTest, ABucketLeavesAfterItsLastInstant) {
  QuotaWindow window;
  window.Add(5, 999);
  EXPECT_EQ(window.Used(60'999), 5);
  EXPECT_EQ(window.Used(61'000), 0);
}

TEST(QuotaWindowTest, TheTimeAtWhichLittleEnoughCountsIsExact) {
  QuotaWindow window;
  EXPECT_EQ(window.TimeOfAtMost(0, 50), 50);
  window.Add(5, 0);
  window.Add(3, 250);
  window.Add(0, 270);
  window.Add(2, 299);
  EXPECT_EQ(window.TimeOfAtMost(10, 300), 300);
  EXPECT_EQ(window.TimeOfAtMost(9, 300), 60'100);
  EXPECT_EQ(window.TimeOfAtMost(5, 300), 60'100);
  EXPECT_EQ(window.TimeOfAtMost(4, 300), 60'300);
  EXPECT_EQ(window.TimeOfAtMost(0, 300), 60'300);
}

// Against a list of every use: never less than what the last 60 s had, never more than what the
// last 60.1 s had, and the time that is promised is the first at which it holds.
TEST(QuotaWindowTest, ItAgreesWithAPlainListOfUses) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    QuotaWindow window;
    std::vector<std::pair<int64_t, int64_t>> uses;
    const auto since = [&uses](int64_t from_ms) {
      int64_t sum = 0;
      for (const auto& [time_ms, amount] : uses) sum += time_ms > from_ms ? amount : 0;
      return sum;
    };
    int64_t now_ms = 0;
    for (int step = 0; step < 300; ++step) {
      now_ms += static_cast<int64_t>(random() % 900);
      if (random() % 3 != 0) {
        uses.emplace_back(now_ms, static_cast<int64_t>(random() % 50));
        window.Add(uses.back().second, now_ms);
      }
      const int64_t used = window.Used(now_ms);
      ASSERT_GE(used, since(now_ms - QuotaWindow::kSpanMs - 1));
      ASSERT_LE(used, since(now_ms - QuotaWindow::kSpanMs - QuotaWindow::kBucketMs - 1));
      const auto amount = static_cast<int64_t>(random() % 2000);
      const int64_t promised_ms = window.TimeOfAtMost(amount, now_ms);
      QuotaWindow later = window;
      ASSERT_LE(later.Used(promised_ms), amount);
      later = window;
      if (promised_ms > now_ms) {
        ASSERT_GT(later.Used(promised_ms - 1), amount);
      }
    }
  }
}

}  // namespace
}  // namespace foretoken
