#include "result_json.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace foretoken {
namespace {

GenerationResult MadeUpResult() {
  GenerationResult result;
  result.text = "caf\xC3\xA9";
  result.tokens.resize(2);
  result.tokens[0].id = 5;
  result.tokens[1].id = 9;
  FinishedEvent& finish = result.finish;
  finish.reason = FinishReason::kLength;
  finish.usage = {.prompt_tokens = 11, .completion_tokens = 2};
  finish.timings = {.prompt_ms = 1.5,
                    .first_token_ms = 2.5,
                    .decode_ms = 20,
                    .draft_ms = 3,
                    .verify_ms = 12,
                    .sample_ms = 1,
                    .decode_tokens_per_second = 50};
  finish.speculation = {
      .rounds = 4, .drafted = 8, .accepted = 6, .rejected = 2, .bonus = 1, .tau = 2.5};
  finish.speculation.by_source[DraftSourceKind::kDraftModel] = {.drafted = 5, .accepted = 4};
  finish.speculation.by_source[DraftSourceKind::kSuffix] = {.drafted = 3, .accepted = 2};
  finish.speculation.by_position = {{.drafted = 4, .accepted = 4}, {.drafted = 4, .accepted = 2}};
  finish.seed = 18446744073709551615u;
  finish.warnings = {"careful"};
  return result;
}

std::vector<std::string> Keys(const nlohmann::ordered_json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

TEST(ResultJsonTest, HasTheDocumentedShape) {
  const auto json = ResultToJson(MadeUpResult());
  EXPECT_EQ(Keys(json), (std::vector<std::string>{"text", "token_ids", "finish_reason", "usage",
                                                  "timings", "speculation", "seed", "warnings"}));
  EXPECT_EQ(json["text"], "caf\xC3\xA9");
  EXPECT_EQ(json["token_ids"].dump(), "[5,9]");
  EXPECT_EQ(json["finish_reason"], "length");
  EXPECT_EQ(json["usage"].dump(), R"({"prompt_tokens":11,"completion_tokens":2})");
  EXPECT_EQ(Keys(json["timings"]),
            (std::vector<std::string>{"prompt_ms", "decode_ms", "decode_tokens_per_second",
                                      "first_token_ms", "draft_ms", "verify_ms", "sample_ms"}));
  EXPECT_EQ(json["timings"]["decode_tokens_per_second"], 50);
  EXPECT_EQ(json["speculation"].dump(),
            R"({"drafted":8,"accepted":6,"rejected":2,"bonus":1,"rounds":4,"tau":2.5,)"
            R"("by_source":{"draft":{"drafted":5,"accepted":4},)"
            R"("suffix":{"drafted":3,"accepted":2}},)"
            R"("by_position":[{"drafted":4,"accepted":4},{"drafted":4,"accepted":2}]})");
  EXPECT_EQ(json["seed"].dump(), "18446744073709551615");
  EXPECT_EQ(json["warnings"].dump(), R"(["careful"])");
}

TEST(ResultJsonTest, EmptyResultsKeepTheirTypes) {
  const auto json = ResultToJson(GenerationResult());
  EXPECT_EQ(json["token_ids"].dump(), "[]");
  EXPECT_EQ(json["warnings"].dump(), "[]");
  EXPECT_EQ(json["speculation"]["by_source"].dump(), "{}");
  EXPECT_EQ(json["speculation"]["by_position"].dump(), "[]");
}

TEST(ResultJsonTest, LogprobsAreThereWhenAskedFor) {
  GenerationResult result = MadeUpResult();
  result.tokens[0].text = "caf";
  result.tokens[0].logprob = -0.5f;
  result.tokens[0].top_logprobs = {{.token = 5, .logprob = -0.5f}, {.token = 2, .logprob = -1}};
  result.tokens[1].logprob = -2.0f;
  const auto json = ResultToJson(result);
  EXPECT_EQ(json["logprobs"].dump(),
            R"([{"token_id":5,"text":"caf","logprob":-0.5,"top":[{"token_id":5,"logprob":-0.5},)"
            R"({"token_id":2,"logprob":-1.0}]},{"token_id":9,"text":"","logprob":-2.0,"top":[]}])");
}

TEST(ResultJsonTest, AFailureIsBesideWhatWasGenerated) {
  GenerationResult result = MadeUpResult();
  result.finish.reason = FinishReason::kError;
  result.finish.status = InternalError("it broke");
  const auto json = ResultToJson(result);
  EXPECT_EQ(json["error"].dump(), R"({"code":"INTERNAL","message":"it broke"})");
  EXPECT_EQ(json["token_ids"].size(), 2u);
}

TEST(ResultJsonTest, DumpsOnOneLineAndNeverInvalidUtf8) {
  GenerationResult result = MadeUpResult();
  result.text = "a\xFF\nb";
  const std::string line = DumpJson(ResultToJson(result));
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(line)["text"], "a\xEF\xBF\xBD\nb");
}

}  // namespace
}  // namespace foretoken
