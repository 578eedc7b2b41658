#include "tenancy/tenant_runtime.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "testing/temp_directory.h"
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

TEST(TenantRuntimeTest, ItsTokenizerIsTheTargets) {
  FakeRuntime runtime({}, {{"target", {}}});
  const auto tenant = runtime.manager->AddTenant(FakeTenant("a", "target")).value();
  EXPECT_GT(tenant->target_info().context_tokens, 0);
  const auto tokens = tenant->tokenizer().Tokenize(FakeRequest().prompt);
  ASSERT_TRUE(tokens.ok());
  const auto by_text = tenant->Generate(FakeRequest());
  GenerateRequest request = FakeRequest();
  request.prompt = *tokens;
  const auto by_tokens = tenant->Generate(request);
  ASSERT_TRUE(by_text.ok() && by_tokens.ok());
  EXPECT_EQ(by_tokens->text, by_text->text);
  EXPECT_EQ(tenant->tokenizer().TokenBytes(4), "ab");    // the fake vocabulary's
  EXPECT_EQ(tenant->tokenizer().TokenBytes(3), "\xA9");  // half a character
  EXPECT_EQ(tenant->tokenizer().TokenBytes(0), "");      // the end of text
  EXPECT_FALSE(tenant->tokenizer().TokenText(0).empty());
  const int32_t size = tenant->target_info().vocabulary_size;
  EXPECT_EQ(tenant->tokenizer().TokenBytes(-1), "");
  EXPECT_EQ(tenant->tokenizer().TokenText(size), "");
  EXPECT_EQ(tenant->tokenizer().Tokenize(std::vector<TokenId>{size}).status().code(),
            StatusCode::kInvalidArgument);
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
  request.prompt = ChatPrompt{.messages = {{"user", "hi"}}};
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

TEST(TenantRuntimeTest, ATenantsLimitsBoundItsRequests) {
  FakeRuntime runtime({}, {{"target", {}}, {"draft", {}}});
  TenantConfig config = FakeTenant("bounded", "target", "draft");
  config.speculation.max_draft_tokens = 2;
  const auto bounded = runtime.manager->AddTenant(config).value();
  GenerateRequest request = FakeRequest(30);
  request.options.speculation =
      SpeculativeConfig{.mode = SpeculationMode::kFixed, .draft_k = 8, .max_draft_tokens = 8};
  EXPECT_EQ(bounded->Generate(request)->finish.speculation.by_position.size(), 2u);
  request.options.speculation->max_draft_tokens = 1;  // less is the request's to ask for
  EXPECT_EQ(bounded->Generate(request)->finish.speculation.by_position.size(), 1u);

  config.name = "off";
  config.speculation.mode = SpeculationMode::kOff;
  const auto off = runtime.manager->AddTenant(config).value();
  EXPECT_EQ(off->Generate(request)->finish.speculation.drafted, 0);
}

TEST(TenantRuntimeTest, APredictionIsDraftedAndNeverCopied) {
  FakeRuntime runtime({}, {{"target", {.end_of_text_logit = -100}}});
  const auto tenant = runtime.manager->AddTenant(FakeTenant("a", "target")).value();
  GenerateRequest request = FakeRequest(40);
  request.options.speculation =
      SpeculativeConfig{.mode = SpeculationMode::kFixed, .sources = {DraftSourceKind::kPrediction}};
  const GenerationResult plain = *tenant->Generate(request);
  EXPECT_EQ(plain.finish.speculation.drafted, 0);

  request.options.prediction = TextOf(plain.tokens);
  const GenerationResult predicted = *tenant->Generate(request);
  EXPECT_EQ(predicted.text, plain.text);
  EXPECT_GT(predicted.finish.speculation.accepted, 20);
  // One that goes wrong costs rounds, not tokens. (One that is never right is not even tried.)
  const std::vector<GeneratedToken> beginning(plain.tokens.begin(), plain.tokens.begin() + 10);
  request.options.prediction = TextOf(beginning) + std::string(40, '<');
  const GenerationResult mistaken = *tenant->Generate(request);
  EXPECT_EQ(mistaken.text, plain.text);
  EXPECT_GT(mistaken.finish.speculation.rejected, 0);
  // One that the request does not want as a source is not used.
  request.options.prediction = TextOf(plain.tokens);
  request.options.speculation->sources = {DraftSourceKind::kDraftModel};
  EXPECT_EQ(tenant->Generate(request)->finish.speculation.drafted, 0);
}

TEST(TenantRuntimeTest, AdaptersAreTheTenantsOwn) {
  FakeModelOptions target;
  target.adapters = {{"formal.gguf", 5}, {"casual.gguf", 6}};
  FakeRuntime runtime({}, {{"target", target}});
  TenantConfig config = FakeTenant("a", "target");
  config.adapters = {{.id = "voice", .path = "formal.gguf"}};
  const auto a = runtime.manager->AddTenant(config).value();
  config.name = "b";
  config.adapters = {{.id = "voice", .path = "casual.gguf"}};
  const auto b = runtime.manager->AddTenant(config).value();
  config.name = "half";
  config.adapters = {{.id = "voice", .path = "casual.gguf", .scale = 0.5f}};
  const auto half = runtime.manager->AddTenant(config).value();
  const auto plain = runtime.manager->AddTenant(FakeTenant("plain", "target")).value();

  GenerateRequest request = FakeRequest(30);
  const std::string base_text = plain->Generate(request)->text;
  EXPECT_EQ(a->Generate(request)->text, base_text) << "the base model is still there";
  request.options.adapter = "voice";
  const std::string a_text = a->Generate(request)->text;
  const std::string b_text = b->Generate(request)->text;
  EXPECT_NE(a_text, base_text);
  EXPECT_NE(b_text, base_text);
  EXPECT_NE(a_text, b_text);
  EXPECT_NE(half->Generate(request)->text, b_text);
  EXPECT_EQ(a->Generate(request)->text, a_text);
  const Status unknown = plain->GenerateStream(request).status();
  EXPECT_EQ(unknown.code(), StatusCode::kNotFound);
  EXPECT_NE(unknown.message().find("'voice'"), std::string::npos);
}

TEST(TenantRuntimeTest, AnAdapterThatCannotBeLoadedFailsTheTenant) {
  FakeRuntime runtime({}, {{"target", {}}});
  TenantConfig config = FakeTenant("a", "target");
  config.adapters = {{.id = "voice", .path = "missing.gguf"}};
  EXPECT_EQ(runtime.manager->AddTenant(config).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(runtime.manager->TenantNames().empty());
  EXPECT_EQ(runtime.controls["target"]->live_backends, 0);
}

TEST(TenantRuntimeTest, ALateTenantsShareOfTheSlotsIsByItsWeight) {
  FakeRuntime runtime({.stream_capacity = 1, .max_running = 4},
                      {{"target", {.end_of_text_logit = -100}}});
  TenantConfig config = FakeTenant("flood", "target");
  config.target.kv_cache_tokens = 5000;
  const auto flood = runtime.manager->AddTenant(config).value();
  config.name = "heavy";
  config.weight = 3;
  const auto heavy = runtime.manager->AddTenant(config).value();
  // Nobody reads, so nothing ends.
  std::vector<std::unique_ptr<GenerationStream>> streams;
  const auto submit = [&](TenantRuntime& tenant, int32_t running) {
    for (int i = 0; i < 10; ++i) streams.push_back(tenant.GenerateStream(FakeRequest(50)).value());
    Occupancy requests;
    do {
      std::this_thread::yield();
      requests = tenant.Metrics().requests;
    } while (requests.running < running || requests.running + requests.queued < 10);
    EXPECT_EQ(requests.running, running);
  };
  submit(*flood, 4);
  submit(*heavy, 3);
  EXPECT_EQ(flood->Metrics().requests.running, 4);
}

TEST(TenantRuntimeTest, WhatWasPublishedIsSharedAndNothingElse) {
  FakeRuntime runtime({}, {{"target", {.context_tokens = 200}}});
  const auto a = runtime.manager->AddTenant(FakeTenant("a", "target")).value();
  const auto b = runtime.manager->AddTenant(FakeTenant("b", "target")).value();
  const std::string published = "what everyone is told";
  GenerateRequest request = FakeRequest();
  request.prompt = published + " and what one has";
  EXPECT_EQ(a->Generate(request)->finish.usage.cached_prompt_tokens, 0);
  EXPECT_EQ(b->Generate(request)->finish.usage.cached_prompt_tokens, 0) << "it is the other's";

  ASSERT_TRUE(a->AddPublicPrefix(published).ok());
  request.prompt = published + " and something new";
  // A tenant that computes the beginning itself: "a" would find all of it in its own cache.
  const auto c = runtime.manager->AddTenant(FakeTenant("c", "target")).value();
  const std::string expected = c->Generate(request)->text;
  const auto d = runtime.manager->AddTenant(FakeTenant("d", "target")).value();
  const GenerationResult result = *d->Generate(request);
  EXPECT_EQ(result.text, expected);
  const auto shared = static_cast<int32_t>(published.size()) + 1;  // and the beginning of text
  EXPECT_EQ(result.finish.usage.cached_prompt_tokens, shared);
  // It is the operator's, not the tenant's whose prompt it was.
  ASSERT_TRUE(runtime.manager->RemoveTenant("c").ok());
  const auto e = runtime.manager->AddTenant(FakeTenant("e", "target")).value();
  EXPECT_EQ(e->Generate(request)->finish.usage.cached_prompt_tokens, shared);
  EXPECT_EQ(e->AddPublicPrefix(std::vector<TokenId>{99}).code(), StatusCode::kInvalidArgument);
}

TEST(TenantRuntimeTest, MetricsAreTheTenantsOwn) {
  FakeRuntime runtime({}, {{"target", {}}, {"draft", {}}});
  const auto a = runtime.manager->AddTenant(FakeTenant("a", "target", "draft")).value();
  const auto b = runtime.manager->AddTenant(FakeTenant("b", "target")).value();
  const GenerationResult result = *a->Generate(FakeRequest(20));
  EXPECT_EQ(a->Metrics().submitted_requests, 1);
  EXPECT_EQ(a->Metrics().completion_tokens, 20);
  EXPECT_EQ(a->Metrics().prompt_tokens, result.finish.usage.prompt_tokens);
  EXPECT_EQ(a->Metrics().drafted, result.finish.speculation.drafted);
  EXPECT_EQ(a->Metrics().accepted, result.finish.speculation.accepted);
  EXPECT_EQ(a->Metrics().first_token_ms.count, 1);
  EXPECT_EQ(b->Metrics().submitted_requests, 0);
  EXPECT_EQ(b->Metrics().completion_tokens, 0);
  ASSERT_TRUE(runtime.manager->RemoveTenant("a").ok());
  EXPECT_EQ(a->Metrics().submitted_requests, 0) << "it is no longer here";
}

// Answers that nothing in themselves or their prompts foretells, so that only a store can.
class SuffixStoreTest : public ::testing::Test {
 protected:
  SuffixStoreTest()
      : runtime_({}, {{"target", {.vocabulary_size = 400, .end_of_text_logit = -100}}}) {}

  TenantConfig Config(const std::string& name, const std::string& path) {
    TenantConfig config = FakeTenant(name, "target");
    config.speculation.sources = {DraftSourceKind::kSuffix};
    config.suffix_store_path = path;
    return config;
  }
  std::shared_ptr<TenantRuntime> Add(const TenantConfig& config) {
    return runtime_.manager->AddTenant(config).value();
  }
  static int64_t Accepted(const std::shared_ptr<TenantRuntime>& tenant) {
    return tenant->Generate(FakeRequest(50))->finish.speculation.accepted;
  }

  ::foretoken::testing::TempDirectory directory_;
  const std::string path_ = directory_.path() + "/store";
  FakeRuntime runtime_;
};

TEST_F(SuffixStoreTest, AnAnswerIsRememberedForItsTenantOnly) {
  const auto a = Add(Config("a", ""));
  const auto b = Add(Config("b", ""));
  EXPECT_LT(Accepted(a), 5);
  EXPECT_LT(Accepted(b), 5);
  EXPECT_GT(Accepted(a), 25);
  TenantConfig config = Config("none", "");
  config.suffix_store_bytes = 0;
  const auto none = Add(config);
  EXPECT_LT(Accepted(none), 5);
  EXPECT_LT(Accepted(none), 5);
}

TEST_F(SuffixStoreTest, ItIsSavedAtTheRemovalAndLoadedAgain) {
  EXPECT_LT(Accepted(Add(Config("a", path_))), 5);
  ASSERT_TRUE(runtime_.manager->RemoveTenant("a").ok());
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_GT(Accepted(Add(Config("a", path_))), 25);
}

TEST_F(SuffixStoreTest, TwoTenantsCannotKeepTheirsInOneFile) {
  std::filesystem::create_directory_symlink(directory_.path(), directory_.path() + "/link");
  const std::string names[] = {path_, directory_.path() + "/./store",
                               directory_.path() + "/link/store",
                               std::filesystem::relative(path_).string()};
  for (const bool exists : {false, true}) {
    if (exists) std::ofstream(path_) << "something";
    const auto a = Add(Config("a", path_));
    for (const std::string& name : names) {
      const Status status = runtime_.manager->AddTenant(Config("b", name)).status();
      EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << name;
      EXPECT_EQ(status.message(), "tenant 'b' cannot keep its suffix store in " +
                                      a->config().suffix_store_path + ": tenant 'a' does");
    }
    EXPECT_EQ(runtime_.manager->TenantNames(), std::vector<std::string>{"a"});
    // It is free again after a removal, and after a tenant that came to nothing.
    ASSERT_TRUE(runtime_.manager->RemoveTenant("a").ok());
    TenantConfig broken = Config("b", path_);
    broken.target.path = "missing";
    EXPECT_EQ(runtime_.manager->AddTenant(broken).status().code(), StatusCode::kNotFound);
    Add(Config("c", path_));
    ASSERT_TRUE(runtime_.manager->RemoveTenant("c").ok());
    std::filesystem::remove(path_);
  }
}

TEST_F(SuffixStoreTest, AFileOfAnotherTenantIsNotTakenUp) {
  EXPECT_LT(Accepted(Add(Config("a", path_))), 5);
  ASSERT_TRUE(runtime_.manager->RemoveTenant("a").ok());
  const std::string copy = directory_.path() + "/copy";
  std::filesystem::copy_file(path_, copy);
  EXPECT_LT(Accepted(Add(Config("b", copy))), 5);
}

TEST_F(SuffixStoreTest, ABrokenFileIsAnEmptyStore) {
  EXPECT_LT(Accepted(Add(Config("a", directory_.Write("broken", "FTSUFFIX and nothing else")))), 5);
}

TEST_F(SuffixStoreTest, WithoutAPlaceToSaveItTheTenantIsRemovedAllTheSame) {
  Accepted(Add(Config("a", directory_.path() + "/missing/store")));
  EXPECT_EQ(runtime_.manager->RemoveTenant("a").code(), StatusCode::kNotFound);
  EXPECT_TRUE(runtime_.manager->TenantNames().empty());
  EXPECT_TRUE(runtime_.manager->AddTenant(Config("a", "")).ok());
}

}  // namespace
}  // namespace foretoken
