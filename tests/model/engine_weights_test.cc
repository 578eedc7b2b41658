// The first promise with the weights of a real model, smollm2-135m, and without exceptions:
// whatever the engine does with a request beside others (chunks of its prompt, prefixes reused,
// drafts accepted and rejected, neighbours, pauses for want of cache, adapters), its tokens and
// their log-probabilities are the bits that it gets alone and without speculation.
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "foretoken/runtime_manager.h"
#include "model/gguf_reader.h"
#include "model/model_store.h"
#include "testing/gguf_writer.h"
#include "testing/temp_directory.h"

namespace foretoken {
namespace {

constexpr int32_t kContext = 384;

struct Engines {
  const char* name;
  int32_t threads = 2;
  CacheType cache_type = CacheType::kF16;
  int32_t kv_cache_tokens = 4 * kContext;
  int64_t paused_state_bytes = 1 << 28;
  bool prefix_reuse = true;
  double prefill_slowdown = 3.0;
  uint64_t seed = 1;
};

std::string ModelPath() {
  const auto directory = ModelStore::DefaultDirectory();
  return directory.ok() ? ModelStore(*directory).FilePath("smollm2-135m") : "";
}

// A text of repeated and of new sentences, so that drafts are right and wrong.
std::string Sentences(std::mt19937& random, int count) {
  const std::vector<std::string> kinds = {
      "The keeper wrote down the wind, the cloud and the height of the sea. ",
      "def add(a, b):\n    return a + b\n",
      "One day in November the page for the next day was already written. ",
      "Count: one, two, three, four, five, six, seven. ", "for i in range(10):\n    print(i)\n"};
  std::string text;
  for (int i = 0; i < count; ++i) text += kinds[random() % kinds.size()];
  return text;
}

class EngineWeightsTest : public ::testing::TestWithParam<Engines> {
 protected:
  void SetUp() override {
    ASSERT_NE(ModelPath(), "");
    const GgufFile file = ReadGgufFile(ModelPath()).value();
    adapter_path_ = directory_.path() + "/adapter.gguf";
    std::ofstream(adapter_path_, std::ios::binary)
        << testing::LoraGguf(file, {"blk.3.attn_q.weight", "blk.20.ffn_up.weight"}, 4, 1).Bytes();
  }

  TenantConfig Tenant(const std::string& name, SpeculationMode mode, bool draft) const {
    TenantConfig tenant;
    tenant.name = name;
    tenant.target = {.id = "target",
                     .path = ModelPath(),
                     .context_tokens = kContext,
                     .threads = GetParam().threads,
                     .kv_cache_tokens = GetParam().kv_cache_tokens,
                     .cache_type = GetParam().cache_type};
    if (draft) tenant.draft_model = tenant.target;
    tenant.speculation.mode = mode;
    tenant.adapters = {{.id = "x", .path = adapter_path_, .scale = 1.0f}};
    return tenant;
  }

  // The same requests for every way of running them.
  static std::vector<GenerateRequest> Requests(uint64_t seed) {
    std::mt19937 random(static_cast<uint32_t>(seed));
    std::vector<GenerateRequest> requests;
    const std::string shared = Sentences(random, 8);
    for (int i = 0; i < 14; ++i) {
      GenerateRequest request;
      const std::string own = Sentences(random, 1 + static_cast<int>(random() % 4));
      request.prompt = i % 3 == 0 ? own : shared + own;
      GenerateOptions& options = request.options;
      options.max_tokens = 8 + static_cast<int32_t>(random() % 40);
      options.ignore_end_of_text = true;
      options.logprobs = 2;
      options.sampling.seed = random();
      options.sampling.temperature = i % 2 == 0 ? 0.0f : 0.8f;
      if (i % 4 == 1) options.sampling.top_p = 0.9f;
      if (i % 5 == 2) options.adapter = "x";
      if (i % 7 == 3) options.prediction = own;
      options.choice = random() % 2;
      requests.push_back(std::move(request));
    }
    return requests;
  }

