#include "server/openai_chat_answer.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "unit/server/openai_answer_fixture.h"

namespace foretoken {
namespace {

using nlohmann::json;

constexpr const char* kHead = R"("id": "id-1", "object": "chat.completion", "created": 1700000000,
                                 "model": "m\"x", "system_fingerprint": "fp_1")";
constexpr const char* kChunkHead =
    R"("id": "id-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m\"x",
       "system_fingerprint": "fp_1")";

json Expected(const std::string& head, const std::string& rest) {
  return json::parse("{" + head + ", " + rest + "}");
}

TEST(OpenAiChatAnswerTest, AWholeAnswer) {
  const std::vector<ChatChoice> choices = {
      {.content = "caf\xC3\xA9", .finish = FinishReason::kStop},
      {.content = "", .finish = FinishReason::kLength}};
  EXPECT_EQ(json::parse(ChatCompletionBody(TestHead(), choices, TestTotals())),
            Expected(kHead, std::string(R"("choices": [
      {"index": 0, "logprobs": null, "finish_reason": "stop",
       "message": {"role": "assistant", "content": "caf\u00e9", "refusal": null}},
      {"index": 1, "logprobs": null, "finish_reason": "length",
       "message": {"role": "assistant", "content": "", "refusal": null}}],)") +
                                kTestTotalsJson));
}

TEST(OpenAiChatAnswerTest, CallsOfTools) {
  const std::vector<ChatChoice> choices = {
      {.tool_calls = {{"call_1", "f", "{\"x\":\"\xC3\xA9\"}"}, {"call_2", "g", "{}"}},
       .finish = FinishReason::kStop},
      {.content = "so", .tool_calls = {{"call_3", "f", "{"}}, .finish = FinishReason::kLength}};
  const json body = json::parse(ChatCompletionBody(TestHead(), choices, TestTotals()));
  EXPECT_EQ(body["choices"][0], json::parse(R"({"index": 0, "logprobs": null,
      "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null,
      "refusal": null, "tool_calls": [
        {"id": "call_1", "type": "function",
         "function": {"name": "f", "arguments": "{\"x\":\"\u00e9\"}"}},
        {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}})"));
  EXPECT_EQ(body["choices"][1]["finish_reason"], "length") << "the call is not whole";
  EXPECT_EQ(body["choices"][1]["message"]["content"], "so");
}

TEST(OpenAiChatAnswerTest, Logprobs) {
  const std::vector<ChatChoice> choices = {{.content = "x", .tokens = TestTokens()}};
  const json body =
      json::parse(ChatCompletionBody(TestHead(), choices, TestTotals(), TestTokenBytes));
  EXPECT_EQ(body["choices"][0]["logprobs"]["content"].size(), 4u);
  EXPECT_EQ(body["choices"][0]["logprobs"]["content"][0]["token"], "Hello");
}

// A chunk that `write` appends after something else.
template <typename Write>
json Chunk(Write write) {
  std::string out = "data: ";
  write(out);
  EXPECT_EQ(out.find('\n'), std::string::npos) << "a line of the stream";
  return json::parse(out.substr(6));
}

TEST(OpenAiChatAnswerTest, Chunks) {
  const ChatChunkWriter writer(TestHead(), /*include_usage=*/false);
  EXPECT_EQ(Chunk([&](std::string& out) { writer.Role(out, 0); }),
            Expected(kChunkHead, R"("choices": [{"index": 0, "logprobs": null,
                "finish_reason": null, "delta": {"role": "assistant", "content": ""}}])"));
  EXPECT_EQ(Chunk([&](std::string& out) { writer.Content(out, 12, "a\"\n\xC3\xA9"); }),
            Expected(kChunkHead, R"("choices": [{"index": 12, "logprobs": null,
                "finish_reason": null, "delta": {"content": "a\"\n\u00e9"}}])"));
  EXPECT_EQ(Chunk([&](std::string& out) {
              writer.Finish(out, 1, FinishReason::kStop, /*has_tool_calls=*/false);
            }),
            Expected(kChunkHead, R"("choices": [{"index": 1, "logprobs": null,
                "finish_reason": "stop", "delta": {}}])"));
  EXPECT_EQ(Chunk([&](std::string& out) {
              writer.Finish(out, 0, FinishReason::kStop, true);
            })["choices"][0]["finish_reason"],
            "tool_calls");
  EXPECT_EQ(Chunk([&](std::string& out) {
              writer.Finish(out, 0, FinishReason::kLength, true);
            })["choices"][0]["finish_reason"],
            "length");
}

TEST(OpenAiChatAnswerTest, ChunksWithCallsOfTools) {
  const ChatChunkWriter writer(TestHead(), /*include_usage=*/false);
  const std::vector<ToolCallDelta> calls = {{0, "call_1", "f", ""}, {1, "", "", "{\"x\""}};
  EXPECT_EQ(Chunk([&](std::string& out) { writer.ToolCalls(out, 0, calls); }),
            Expected(kChunkHead, R"("choices": [{"index": 0, "logprobs": null,
                "finish_reason": null, "delta": {"tool_calls": [
                  {"index": 0, "id": "call_1", "type": "function",
                   "function": {"name": "f", "arguments": ""}},
                  {"index": 1, "function": {"arguments": "{\"x\""}}]}}])"));
}

TEST(OpenAiChatAnswerTest, ChunksWithLogprobs) {
  const ChatChunkWriter writer(TestHead(), /*include_usage=*/false);
  const std::vector<GeneratedToken> tokens = TestTokens();
  const json chunk =
      Chunk([&](std::string& out) { writer.Content(out, 0, "Hello", tokens, TestTokenBytes); });
  EXPECT_EQ(chunk["choices"][0]["delta"]["content"], "Hello");
  EXPECT_EQ(chunk["choices"][0]["logprobs"]["content"].size(), 4u);
}

TEST(OpenAiChatAnswerTest, WithUsageEveryChunkHasItAndOnlyTheLastSaysIt) {
  const ChatChunkWriter writer(TestHead(), /*include_usage=*/true);
  const json role = Chunk([&](std::string& out) { writer.Role(out, 0); });
  EXPECT_TRUE(role.contains("usage"));
  EXPECT_TRUE(role["usage"].is_null());
  const json finish =
      Chunk([&](std::string& out) { writer.Finish(out, 0, FinishReason::kStop, false); });
  EXPECT_TRUE(finish["usage"].is_null());
  EXPECT_EQ(Chunk([&](std::string& out) { writer.Usage(out, TestTotals()); }),
            Expected(kChunkHead, std::string(R"("choices": [], )") + kTestTotalsJson));
}

}  // namespace
}  // namespace foretoken
