#include "foretoken/runtime_manager.h"

#include <gtest/gtest.h>

#include <atomic>
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