  const testing::TempDirectory directory_;
  std::string adapter_path_;
};

void ExpectSameAnswer(const GenerationResult& answer, const GenerationResult& alone,
                      const std::string& where) {
  ASSERT_EQ(answer.tokens.size(), alone.tokens.size()) << where;
  for (size_t t = 0; t < answer.tokens.size(); ++t) {
    ASSERT_EQ(answer.tokens[t].id, alone.tokens[t].id) << where << ", token " << t;
    // The whole row went into it.
    ASSERT_EQ(answer.tokens[t].logprob, alone.tokens[t].logprob) << where << ", token " << t;
  }
}

TEST_P(EngineWeightsTest, EveryRequestGetsTheBitsThatItGetsAlone) {
  const Engines& engines = GetParam();
  const std::vector<GenerateRequest> requests = Requests(engines.seed);

  std::vector<GenerationResult> alone;
  {
    const auto manager = RuntimeManager::Create({.prefix_reuse = false}).value();
    TenantConfig plain = Tenant("plain", SpeculationMode::kOff, false);
    plain.target.kv_cache_tokens = kContext;
    ASSERT_TRUE(manager->AddTenant(plain).ok());
    for (const GenerateRequest& request : requests) {
      auto answer = manager->Generate("plain", request);
      ASSERT_TRUE(answer.ok()) << answer.status().ToString();
      alone.push_back(std::move(answer).value());
    }
  }

  RuntimeOptions options;
  options.prefix_reuse = engines.prefix_reuse;
  options.prefill_slowdown = engines.prefill_slowdown;
  options.paused_state_bytes = engines.paused_state_bytes;
  const auto manager = RuntimeManager::Create(options).value();
  const std::vector<TenantConfig> tenants = {Tenant("off", SpeculationMode::kOff, false),
                                             Tenant("fixed", SpeculationMode::kFixed, true),
                                             Tenant("auto", SpeculationMode::kAuto, true)};
  for (const TenantConfig& tenant : tenants) {
    const auto added = manager->AddTenant(tenant);
    ASSERT_TRUE(added.ok()) << added.status().ToString();
    EXPECT_EQ((*added)->draft_ready().ok(), tenant.draft_model.has_value());
  }
  std::vector<GenerationResult> answers(requests.size());
  std::vector<std::thread> clients;
  for (size_t i = 0; i < requests.size(); ++i) {
    clients.emplace_back([&, i] {
      auto answer = manager->Generate(tenants[i % tenants.size()].name, requests[i]);
      EXPECT_TRUE(answer.ok()) << answer.status().ToString();
      if (answer.ok()) answers[i] = std::move(answer).value();
    });
  }
  for (std::thread& client : clients) client.join();
  SpeculationStats all;
  for (size_t i = 0; i < requests.size(); ++i) {
    all.accepted += answers[i].finish.speculation.accepted;
    all.drafted += answers[i].finish.speculation.drafted;
    ExpectSameAnswer(answers[i], alone[i], fmt::format("request {}", i));
  }
  EXPECT_GT(all.accepted, 0);
  EXPECT_LT(all.accepted, all.drafted);
}

INSTANTIATE_TEST_SUITE_P(
    Ways, EngineWeightsTest,
    ::testing::Values(Engines{.name = "usual"},
                      Engines{.name = "one_thread", .threads = 1, .seed = 2},
                      Engines{.name = "q8_0_cache", .cache_type = CacheType::kQ8_0, .seed = 3},
                      Engines{
                          .name = "paused_and_saved", .kv_cache_tokens = 2 * kContext, .seed = 4},
                      Engines{.name = "paused_and_run_again",
                              .kv_cache_tokens = 2 * kContext,
                              .paused_state_bytes = 0,
                              .seed = 5},
                      Engines{.name = "no_prefix_reuse", .prefix_reuse = false, .seed = 6},
                      Engines{.name = "small_chunks", .prefill_slowdown = 1.5, .seed = 7},
                      Engines{.name = "large_chunks", .prefill_slowdown = 100, .seed = 8}),
    [](const auto& way) { return std::string(way.param.name); });

}  // namespace
}  // namespace foretoken
