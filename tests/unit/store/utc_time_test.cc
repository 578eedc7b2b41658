#include "store/utc_time.h"

#include <gtest/gtest.h>

#include <string>

namespace foretoken {
namespace {

// The numbers are those of `date -u -d TIME +%s`.
TEST(UtcTimeTest, KnownMomentsAreReadAndWritten) {
  const std::pair<const char*, int64_t> moments[] = {{"1970-01-01T00:00:00Z", 0},
                                                     {"2000-02-29T23:59:59Z", 951868799},
                                                     {"2024-02-29T12:00:01Z", 1709208001},
                                                     {"2026-11-24T13:05:09Z", 1795525509},
                                                     {"2100-03-01T00:00:00Z", 4107542400}};
  for (const auto& [text, seconds] : moments) {
    EXPECT_EQ(FormatUtc(seconds * 1000), text);
    const Result<int64_t> read = ParseUtc(text);
    ASSERT_TRUE(read.ok()) << text;
    EXPECT_EQ(*read, seconds * 1000) << text;
  }
  EXPECT_EQ(*ParseUtc("2026-11-24"), *ParseUtc("2026-11-24T00:00:00Z"));
  EXPECT_EQ(FormatUtc(1795525509999), "2026-11-24T13:05:09Z");
}

TEST(UtcTimeTest, ADayBeginsAtMidnight) {
  const int64_t midnight = *ParseUtc("2026-11-24");
  EXPECT_EQ(UtcDayBeginMs(midnight), midnight);
  EXPECT_EQ(UtcDayBeginMs(midnight + kDayMs - 1), midnight);
  EXPECT_EQ(UtcDayBeginMs(midnight + kDayMs), midnight + kDayMs);
  EXPECT_EQ(UtcDayBeginMs(-1), -kDayMs);
  EXPECT_EQ(FormatUtc(-1000), "1969-12-31T23:59:59Z");
}

TEST(UtcTimeTest, WhatIsNoTimeIsRefused) {
  for (const char* text :
       {"", "today", "2026-1-1", "2026-13-01", "2026-02-29", "2026-00-10", "2026-11-24T24:00:00Z",
        "2026-11-24T10:60:00Z", "2026-11-24T10:00:60Z", "2026-11-24T10:00:00", "2026/11/24",
        "2026-11-24 10:00:00Z", "-026-11-24", "2026-11-2x"}) {
    const Result<int64_t> read = ParseUtc(text);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.status().code(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace foretoken
