#include "tenancy/tenant_runtime.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "unit/tenancy/fake_runtime.h"

namespace foretoken {
namespace {

TEST(TenantRuntimeTest, ConfiguredAndReadyAreDifferent) {
  FakeRuntime runtime({}, {{"target", {}}, {"good", {}}, {"alien", {.vocabulary_tag = "other"}}});
  RuntimeManager& manager = *runtime.manager;
  const auto none = manager.AddTenant(FakeTenant("none", "target")).value();
  EXPECT_EQ(none->draft_model_config(), nullptr);
  EXPECT_EQ(none->draft_ready().code(), StatusCode::kFailedPrecondition);
  const auto good = manager.AddTenant(FakeTenant("good", "target", "good")).value();
  ASSERT_NE(good->draft_model_config(), nullptr);
  EXPECT_EQ(good->draft_model_config()->id, "good");
  EXPECT_TRUE(good->draft_ready().ok());
  const auto alien = manager.AddTenant(FakeTenant("alien", "target", "alien")).value();
  EXPECT_NE(alien->draft_model_config(), nullptr);
  EXPECT_EQ(alien->draft_ready().code(), StatusCode::kFailedPrecondition);
  const auto missing = manager.AddTenant(FakeTenant("missing", "target", "missing")).value();
  EXPECT_EQ(missing->draft_ready().code(), StatusCode::kNotFound);
}

TEST(TenantRuntimeTest, ADraftThatIsNotReadyMeansPlainTextAndAWarning) {
  FakeRuntime runtime({}, {{"target", {}}, {"alien", {.vocabulary_tag = "other"}}});
  const auto plain = runtime.manager->AddTenant(FakeTenant("plain", "target")).value();
  const auto alien = runtime.manager->AddTenant(FakeTenant("alien", "target", "alien")).value();
  const auto expected = plain->Generate(FakeRequest());
  const auto result = alien->Generate(FakeRequest());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->text, expected->text);
  ASSERT_EQ(result->finish.warnings.size(), 1u);
  EXPECT_NE(result->finish.warnings[0].find("not the same tokenizer"), std::string::npos);
  EXPECT_TRUE(expected->finish.warnings.empty());
  // A request that does not want it is not warned.
  GenerateRequest request = FakeRequest();
  request.options.speculation = SpeculativeConfig{.mode = SpeculationMode::kOff};
  EXPECT_TRUE(alien->Generate(request)->finish.warnings.empty());
}

TEST(TenantRuntimeTest, TheRequestsPolicyWinsOverTheTenants) {
  FakeRuntime runtime({}, {{"target", {}}, {"draft", {}}});
  const auto tenant = runtime.manager->AddTenant(FakeTenant("a", "target", "draft")).value();
  EXPECT_GT(tenant->Generate(FakeRequest())->finish.speculation.drafted, 0);
  GenerateRequest request = FakeRequest();
  request.options.speculation = SpeculativeConfig{.mode = SpeculationMode::kOff};
  EXPECT_EQ(tenant->Generate(request)->finish.speculation.drafted, 0);
}

TEST(TenantRuntimeTest, SeedsAreReturnedAndReproduce) {
  FakeRuntime runtime({}, {{"target", {}}});
  const auto tenant = runtime.manager->AddTenant(FakeTenant("a", "target")).value();
  GenerateRequest request = FakeRequest(30);
  request.options.sampling.seed.reset();
  const auto first = tenant->Generate(request);
  const auto second = tenant->Generate(request);
  EXPECT_NE(first->finish.seed, second->finish.seed);
  request.options.sampling.seed = first->finish.seed;
  EXPECT_EQ(tenant->Generate(request)->text, first->text);
}

TEST(TenantRuntimeTest, EveryKindOfPrompt) {
  FakeRuntime runtime({}, {{"target", {}}, {"bare", {.has_chat_template = false}}});
  const auto tenant = runtime.manager->AddTenant(FakeTenant("a", "target")).value();
  const auto bare = runtime.manager->AddTenant(FakeTenant("b", "bare")).value();
  GenerateRequest request = FakeRequest();
  request.prompt = std::vector<ChatMessage>{{"user", "hi"}};
  EXPECT_TRUE(tenant->Generate(request).ok());
  EXPECT_EQ(bare->Generate(request).status().code(), StatusCode::kFailedPrecondition);
  request.prompt = std::vector<TokenId>{1, 2, 3};
  EXPECT_EQ(bare->Generate(request)->finish.usage.prompt_tokens, 3);
  request.prompt = std::vector<TokenId>{1, 99};
  EXPECT_EQ(bare->Generate(request).status().code(), StatusCode::kInvalidArgument);
  request.prompt = std::vector<TokenId>{-1};
  EXPECT_EQ(bare->Generate(request).status().code(), StatusCode::kInvalidArgument);
  request.prompt = std::vector<TokenId>{};
  EXPECT_EQ(bare->Generate(request).status().code(), StatusCode::kInvalidArgument);
}

TEST(TenantRuntimeTest, BadOptionsComeBackAtOnce) {
  FakeRuntime runtime({}, {{"target", {}}});
  const auto tenant = runtime.manager->AddTenant(FakeTenant("a", "target")).value();
  GenerateRequest request = FakeRequest();
  request.options.sampling.temperature = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(tenant->GenerateStream(request).status().code(), StatusCode::kInvalidArgument);
  request = FakeRequest();
  request.options.sampling.logit_bias = {{1000, 1.0f}};
  EXPECT_EQ(tenant->GenerateStream(request).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace foretoken
