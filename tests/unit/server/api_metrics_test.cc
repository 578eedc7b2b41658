#include "server/api_metrics.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace foretoken {
namespace {

UsageRecord Usage(const char* tenant, const char* model) {
  return {.id = "r",
          .tenant = tenant,
          .key_id = "k",
          .model = model,
          .prompt_tokens = 5,
          .cached_tokens = 2,
          .completion_tokens = 7,
          .drafted_tokens = 4,
          .accepted_tokens = 3};
}

TEST(ApiMetricsTest, CountsByEndpointAndStatusOfAllThreads) {
  ApiMetrics metrics;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 100; ++j) {
        metrics.AddResponse("/v1/models", 200);
        metrics.AddResponse("/v1/models", 401);
        metrics.AddUsage(Usage("a", "m"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const ApiMetrics::Snapshot counts = metrics.Read();
  EXPECT_EQ(counts.responses.at({"/v1/models", 200}), 400);
  EXPECT_EQ(counts.responses.at({"/v1/models", 401}), 400);
  const ApiMetrics::TenantUsage& usage = counts.usage.at({"a", "m"});
  EXPECT_EQ(usage.requests, 400);
  EXPECT_EQ(usage.prompt_tokens, 2000);
  EXPECT_EQ(usage.cached_tokens, 800);
  EXPECT_EQ(usage.completion_tokens, 2800);
  EXPECT_EQ(usage.drafted_tokens, 1600);
  EXPECT_EQ(usage.accepted_tokens, 1200);
}

TEST(ApiMetricsTest, ATenantThatIsNoMoreLeavesNothing) {
  ApiMetrics metrics;
  metrics.AddUsage(Usage("a", "m"));
  metrics.AddUsage(Usage("a", "n"));
  metrics.AddUsage(Usage("ab", "m"));
  metrics.ForgetTenant("a");
  const ApiMetrics::Snapshot counts = metrics.Read();
  ASSERT_EQ(counts.usage.size(), 1u);
  EXPECT_EQ(counts.usage.begin()->first.first, "ab");
}

}  // namespace
}  // namespace foretoken
