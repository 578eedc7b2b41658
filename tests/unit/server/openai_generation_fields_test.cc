#include "server/openai_generation_fields.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "unit/server/openai_fixture.h"

namespace foretoken {
namespace {

GenerationFields Parse(const std::string& fields) {
  return ExpectRight(ParseChatCompletionRequest(ChatBody(fields))).common;
}

TEST(OpenAiGenerationFieldsTest, DefaultsAreOpenAis) {
  const GenerationFields fields = Parse("");
  EXPECT_EQ(fields.model, "m");
  const SamplingOptions& sampling = fields.options.sampling;
  EXPECT_EQ(sampling.temperature, 1);
  EXPECT_EQ(sampling.top_p, 1);
  EXPECT_EQ(sampling.top_k, 0);
  EXPECT_EQ(sampling.min_p, 0);
  EXPECT_EQ(sampling.repetition_penalty, 1);
  EXPECT_EQ(sampling.frequency_penalty, 0);
  EXPECT_EQ(sampling.presence_penalty, 0);
  EXPECT_TRUE(sampling.logit_bias.empty());
  EXPECT_FALSE(sampling.seed);
  EXPECT_FALSE(fields.max_tokens);
  EXPECT_FALSE(fields.speculation);
  EXPECT_FALSE(fields.options.logprobs);
  EXPECT_EQ(fields.options.deadline_ms, 0);
  EXPECT_EQ(fields.n, 1);
  EXPECT_FALSE(fields.stream);
  EXPECT_FALSE(fields.include_usage);
  EXPECT_TRUE(fields.ignored_fields.empty());
  EXPECT_TRUE(Validate(fields.options).ok());
}

TEST(OpenAiGenerationFieldsTest, EveryFieldArrives) {
  const GenerationFields fields = Parse(R"(
      "temperature": 0.5, "top_p": 0.25, "top_k": 40, "min_p": 0.125, "repetition_penalty": 1.25,
      "frequency_penalty": -2, "presence_penalty": 2, "seed": -7, "n": 16, "stream": true,
      "stream_options": {"include_usage": true}, "stop": ["a", "b"], "user": "u",
      "logit_bias": {"5": -100, "0": 2.5}, "metadata": {"k": "v"}, "deadline_ms": 1500,
      "ignore_eos": true)");
  const SamplingOptions& sampling = fields.options.sampling;
  EXPECT_EQ(sampling.temperature, 0.5f);
  EXPECT_EQ(sampling.top_p, 0.25f);
  EXPECT_EQ(sampling.top_k, 40);
  EXPECT_EQ(sampling.min_p, 0.125f);
  EXPECT_EQ(sampling.repetition_penalty, 1.25f);
  EXPECT_EQ(sampling.frequency_penalty, -2);
  EXPECT_EQ(sampling.presence_penalty, 2);
  EXPECT_EQ(sampling.seed, static_cast<uint64_t>(-7));
  EXPECT_EQ(sampling.logit_bias, (std::vector<std::pair<TokenId, float>>{{0, 2.5f}, {5, -100.0f}}));
  EXPECT_EQ(fields.n, 16);
  EXPECT_TRUE(fields.stream);
  EXPECT_TRUE(fields.include_usage);
  EXPECT_EQ(fields.options.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(fields.user, "u");
  EXPECT_EQ(fields.metadata, R"({"k":"v"})");
  EXPECT_EQ(fields.options.deadline_ms, 1500);
  EXPECT_TRUE(fields.options.ignore_end_of_text);
  EXPECT_TRUE(Validate(fields.options).ok());
}

TEST(OpenAiGenerationFieldsTest, OtherWaysToSayTheSame) {
  EXPECT_EQ(Parse(R"("stop": "end")").options.stop, std::vector<std::string>{"end"});
  EXPECT_TRUE(
      Parse(R"("stop": null, "temperature": null, "n": null, "seed": null)").options.stop.empty());
  EXPECT_EQ(Parse(R"("n": 2.0)").n, 2);
  EXPECT_EQ(Parse(R"("top_k": -1)").options.sampling.top_k, 0);
  EXPECT_EQ(Parse(R"("seed": 9223372036854775807)").options.sampling.seed,
            uint64_t{9223372036854775807});
  // 0 is allowed by the API; the engine wants the least number above it.
  const GenerationFields greedy = Parse(R"("top_p": 0, "temperature": -0.0)");
  EXPECT_GT(greedy.options.sampling.top_p, 0);
  EXPECT_LT(greedy.options.sampling.top_p, 1e-30);
  EXPECT_FALSE(std::signbit(greedy.options.sampling.temperature));
}

TEST(OpenAiGenerationFieldsTest, SpeculationIsTheTenantsWhereTheRequestDoesNotSay) {
  SpeculativeConfig tenant;
  tenant.draft_k = 3;
  tenant.max_draft_tokens = 5;
  tenant.sources = {DraftSourceKind::kSuffix};
  SpeculativeConfig merged = Parse(R"("speculation": {"mode": "fixed"})").speculation->Over(tenant);
  EXPECT_EQ(merged.mode, SpeculationMode::kFixed);
  EXPECT_EQ(merged.draft_k, 3);
  EXPECT_EQ(merged.max_draft_tokens, 5);
  EXPECT_EQ(merged.sources, tenant.sources);
  EXPECT_EQ(merged.rule, VerifyRule::kCoupled);
  merged = Parse(R"("speculation": {"mode": "off", "draft_tokens": 7, "max_draft_tokens": 9,
                     "sources": ["prediction", "draft"], "rule": "max_acceptance", "x": 1})")
               .speculation->Over(tenant);
  EXPECT_EQ(merged.mode, SpeculationMode::kOff);
  EXPECT_EQ(merged.draft_k, 7);
  EXPECT_EQ(merged.max_draft_tokens, 9);
  EXPECT_EQ(merged.sources, (std::vector<DraftSourceKind>{DraftSourceKind::kPrediction,
                                                          DraftSourceKind::kDraftModel}));
  EXPECT_EQ(merged.rule, VerifyRule::kMaxAcceptance);
  EXPECT_TRUE(Parse(R"("speculation": {"sources": []})").speculation->Over(tenant).sources.empty());
}

TEST(OpenAiGenerationFieldsTest, WhatHasNoEffectIsNamed) {
  EXPECT_EQ(
      Parse(R"("store": true, "zebra": 1, "stream_options": {"include_obfuscation": true},
                     "speculation": {"colour": 1}, "nothing": null, "service_tier": "auto")")
          .ignored_fields,
      (std::vector<std::string>{"speculation.colour", "store", "stream_options.include_obfuscation",
                                "service_tier", "zebra"}));
  EXPECT_TRUE(Parse(R"("store": false)").ignored_fields.empty());
}

TEST(OpenAiGenerationFieldsTest, WhatIsWrongIsSaid) {
  const std::string stop =
      "stop must be a string or an array of at most 16 strings, none of them empty";
  const std::string bias =
      "logit_bias must be an object whose keys are token ids, such as \"50256\", and whose values "
      "are numbers between -100 and 100";
  const std::string metadata =
      "metadata must be an object of at most 16 strings of at most 512 characters, with keys of at "
      "most 64";
  const std::string sources =
      "speculation.sources must be an array of draft, suffix and prediction, at most one of each";
  std::string stops = "\"stop\": [";
  for (int i = 0; i < 17; ++i) stops += i == 0 ? "\"a\"" : ",\"a\"";
  const WrongRequest kCases[] = {
      {R"("temperature": 2.1)", "temperature", "invalid_value",
       "temperature is 2.1; it must be between 0 and 2"},
      {R"("temperature": "1")", "temperature", "invalid_type",
       "temperature is a string; it must be a number between 0 and 2"},
      {R"("temperature": true)", "temperature", "invalid_type",
       "temperature is a boolean; it must be a number between 0 and 2"},
      {R"("top_p": 1.5)", "top_p", "invalid_value", "top_p is 1.5; it must be between 0 and 1"},
      {R"("min_p": -1)", "min_p", "invalid_value", "min_p is -1; it must be between 0 and 1"},
      {R"("n": 0)", "n", "invalid_value", "n is 0; it must be between 1 and 16"},
      {R"("n": 17)", "n", "invalid_value", "n is 17; it must be between 1 and 16"},
      {R"("n": 1.5)", "n", "invalid_value", "n is 1.5; it must be an integer between 1 and 16"},
      {R"("n": [1])", "n", "invalid_type", "n is an array; it must be an integer between 1 and 16"},
      {R"("seed": 1e300)", "seed", "invalid_value",
       "seed is 1e+300; it must be between -9223372036854775808 and 9223372036854775807"},
      {R"("frequency_penalty": 2.5)", "frequency_penalty", "invalid_value",
       "frequency_penalty is 2.5; it must be between -2 and 2"},
      {R"("stream": "yes")", "stream", "invalid_type",
       "stream is a string; it must be true or false"},
      {R"("stream_options": [])", "stream_options", "invalid_type",
       "stream_options is an array; it must be an object"},
      {R"("stream_options": {"include_usage": 1})", "stream_options.include_usage", "invalid_type",
       "stream_options.include_usage is a number; it must be true or false"},
      {R"("stop": "")", "stop", "invalid_value", stop},
      {R"("stop": ["a", 1])", "stop", "invalid_value", stop},
      {R"("stop": {})", "stop", "invalid_value", stop},
      {stops + "]", "stop", "invalid_value", stop},
      {R"("logit_bias": {"x": 1})", "logit_bias", "invalid_value", bias},
      {R"("logit_bias": {"": 1})", "logit_bias", "invalid_value", bias},
      {R"("logit_bias": {"-1": 1})", "logit_bias", "invalid_value", bias},
      {R"("logit_bias": {"99999999999": 1})", "logit_bias", "invalid_value", bias},
      {R"("logit_bias": {"1": 100.5})", "logit_bias", "invalid_value", bias},
      {R"("logit_bias": {"1": "1"})", "logit_bias", "invalid_value", bias},
      {R"("logit_bias": [1])", "logit_bias", "invalid_type",
       "logit_bias is an array; it must be an object"},
      {R"("metadata": {"a": 1})", "metadata", "invalid_value", metadata},
      {"\"metadata\": {\"a\": \"" + std::string(513, 'x') + "\"}", "metadata", "invalid_value",
       metadata},
      {R"("deadline_ms": -1)", "deadline_ms", "invalid_value",
       "deadline_ms is -1; it must be between 0 and 86400000"},
      {R"("speculation": "off")", "speculation", "invalid_type",
       "speculation is a string; it must be an object"},
      {R"("speculation": {"mode": "on"})", "speculation.mode", "invalid_value",
       "speculation.mode is \"on\"; it must be one of auto, off, fixed"},
      {R"("speculation": {"max_draft_tokens": 1025})", "speculation.max_draft_tokens",
       "invalid_value", "speculation.max_draft_tokens is 1025; it must be between 0 and 1024"},
      {R"("speculation": {"sources": ["oracle"]})", "speculation.sources", "invalid_value",
       sources},
      {R"("speculation": {"sources": ["draft", "draft", "draft", "draft"]})", "speculation.sources",
       "invalid_value", sources},
      {R"("speculation": {"rule": "greedy"})", "speculation.rule", "invalid_value",
       "speculation.rule is \"greedy\"; it must be one of coupled, max_acceptance"},
      {R"("user": 1)", "user", "invalid_type", "user is a number; it must be a string"},
  };
  for (WrongRequest wrong : kCases) {
    wrong.body = ChatBody(wrong.body);
    ExpectWrong(ParseChatCompletionRequest(wrong.body), wrong);
  }
}

TEST(OpenAiGenerationFieldsTest, WithoutAModelItIsTheTenants) {
  const auto parsed =
      ParseChatCompletionRequest(R"({"messages": [{"role": "user", "content": "a"}]})");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->common.model, "");
}

}  // namespace
}  // namespace foretoken
