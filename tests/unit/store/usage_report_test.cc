#include "store/usage_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using Dimensions = std::vector<UsageDimension>;

TEST(UsageReportTest, DimensionsAreReadInTheirOrder) {
  EXPECT_EQ(*ParseUsageDimensions("tenant"), Dimensions{UsageDimension::kTenant});
  EXPECT_EQ(*ParseUsageDimensions("model,day"),
            (Dimensions{UsageDimension::kModel, UsageDimension::kDay}));
  for (const char* text : {"", "tenant,", ",day", "hour", "Tenant", "day,day"}) {
    const auto parsed = ParseUsageDimensions(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(ParseUsageDimensions("hour").status().message(), HasSubstr("'hour'"));
}

TEST(UsageReportTest, CsvQuotesWhatHasToBe) {
  const UsageSum sum{"a", "", "x,\"y\"", 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(UsageCsv({UsageDimension::kModel, UsageDimension::kTenant}, {sum}),
            "model,tenant,requests,failed_requests,prompt_tokens,cached_tokens,completion_tokens,"
            "drafted_tokens,accepted_tokens\r\n"
            "\"x,\"\"y\"\"\",a,1,2,3,4,5,6,7\r\n");
  EXPECT_EQ(UsageCsv({}, {}),
            "requests,failed_requests,prompt_tokens,cached_tokens,completion_tokens,"
            "drafted_tokens,accepted_tokens\r\n");
}

TEST(UsageReportTest, JsonHasTheSameNames) {
  const UsageSum sum{"", "2026-11-24", "", 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(UsageJson({UsageDimension::kDay}, {sum}),
            R"([
  {
    "day": "2026-11-24",
    "requests": 1,
    "failed_requests": 2,
    "prompt_tokens": 3,
    "cached_tokens": 4,
    "completion_tokens": 5,
    "drafted_tokens": 6,
    "accepted_tokens": 7
  }
])");
  EXPECT_EQ(UsageJson({}, {}), "[]");
}

}  // namespace
}  // namespace foretoken
