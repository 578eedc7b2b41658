#include "foretoken/options.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace foretoken {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A change of valid options, and what the message must name; empty: they stay valid.
template <typename Options>
struct Case {
  std::string field;
  std::function<void(Options&)> change;
};

template <typename Options>
void ExpectEach(const Options& valid, const std::vector<Case<Options>>& cases) {
  EXPECT_TRUE(Validate(valid).ok()) << Validate(valid).ToString();
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE("case " + std::to_string(i) + " " + cases[i].field);
    Options options = valid;
    cases[i].change(options);
    const Status status = Validate(options);
    if (cases[i].field.empty()) {
      EXPECT_TRUE(status.ok()) << status.ToString();
      continue;
    }
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(cases[i].field), std::string::npos) << status.message();
  }
}

TEST(OptionsTest, DefaultsAreValid) {
  EXPECT_TRUE(Validate(SamplingOptions()).ok());
  EXPECT_TRUE(Validate(SpeculativeConfig()).ok());
  EXPECT_TRUE(Validate(GenerateOptions()).ok());
  EXPECT_TRUE(Validate(RuntimeOptions()).ok());
  EXPECT_EQ(SpeculativeConfig().mode, SpeculationMode::kAuto);
  EXPECT_EQ(SpeculativeConfig().draft_k, 4);
  EXPECT_EQ(SpeculativeConfig().max_draft_tokens, 8);
}

TEST(OptionsTest, BadValuesNameTheirField) {
  ExpectEach<GenerateOptions>(
      {}, {
              {"temperature", [](auto& o) { o.sampling.temperature = -1; }},
              {"temperature", [](auto& o) { o.sampling.temperature = kNan; }},
              {"temperature", [](auto& o) { o.sampling.temperature = kInfinity; }},
              {"top_k", [](auto& o) { o.sampling.top_k = -1; }},
              {"top_p", [](auto& o) { o.sampling.top_p = 0; }},
              {"top_p", [](auto& o) { o.sampling.top_p = 1.5f; }},
              {"top_p", [](auto& o) { o.sampling.top_p = kNan; }},
              {"min_p", [](auto& o) { o.sampling.min_p = -0.1f; }},
              {"min_p", [](auto& o) { o.sampling.min_p = kNan; }},
              {"repetition_penalty", [](auto& o) { o.sampling.repetition_penalty = 0; }},
              {"repetition_penalty", [](auto& o) { o.sampling.repetition_penalty = kNan; }},
              {"frequency_penalty", [](auto& o) { o.sampling.frequency_penalty = 3; }},
              {"frequency_penalty", [](auto& o) { o.sampling.frequency_penalty = kNan; }},
              {"presence_penalty", [](auto& o) { o.sampling.presence_penalty = -3; }},
              {"logit_bias",
               [](auto& o) {
                 o.sampling.logit_bias = {{1, 101.0f}};
               }},
              {"logit_bias",
               [](auto& o) {
                 o.sampling.logit_bias = {{1, kNan}};
               }},
              {"logit_bias token",
               [](auto& o) {
                 o.sampling.logit_bias = {{-1, 1.0f}};
               }},
              {"max_tokens", [](auto& o) { o.max_tokens = 0; }},
              {"logprobs", [](auto& o) { o.logprobs = 21; }},
              {"logprobs", [](auto& o) { o.logprobs = -1; }},
              {"stop string", [](auto& o) { o.stop = {""}; }},
              {"stop strings", [](auto& o) { o.stop.assign(17, "x"); }},
              {"deadline_ms", [](auto& o) { o.deadline_ms = -1; }},
              {"draft_k", [](auto& o) { o.speculation = SpeculativeConfig{.draft_k = -1}; }},
              {"max_draft_tokens",
               [](auto& o) { o.speculation = SpeculativeConfig{.max_draft_tokens = -1}; }},
              {"", [](auto& o) { o.stop.assign(16, "x"); }},
              {"", [](auto& o) { o.logprobs = 20; }},
              {"", [](auto& o) { o.deadline_ms = int64_t{1} << 40; }},
              {"", [](auto& o) { o.choice = ~uint64_t{0}; }},
              {"", [](auto& o) { o.prediction = "as before"; }},
              {"", [](auto& o) { o.speculation = SpeculativeConfig{.draft_k = 0, .sources = {}}; }},
          });
}

