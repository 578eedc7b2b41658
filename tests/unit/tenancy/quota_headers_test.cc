#include "tenancy/quota_headers.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace foretoken {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

TEST(QuotaHeadersTest, TheHeadersAreThoseThatOpenAisClientsRead) {
  EXPECT_EQ(RateLimitHeaders({.requests = QuotaLevel{60, 59, 1000},
                              .tokens = QuotaLevel{150'000, 149'984, 360'000}}),
            (Headers{{"x-ratelimit-limit-requests", "60"},
                     {"x-ratelimit-remaining-requests", "59"},
                     {"x-ratelimit-reset-requests", "1s"},
                     {"x-ratelimit-limit-tokens", "150000"},
                     {"x-ratelimit-remaining-tokens", "149984"},
                     {"x-ratelimit-reset-tokens", "6m0s"}}));
  EXPECT_EQ(RateLimitHeaders({.tokens = QuotaLevel{1, 0, 0}}).size(), 3u);
  EXPECT_TRUE(RateLimitHeaders({}).empty());
}

TEST(QuotaHeadersTest, DurationsAreNeverTooShort) {
  const std::pair<int64_t, const char*> durations[] = {
      {0, "0ms"},        {999, "999ms"},        {1000, "1s"},         {1001, "1.1s"},
      {59'100, "59.1s"}, {59'999, "1m0s"},      {60'000, "1m0s"},     {61'050, "1m1.1s"},
      {-5, "0ms"},       {3'600'000, "1h0m0s"}, {3'661'000, "1h1m1s"}};
  for (const auto& [ms, text] : durations) EXPECT_EQ(RateLimitDuration(ms), text) << ms;
}

TEST(QuotaHeadersTest, RetryAfterIsInWholeSecondsAndAtLeastOne) {
  EXPECT_EQ(RetryAfterSeconds(0), "1");
  EXPECT_EQ(RetryAfterSeconds(1000), "1");
  EXPECT_EQ(RetryAfterSeconds(1001), "2");
  EXPECT_EQ(RetryAfterSeconds(60'000), "60");
}

}  // namespace
}  // namespace foretoken
