#include "server/openai_completion_answer.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "unit/server/openai_answer_fixture.h"

namespace foretoken {
namespace {

using nlohmann::json;

constexpr const char* kHead = R"("id": "id-1", "object": "text_completion", "created": 1700000000,
                                 "model": "m\"x", "system_fingerprint": "fp_1")";

json Expected(const std::string& rest) {
  return json::parse(std::string("{") + kHead + ", " + rest + "}");
}

TEST(OpenAiCompletionAnswerTest, AWholeAnswer) {
  const std::vector<CompletionChoice> choices = {
      {.text = " a\n", .finish = FinishReason::kStop},
      {.text = "b", .finish = FinishReason::kLength, .tokens = {}}};
  EXPECT_EQ(json::parse(CompletionBody(TestHead(), choices, TestTotals())),
            Expected(std::string(R"("choices": [
      {"index": 0, "text": " a\n", "logprobs": null, "finish_reason": "stop"},
      {"index": 1, "text": "b", "logprobs": null, "finish_reason": "length"}],)") +
                     kTestTotalsJson));
}

TEST(OpenAiCompletionAnswerTest, LogprobsOfEachChoiceCountFromItsBeginning) {
  const std::vector<CompletionChoice> choices = {{.text = "x", .tokens = TestTokens()},
                                                 {.text = "y", .tokens = TestTokens()}};
  const json body = json::parse(CompletionBody(TestHead(), choices, TestTotals(), TestTokenBytes));
  for (const json& choice : body["choices"]) {
    EXPECT_EQ(choice["logprobs"]["text_offset"], json::parse("[0, 5, 6, 6]"));
  }
}

TEST(OpenAiCompletionAnswerTest, Chunks) {
  const CompletionChunkWriter writer(TestHead(), /*include_usage=*/false);
  std::string out;
  writer.Text(out, 3, "\"x\"");
  EXPECT_EQ(json::parse(out), Expected(R"("choices": [
      {"index": 3, "text": "\"x\"", "logprobs": null, "finish_reason": null}])"));
  out.clear();
  writer.Finish(out, 3, FinishReason::kLength);
  EXPECT_EQ(json::parse(out), Expected(R"("choices": [
      {"index": 3, "text": "", "logprobs": null, "finish_reason": "length"}])"));
}

TEST(OpenAiCompletionAnswerTest, OffsetsGoOnFromChunkToChunk) {
  const CompletionChunkWriter writer(TestHead(), /*include_usage=*/false);
  const TokensEvent event = {.tokens = TestTokens(), .text = "Hello"};
  int64_t text_offset = 0;
  std::string first;
  writer.TextWithLogprobs(first, 0, event, TestTokenBytes, text_offset);
  std::string second;
  writer.TextWithLogprobs(second, 0, event, TestTokenBytes, text_offset);
  const json chunk = json::parse(second);
  EXPECT_EQ(chunk["choices"][0]["text"], "Hello");
  EXPECT_EQ(chunk["choices"][0]["logprobs"]["text_offset"], json::parse("[8, 13, 14, 14]"));
  EXPECT_TRUE(chunk["choices"][0]["finish_reason"].is_null());
}

TEST(OpenAiCompletionAnswerTest, Usage) {
  const CompletionChunkWriter writer(TestHead(), /*include_usage=*/true);
  std::string out;
  writer.Text(out, 0, "x");
  EXPECT_TRUE(json::parse(out)["usage"].is_null());
  out.clear();
  writer.Usage(out, TestTotals());
  EXPECT_EQ(json::parse(out), Expected(std::string(R"("choices": [], )") + kTestTotalsJson));
}

}  // namespace
}  // namespace foretoken