TEST(OptionsTest, ModelsNeedAPathAndACacheForOneContext) {
  ExpectEach<ModelConfig>({.path = "model.gguf"},
                          {
                              {"path", [](auto& o) { o.path.clear(); }},
                              {"context_tokens", [](auto& o) { o.context_tokens = -1; }},
                              {"threads", [](auto& o) { o.threads = -1; }},
                              {"threads", [](auto& o) { o.threads = 513; }},
                              {"kv_cache_tokens", [](auto& o) { o.kv_cache_tokens = -1; }},
                              {"kv_cache_tokens",
                               [](auto& o) {
                                 o.context_tokens = 100;
                                 o.kv_cache_tokens = 99;
                               }},
                              {"",
                               [](auto& o) {
                                 o.context_tokens = 100;
                                 o.kv_cache_tokens = 100;
                               }},
                              {"", [](auto& o) { o.threads = 512; }},
                          });
}

TEST(OptionsTest, TenantsNeedANameAndATarget) {
  EXPECT_FALSE(Validate(TenantConfig()).ok());
  TenantConfig valid;
  valid.name = "t";
  EXPECT_FALSE(Validate(valid).ok());
  valid.target.path = "model.gguf";
  const AdapterConfig adapter{.id = "a", .path = "a.gguf"};
  ExpectEach<TenantConfig>(
      valid,
      {
          {"name", [](auto& o) { o.name.clear(); }},
          {"path", [](auto& o) { o.draft_model = ModelConfig{}; }},
          {"", [](auto& o) { o.draft_model = ModelConfig{.path = "draft.gguf"}; }},
          {"threads", [](auto& o) { o.target.threads = -1; }},
          {"threads", [](auto& o) { o.draft_model = ModelConfig{.path = "d", .threads = -1}; }},
          {"draft_k", [](auto& o) { o.speculation.draft_k = -1; }},
          {"weight", [](auto& o) { o.weight = 0; }},
          {"weight", [](auto& o) { o.weight = 0.0009; }},
          {"weight", [](auto& o) { o.weight = 1000.1; }},
          {"weight", [](auto& o) { o.weight = kNan; }},
          {"", [](auto& o) { o.weight = 1000; }},
          {"", [](auto& o) { o.weight = 0.001; }},
          {"suffix_store_bytes", [](auto& o) { o.suffix_store_bytes = -1; }},
          {"suffix_store_bytes", [](auto& o) { o.suffix_store_bytes = (int64_t{1} << 30) + 1; }},
          {"", [](auto& o) { o.suffix_store_bytes = int64_t{1} << 30; }},
          {"", [](auto& o) { o.suffix_store_bytes = 0; }},
          {"adapter", [&](auto& o) { o.adapters = {{.path = "a.gguf"}}; }},
          {"path", [&](auto& o) { o.adapters = {{.id = "a"}}; }},
          {"scale",
           [&](auto& o) {
             o.adapters = {adapter};
             o.adapters[0].scale = kInfinity;
           }},
          {"two adapters",
           [&](auto& o) {
             o.adapters = {adapter, adapter};
           }},
          {"",
           [&](auto& o) {
             o.adapters = {adapter, adapter};
             o.adapters[1].id = "b";
           }},
      });
}

TEST(OptionsTest, RuntimeOptionsHaveRanges) {
  ExpectEach<RuntimeOptions>({},
                             {
                                 {"stream_capacity", [](auto& o) { o.stream_capacity = 0; }},
                                 {"stream_capacity", [](auto& o) { o.stream_capacity = 65537; }},
                                 {"slow_reader_ms", [](auto& o) { o.slow_reader_ms = 0; }},
                                 {"max_running", [](auto& o) { o.max_running = 0; }},
                                 {"max_running", [](auto& o) { o.max_running = 257; }},
                                 {"prefill_slowdown", [](auto& o) { o.prefill_slowdown = 1.4; }},
                                 {"prefill_slowdown", [](auto& o) { o.prefill_slowdown = 1000.5; }},
                                 {"prefill_slowdown", [](auto& o) { o.prefill_slowdown = kNan; }},
                                 {"paused_state_bytes", [](auto& o) { o.paused_state_bytes = -1; }},
                                 {"", [](auto& o) { o.stream_capacity = 1; }},
                                 {"", [](auto& o) { o.stream_capacity = 65536; }},
                                 {"", [](auto& o) { o.slow_reader_ms = 1; }},
                                 {"", [](auto& o) { o.max_running = 1; }},
                                 {"", [](auto& o) { o.max_running = 256; }},
                                 {"", [](auto& o) { o.prefill_slowdown = 1.5; }},
                                 {"", [](auto& o) { o.prefill_slowdown = 1000; }},
                                 {"", [](auto& o) { o.paused_state_bytes = 0; }},
                             });
}

}  // namespace
}  // namespace foretoken
