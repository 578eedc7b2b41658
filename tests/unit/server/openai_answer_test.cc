#include "server/openai_answer.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "unit/server/openai_answer_fixture.h"

namespace foretoken {
namespace {

using nlohmann::json;

json Totals(const AnswerTotals& totals) {
  std::string out;
  WireWriter writer(out);
  writer.BeginObject();
  WriteTotals(writer, totals);
  writer.EndObject();
  return json::parse(out);
}

TEST(OpenAiAnswerTest, Totals) {
  EXPECT_EQ(Totals(TestTotals()), json::parse(std::string("{") + kTestTotalsJson + "}"));
  std::string rest = "{\"a\":1";
  AppendTotals(rest, TestTotals());
  EXPECT_EQ(json::parse(rest), json::parse(std::string("{\"a\": 1,") + kTestTotalsJson + "}"));
}

TEST(OpenAiAnswerTest, ChoicesAddUpAndAPromptCountsOnce) {
  AnswerTotals totals = TestTotals();
  FinishedEvent second = TestFinish();
  second.usage.completion_tokens = 4;
  second.speculation = {};
  second.speculation.rounds = 1;
  second.speculation.tau = 4;
  second.speculation.by_source[DraftSourceKind::kDraftModel] = {.drafted = 2, .accepted = 1};
  second.warnings = {"w", "w"};
  totals.Add(second, /*first_of_prompt=*/false);
  totals.Add(second, /*first_of_prompt=*/true);
  const json body = Totals(totals);
  EXPECT_EQ(body["usage"]["prompt_tokens"], 20);
  EXPECT_EQ(body["usage"]["prompt_tokens_details"]["cached_tokens"], 8);
  EXPECT_EQ(body["usage"]["completion_tokens"], 14);
  EXPECT_EQ(body["usage"]["total_tokens"], 34);
  EXPECT_EQ(body["speculation"]["rounds"], 5);
  EXPECT_DOUBLE_EQ(body["speculation"]["tau"], (3 * 2 + 4 + 4) / 5.0) << "weighted by rounds";
  EXPECT_EQ(body["speculation"]["by_source"]["draft"]["drafted"], 4);
  EXPECT_EQ(body["speculation"]["warnings"], json::parse(R"(["w"])"));
}

TEST(OpenAiAnswerTest, WithoutAnythingTheTotalsAreZero) {
  const json body = Totals({});
  EXPECT_EQ(body["usage"]["total_tokens"], 0);
  EXPECT_EQ(body["usage"]["completion_tokens_details"]["rejected_prediction_tokens"], 0);
  EXPECT_EQ(body["speculation"]["tau"], 0);
  EXPECT_FALSE(body.contains("seed"));
}

TEST(OpenAiAnswerTest, ASeedComesBackAsItWasSent) {
  AnswerTotals totals;
  totals.seed = static_cast<uint64_t>(-7);
  EXPECT_EQ(Totals(totals)["seed"], -7);
}

TEST(OpenAiAnswerTest, ChatLogprobs) {
  std::string out;
  WireWriter writer(out);
  WriteChatLogprobs(writer, TestTokens(), TestTokenBytes);
  EXPECT_EQ(json::parse(out), json::parse(R"({"refusal": null, "content": [
    {"token": "Hello", "logprob": -0.5, "bytes": [72, 101, 108, 108, 111], "top_logprobs": [
      {"token": "Hello", "logprob": -0.5, "bytes": [72, 101, 108, 108, 111]},
      {"token": "", "logprob": -9999.0, "bytes": []}]},
    {"token": "\ufffd", "logprob": -1.0, "bytes": [195], "top_logprobs": []},
    {"token": "\ufffd", "logprob": -2.0, "bytes": [169], "top_logprobs": [
      {"token": "\ufffd", "logprob": -0.25, "bytes": [195]}]},
    {"token": "\"\n", "logprob": -3.0, "bytes": [34, 10], "top_logprobs": []}]})"));
}

TEST(OpenAiAnswerTest, LegacyLogprobs) {
  std::string out;
  WireWriter writer(out);
  int64_t text_offset = 3;
  WriteLegacyLogprobs(writer, TestTokens(), TestTokenBytes, text_offset);
  EXPECT_EQ(json::parse(out), json::parse(R"({
    "tokens": ["Hello", "bytes:\\xc3", "bytes:\\xa9", "\"\n"],
    "token_logprobs": [-0.5, -1.0, -2.0, -3.0],
    "top_logprobs": [{"Hello": -0.5, "": -9999.0}, {}, {"bytes:\\xc3": -0.25}, {}],
    "text_offset": [3, 8, 9, 9]})"));
  EXPECT_EQ(text_offset, 11) << "the two halves are one character";
}

TEST(OpenAiAnswerTest, OfTokensWithOneTextTheMostLikelyCounts) {
  std::string out;
  WireWriter writer(out);
  int64_t text_offset = 0;
  const std::vector<GeneratedToken> tokens = {TestToken(1, -1.0f, {{0, -1.0f}, {0, -2.0f}})};
  WriteLegacyLogprobs(writer, tokens, TestTokenBytes, text_offset);
  EXPECT_NE(out.find(R"("top_logprobs":[{"":-1}])"), std::string::npos) << out;
}

TEST(OpenAiAnswerTest, FinishReasons) {
  EXPECT_EQ(WireFinishReason(FinishReason::kStop), "stop");
  EXPECT_EQ(WireFinishReason(FinishReason::kLength), "length");
  EXPECT_EQ(WireFinishReason(FinishReason::kCancelled), "length");
  EXPECT_EQ(WireFinishReason(FinishReason::kError), "length");
}

}  // namespace
}  // namespace foretoken
