#include "server/model_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "testing/fake_model.h"
#include "unit/tenancy/fake_runtime.h"

namespace foretoken {
namespace {

using testing::HasSubstr;

ServedModel Served(const std::string& name) {
  ServedModel model;
  model.name = name;
  model.target = {.id = name, .path = name};
  return model;
}

class ModelPoolTest : public testing::Test {
 protected:
  explicit ModelPoolTest() : runtime_({}, {{"a", {}}, {"b", {}}, {"c", {}}, {"draft", {}}}) {}

  void Open(std::vector<ServedModel> models, int64_t budget = 0, int64_t idle_ms = 0) {
    pool_ = std::make_unique<ModelPool>(
        *runtime_.manager, std::move(models),
        ModelPoolOptions{.memory_budget_bytes = budget,
                         .unload_idle_ms = idle_ms,
                         .memory_of = [](const ServedModel&) -> Result<int64_t> { return 100; }});
  }
  Result<ModelLease> Acquire(const std::string& tenant, const std::string& model) {
    return AcquireAs({.name = tenant}, model);
  }
  Result<ModelLease> AcquireAs(const PoolTenant& tenant, const std::string& model) {
    std::promise<Result<ModelLease>> answer;
    pool_->Acquire(tenant, *pool_->Find(model),
                   [&](Result<ModelLease> lease) { answer.set_value(std::move(lease)); });
    return answer.get_future().get();
  }
  bool IsLoaded(const std::string& model) {
    for (const PoolModelState& state : pool_->States()) {
      if (state.name == model) return state.loaded;
    }
    return false;
  }
  void WaitUntilUnloaded(const std::string& model) {
    while (IsLoaded(model)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  FakeRuntime runtime_;
  std::unique_ptr<ModelPool> pool_;
};

TEST_F(ModelPoolTest, LoadsOnDemandAndSharesOneRuntimeForATenant) {
  Open({Served("a"), Served("b")});
  EXPECT_FALSE(IsLoaded("a"));
  const auto first = Acquire("x", "a");
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(IsLoaded("a"));
  EXPECT_FALSE(IsLoaded("b"));
  const auto again = Acquire("x", "a");
  const auto other = Acquire("y", "a");
  EXPECT_EQ(&first->runtime(), &again->runtime());
  EXPECT_NE(&first->runtime(), &other->runtime());
  EXPECT_EQ(pool_->States()[0].leases, 3);
  EXPECT_EQ(first->model().name, "a");
  EXPECT_TRUE(first->runtime().Generate(FakeRequest()).ok());
}

TEST_F(ModelPoolTest, NamesAndAliasesFindAModel) {
  ServedModel model = Served("a");
  model.aliases = {"other"};
  Open({model});
  EXPECT_EQ(pool_->Find("a"), pool_->Find("other"));
  EXPECT_EQ(pool_->Find("nobody"), nullptr);
}

TEST_F(ModelPoolTest, AModelThatCannotBeLoadedFailsThoseWhoWait) {
  Open({Served("missing"), Served("a")});
  EXPECT_EQ(Acquire("x", "missing").status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(Acquire("x", "a").ok());
}

TEST_F(ModelPoolTest, TheBudgetUnloadsTheIdlestAndRefusesWhileAllAreInUse) {
  Open({Served("a"), Served("b"), Served("c")}, 200);
  auto a = Acquire("x", "a");
  auto b = Acquire("x", "b");
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(Acquire("x", "c").status().code(), StatusCode::kResourceExhausted);
  *b = ModelLease();
  *a = ModelLease();  // used last
  ASSERT_TRUE(Acquire("x", "c").ok());
  EXPECT_TRUE(IsLoaded("a"));
  EXPECT_FALSE(IsLoaded("b"));
}

TEST_F(ModelPoolTest, AModelLargerThanTheBudgetIsSaidToBe) {
  Open({Served("a")}, 99);
  const Status status = Acquire("x", "a").status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("memory_budget"));
}

TEST_F(ModelPoolTest, IdleModelsAreUnloadedButNotPreloadedOrUsedOnes) {
  ServedModel kept = Served("b");
  kept.preload = true;
  Open({Served("a"), kept, Served("c")}, 0, 1);
  ASSERT_TRUE(pool_->Preload().ok());
  const auto used = Acquire("x", "c");
  { ASSERT_TRUE(Acquire("x", "a").ok()); }
  WaitUntilUnloaded("a");
  EXPECT_TRUE(IsLoaded("b"));
  EXPECT_TRUE(IsLoaded("c"));
  // It comes back.
  EXPECT_TRUE(Acquire("x", "a").ok());
}

TEST_F(ModelPoolTest, AChangedPolicyMeansANewRuntimeAndTheOldOneEndsWithItsRequests) {
  Open({Served("a")});
  PoolTenant tenant{.name = "x"};
  auto before = AcquireAs(tenant, "a");
  const std::string old_name = before->runtime().config().name;
  tenant.weight = 3;
  tenant.draft_model = ModelConfig{.id = "draft", .path = "draft"};
  const auto after = AcquireAs(tenant, "a");
  ASSERT_TRUE(after.ok());
  EXPECT_NE(&before->runtime(), &after->runtime());
  EXPECT_EQ(after->runtime().config().weight, 3);
  EXPECT_TRUE(after->runtime().draft_ready().ok());
  EXPECT_TRUE(before->runtime().Generate(FakeRequest()).ok());
  *before = ModelLease();
  while (runtime_.manager->FindTenant(old_name).ok()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_F(ModelPoolTest, AForgottenTenantIsGoneEverywhere) {
  Open({Served("a"), Served("b")});
  auto lease = Acquire("x", "a");
  { ASSERT_TRUE(Acquire("x", "b").ok()); }
  const auto other = Acquire("y", "a");
  pool_->ForgetTenant("x");
  EXPECT_FALSE(lease->runtime().Generate(FakeRequest()).ok());
  EXPECT_TRUE(other->runtime().Generate(FakeRequest()).ok());
  for (const std::string& name : runtime_.manager->TenantNames()) {
    EXPECT_FALSE(name.starts_with("x@")) << name;
  }
}

TEST_F(ModelPoolTest, NothingIsLeftAtTheEnd) {
  Open({Served("a")});
  { ASSERT_TRUE(Acquire("x", "a").ok()); }
  pool_.reset();
  EXPECT_TRUE(runtime_.manager->TenantNames().empty());
}

}  // namespace
}  // namespace foretoken
