#include "foretoken/runtime_manager.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "unit/tenancy/fake_runtime.h"

namespace foretoken {
namespace {

TEST(RuntimeManagerTest, TenantsAreFoundListedAndRemoved) {
  FakeRuntime runtime({}, {{"target", {}}});
  RuntimeManager& manager = *runtime.manager;
  ASSERT_TRUE(manager.AddTenant(FakeTenant("b", "target")).ok());
  ASSERT_TRUE(manager.AddTenant(FakeTenant("a", "target")).ok());
  EXPECT_EQ(manager.TenantNames(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(manager.AddTenant(FakeTenant("a", "target")).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_TRUE(manager.FindTenant("a").ok());
  EXPECT_EQ(manager.FindTenant("c").status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(manager.RemoveTenant("a").ok());
  EXPECT_EQ(manager.RemoveTenant("a").code(), StatusCode::kNotFound);
  EXPECT_EQ(manager.Generate("a", FakeRequest()).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(manager.Generate("b", FakeRequest()).ok());
}

TEST(RuntimeManagerTest, AFailedTenantLeavesNoTrace) {
  FakeRuntime runtime({}, {{"target", {}}});
  EXPECT_EQ(runtime.manager->AddTenant(FakeTenant("a", "missing")).status().code(),
            StatusCode::kNotFound);
  EXPECT_EQ(runtime.manager->AddTenant(FakeTenant("", "target")).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_TRUE(runtime.manager->TenantNames().empty());
  EXPECT_TRUE(runtime.manager->AddTenant(FakeTenant("a", "target")).ok());
}

TEST(RuntimeManagerTest, TenantsOfOneTargetShareItsContext) {
  FakeRuntime runtime({}, {{"target", {}}, {"draft", {}}});
  ASSERT_TRUE(runtime.manager->AddTenant(FakeTenant("a", "target")).ok());
  ASSERT_TRUE(runtime.manager->AddTenant(FakeTenant("b", "target", "draft")).ok());
  EXPECT_EQ(runtime.controls["target"]->live_backends, 1);
  EXPECT_EQ(runtime.controls["draft"]->live_backends, 1);
  const auto a = runtime.manager->Generate("a", FakeRequest());
  const auto b = runtime.manager->Generate("b", FakeRequest());
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->text, b->text);
  EXPECT_EQ(a->finish.speculation.by_source.count(DraftSourceKind::kDraftModel), 0u);
  EXPECT_GT(b->finish.speculation.accepted, 0);
  ASSERT_TRUE(runtime.manager->RemoveTenant("b").ok());
  EXPECT_EQ(runtime.controls["draft"]->live_backends, 0);
  ASSERT_TRUE(runtime.manager->RemoveTenant("a").ok());
  EXPECT_EQ(runtime.controls["target"]->live_backends, 0);
}

TEST(RuntimeManagerTest, RemovingATenantCancelsItsGenerations) {
  FakeRuntime runtime({.stream_capacity = 1}, {{"target", {}}});
  const auto tenant = runtime.manager->AddTenant(FakeTenant("a", "target")).value();
  auto stream = runtime.manager->GenerateStream("a", FakeRequest(50)).value();
  ASSERT_TRUE(stream->Next().has_value());
  ASSERT_TRUE(runtime.manager->RemoveTenant("a").ok());
  EXPECT_EQ(Collect(*stream).finish.reason, FinishReason::kCancelled);
  EXPECT_EQ(tenant->Generate(FakeRequest()).status().code(), StatusCode::kNotFound);
}

TEST(RuntimeManagerTest, TenantsWithOtherContextsHaveEnginesOfTheirOwn) {
  FakeRuntime runtime({}, {{"target", {}}});
  TenantConfig config = FakeTenant("a", "target");
  ASSERT_TRUE(runtime.manager->AddTenant(config).ok());
  config.name = "b";
  config.target.context_tokens = 32;
  ASSERT_TRUE(runtime.manager->AddTenant(config).ok());
  config.name = "c";
  config.target.kv_cache_tokens = 100;
  ASSERT_TRUE(runtime.manager->AddTenant(config).ok());
  EXPECT_EQ(runtime.controls["target"]->live_backends, 3);
  EXPECT_EQ(runtime.manager->Metrics().size(), 3u);
}

TEST(RuntimeManagerTest, RemovingATenantLeavesTheOthersAlone) {
  FakeRuntime runtime({.stream_capacity = 1, .max_running = 2},
                      {{"target", {}}, {"draft", {.seed = 2, .quality = 0.7, .imitated_seed = 1}}});
  RuntimeManager& manager = *runtime.manager;
  ASSERT_TRUE(manager.AddTenant(FakeTenant("a", "target", "draft")).ok());
  ASSERT_TRUE(manager.AddTenant(FakeTenant("b", "target")).ok());
  const std::string expected = manager.Generate("b", FakeRequest(50))->text;
  std::vector<std::unique_ptr<GenerationStream>> removed;
  for (int i = 0; i < 5; ++i) {  // some run, some wait
    removed.push_back(manager.GenerateStream("a", FakeRequest(50)).value());
  }
  const auto kept = manager.GenerateStream("b", FakeRequest(50)).value();
  const std::string text = std::get<TokensEvent>(*kept->Next()).text;
  ASSERT_TRUE(manager.RemoveTenant("a").ok());
  // Nothing of it is left when the call returns.
  EXPECT_EQ(runtime.controls["draft"]->live_backends, 0);
  for (const auto& stream : removed) {
    EXPECT_EQ(Collect(*stream).finish.reason, FinishReason::kCancelled);
  }
  const GenerationResult result = Collect(*kept);
  EXPECT_EQ(result.finish.reason, FinishReason::kLength);
  EXPECT_EQ(text + result.text, expected);
  ASSERT_TRUE(manager.RemoveTenant("b").ok());
  EXPECT_EQ(runtime.controls["target"]->cells_in_use, 0);
}

TEST(RuntimeManagerTest, MetricsAreOfEveryEngineAndCountTheRemoved) {
  FakeRuntime runtime({}, {{"first", {}}, {"second", {}}});
  RuntimeManager& manager = *runtime.manager;
  EXPECT_TRUE(manager.Metrics().empty());
  ASSERT_TRUE(manager.AddTenant(FakeTenant("a", "first")).ok());
  ASSERT_TRUE(manager.AddTenant(FakeTenant("b", "first")).ok());
  ASSERT_TRUE(manager.AddTenant(FakeTenant("c", "second")).ok());
  ASSERT_TRUE(manager.Generate("a", FakeRequest(12)).ok());
  ASSERT_TRUE(manager.Generate("b", FakeRequest(5)).ok());
  ASSERT_TRUE(manager.Generate("b", FakeRequest(5)).ok());
  ASSERT_TRUE(manager.RemoveTenant("a").ok());
  const std::vector<EngineMetrics> metrics = manager.Metrics();
  ASSERT_EQ(metrics.size(), 2u);
  EXPECT_EQ(metrics[0].total.submitted_requests, 3);
  EXPECT_EQ(metrics[0].total.completion_tokens, 22);
  EXPECT_EQ(metrics[0].total.finished_requests.at(FinishReason::kLength), 3);
  EXPECT_EQ(metrics[0].total.requests.running, 0);
  EXPECT_GT(metrics[0].steps, 0);
  EXPECT_EQ(metrics[0].kv.capacity, 64);
  EXPECT_EQ(metrics[1].total.submitted_requests, 0);
}

TEST(RuntimeManagerTest, ThreadsMayAddUseAndRemoveAtOnce) {
  FakeRuntime runtime({}, {{"target", {}}});
  ASSERT_TRUE(runtime.manager->AddTenant(FakeTenant("kept", "target")).ok());
  const std::string expected = runtime.manager->Generate("kept", FakeRequest())->text;
  std::atomic<int> generated{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, name = "tenant " + std::to_string(t)] {
      for (int i = 0; i < 20; ++i) {
        ASSERT_TRUE(runtime.manager->AddTenant(FakeTenant(name, "target")).ok());
        auto result = runtime.manager->Generate(name, FakeRequest());
        ASSERT_TRUE(result.ok()) << result.status().ToString();
        EXPECT_EQ(result->text, expected);
        ASSERT_TRUE(runtime.manager->RemoveTenant(name).ok());
        ++generated;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(generated, 80);
  EXPECT_EQ(runtime.controls["target"]->cells_in_use, 0);
}

TEST(RuntimeManagerTest, BadRuntimeOptionsAreRefused) {
  EXPECT_EQ(RuntimeManager::Create({.stream_capacity = 0}).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace foretoken
