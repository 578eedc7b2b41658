#include "foretoken/options.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

namespace foretoken {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(OptionsTest, DefaultsAreValid) {
  EXPECT_TRUE(Validate(SamplingOptions()).ok());
  EXPECT_TRUE(Validate(SpeculativeConfig()).ok());
  EXPECT_TRUE(Validate(GenerateOptions()).ok());
  EXPECT_TRUE(Validate(RuntimeOptions()).ok());
  EXPECT_EQ(SpeculativeConfig().draft_k, 4);
  EXPECT_EQ(SpeculativeConfig().max_draft_tokens, 8);
}

TEST(OptionsTest, BadValuesNameTheirField) {
  struct Case {
    std::string field;
    std::function<void(GenerateOptions&)> change;
  };
  const Case cases[] = {
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
      {"draft_k", [](auto& o) { o.speculation = SpeculativeConfig{.draft_k = -1}; }},
      {"max_draft_tokens",
       [](auto& o) { o.speculation = SpeculativeConfig{.max_draft_tokens = -1}; }},
  };
  for (const Case& c : cases) {
    GenerateOptions options;
    c.change(options);
    const Status status = Validate(options);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << c.field;
    EXPECT_NE(status.message().find(c.field), std::string::npos) << status.message();
  }
}

TEST(OptionsTest, TenantsNeedANameAndATarget) {
  TenantConfig config;
  EXPECT_FALSE(Validate(config).ok());
  config.name = "t";
  EXPECT_FALSE(Validate(config).ok());
  config.target.path = "model.gguf";
  EXPECT_TRUE(Validate(config).ok());
  config.draft_model = ModelConfig{};
  EXPECT_FALSE(Validate(config).ok());
  config.draft_model->path = "draft.gguf";
  config.target.threads = -1;
  EXPECT_NE(Validate(config).message().find("threads"), std::string::npos);
}

}  // namespace
}  // namespace foretoken
