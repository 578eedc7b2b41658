#include "tenancy/quota_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace foretoken {
namespace {

using ::testing::HasSubstr;

TEST(QuotaLimitsTest, NoLimitsAndLargeOnesAreAllowed) {
  EXPECT_TRUE(Validate(QuotaLimits{}).ok());
  EXPECT_TRUE(Validate(QuotaLimits{.requests_per_minute = 1,
                                   .tokens_per_minute = 1'000'000'000'000'000,
                                   .tokens_per_day = 2,
                                   .concurrent_requests = 3})
                  .ok());
}

TEST(QuotaLimitsTest, AWrongOneIsNamedWithItsValue) {
  const auto expect_named = [](const QuotaLimits& limits, const char* name, const char* value) {
    const Status status = Validate(limits);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr(name));
    EXPECT_THAT(status.message(), HasSubstr(value));
  };
  expect_named({.requests_per_minute = -1}, "requests_per_minute", "-1");
  expect_named({.tokens_per_minute = -2}, "tokens_per_minute", "-2");
  expect_named({.tokens_per_day = -3}, "tokens_per_day", "-3");
  expect_named({.concurrent_requests = -4}, "concurrent_requests", "-4");
  expect_named({.tokens_per_day = 1'000'000'000'000'001}, "tokens_per_day", "1000000000000001");
}

}  // namespace
}  // namespace foretoken
