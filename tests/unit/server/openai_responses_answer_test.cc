#include "server/openai_responses_answer.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <utility>
#include <vector>

#include "unit/server/openai_answer_fixture.h"

namespace foretoken {
namespace {

using nlohmann::json;

class ResponsesAnswerTest : public ::testing::Test {
 protected:
  ResponsesAnswerTest() : answer_({.id = "resp_9", .created = 5, .model = "m"}, Request()) {}

  static ResponsesRequest Request() {
    auto parsed = ParseResponsesRequest(R"({"model": "m", "input": "x", "instructions": "i",
        "temperature": 0.5, "metadata": {"k": "v"}, "max_output_tokens": 3,
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}]})");
    EXPECT_TRUE(parsed.ok());
    return std::move(parsed).value();
  }

  // Checks what all events have, and takes it off.
  std::vector<json> Take(std::vector<ResponsesAnswer::Event> events) {
    std::vector<json> taken;
    for (const auto& event : events) {
      json data = json::parse(event.data);
      EXPECT_EQ(data["type"], event.name);
      EXPECT_EQ(data["sequence_number"], next_++);
      data.erase("sequence_number");
      taken.push_back(std::move(data));
    }
    return taken;
  }

  std::vector<std::string> Names(const std::vector<json>& events) {
    std::vector<std::string> names;
    for (const json& event : events) names.push_back(event["type"]);
    return names;
  }

  ResponsesAnswer answer_;
  int next_ = 0;
};

TEST_F(ResponsesAnswerTest, TheResponseRepeatsTheRequest) {
  EXPECT_EQ(json::parse(answer_.Body()), json::parse(R"({"id": "resp_9", "object": "response",
    "created_at": 5, "status": "in_progress", "model": "m", "instructions": "i",
    "max_output_tokens": 3, "metadata": {"k": "v"}, "parallel_tool_calls": true,
    "previous_response_id": null, "store": false, "temperature": 0.5, "top_p": 1.0,
    "text": {"format": {"type": "text"}}, "tool_choice": "auto", "truncation": "disabled",
    "tools": [{"type": "function", "name": "f", "description": "", "strict": false,
               "parameters": {"type": "object"}}],
    "error": null, "incomplete_details": null, "output": [], "usage": null})"));
}

TEST_F(ResponsesAnswerTest, ATextFromTheFirstEventToTheLast) {
  const auto begin = Take(answer_.Begin());
  EXPECT_EQ(Names(begin), (std::vector<std::string>{"response.created", "response.in_progress"}));
  EXPECT_EQ(begin[0]["response"], json::parse(answer_.Body()));
  const auto first = Take(answer_.Add({.content = "a\""}));
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(first[0], json::parse(R"({"type": "response.output_item.added", "output_index": 0,
    "item": {"id": "msg_9_0", "type": "message", "status": "in_progress", "role": "assistant",
             "content": []}})"));
  EXPECT_EQ(first[1], json::parse(R"({"type": "response.content_part.added", "output_index": 0,
    "item_id": "msg_9_0", "content_index": 0,
    "part": {"type": "output_text", "text": "", "annotations": [], "logprobs": []}})"));
  EXPECT_EQ(first[2], json::parse(R"({"type": "response.output_text.delta", "output_index": 0,
    "item_id": "msg_9_0", "content_index": 0, "delta": "a\"", "logprobs": []})"));
  EXPECT_EQ(Names(Take(answer_.Add({.content = "b"}))),
            std::vector<std::string>{"response.output_text.delta"});
  EXPECT_TRUE(answer_.Add({}).empty());
  const auto last = Take(answer_.Finish(FinishReason::kStop, TestTotals()));
  ASSERT_EQ(Names(last),
            (std::vector<std::string>{"response.output_text.done", "response.content_part.done",
                                      "response.output_item.done", "response.completed"}));
  EXPECT_EQ(last[0]["text"], "a\"b");
  EXPECT_EQ(last[1]["part"]["text"], "a\"b");
  const json item = json::parse(R"({"id": "msg_9_0", "type": "message", "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "a\"b", "annotations": [], "logprobs": []}]})");
  EXPECT_EQ(last[2]["item"], item);
  const json& response = last[3]["response"];
  EXPECT_EQ(response, json::parse(answer_.Body()));
  EXPECT_EQ(response["status"], "completed");
  EXPECT_EQ(response["output"], json::array({item}));
  EXPECT_EQ(response["usage"], json::parse(R"({"input_tokens": 10, "output_tokens": 6,
    "total_tokens": 16, "input_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 0}})"));
  EXPECT_EQ(response["speculation"]["drafted"], 5);
}

TEST_F(ResponsesAnswerTest, CallsFollowAMessageAndTextMayFollowCalls) {
  Take(answer_.Begin());
  Take(answer_.Add({.content = "so"}));
  const auto calls = Take(answer_.Add(
      {.tool_calls = {{0, "call_1", "f", "{\"x\""}, {0, "", "", ":1}"}, {1, "call_2", "g", ""}}}));
  ASSERT_EQ(
      Names(calls),
      (std::vector<std::string>{
          "response.output_text.done", "response.content_part.done", "response.output_item.done",
          "response.output_item.added", "response.function_call_arguments.delta",
          "response.function_call_arguments.delta", "response.function_call_arguments.done",
          "response.output_item.done", "response.output_item.added"}));
  EXPECT_EQ(calls[3]["item"], json::parse(R"({"id": "fc_9_1", "type": "function_call",
    "status": "in_progress", "call_id": "call_1", "name": "f", "arguments": ""})"));
  EXPECT_EQ(calls[4], json::parse(R"({"type": "response.function_call_arguments.delta",
    "item_id": "fc_9_1", "output_index": 1, "delta": "{\"x\""})"));
  EXPECT_EQ(calls[6]["arguments"], "{\"x\":1}");
  EXPECT_EQ(calls[8]["output_index"], 2);
  Take(answer_.Add({.content = "!"}));
  Take(answer_.Finish(FinishReason::kStop, TestTotals()));
  const json output = json::parse(answer_.Body())["output"];
  ASSERT_EQ(output.size(), 4u);
  EXPECT_EQ(output[0]["content"][0]["text"], "so");
  EXPECT_EQ(output[1]["arguments"], "{\"x\":1}");
  EXPECT_EQ(output[2]["name"], "g");
  EXPECT_EQ(output[3]["content"][0]["text"], "!");
  for (const json& item : output) EXPECT_EQ(item["status"], "completed");
}

TEST_F(ResponsesAnswerTest, ALimitMakesItIncomplete) {
  Take(answer_.Begin());
  Take(answer_.Add({.content = "a"}));
  const auto last = Take(answer_.Finish(FinishReason::kLength, TestTotals()));
  EXPECT_EQ(last.back()["type"], "response.incomplete");
  const json& response = last.back()["response"];
  EXPECT_EQ(response["status"], "incomplete");
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(response["output"][0]["status"], "incomplete");
}

TEST_F(ResponsesAnswerTest, AnEmptyAnswerIsAnEmptyMessage) {
  Take(answer_.Begin());
  Take(answer_.Finish(FinishReason::kStop, TestTotals()));
  EXPECT_EQ(json::parse(answer_.Body())["output"][0]["content"][0]["text"], "");
}

TEST_F(ResponsesAnswerTest, AFailureIsTheLastEvent) {
  Take(answer_.Begin());
  Take(answer_.Add({.content = "a"}));
  const auto last = Take(answer_.Fail(WireErrorOf(InternalError("broken"))));
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(last[0]["type"], "response.failed");
  EXPECT_EQ(last[0]["response"]["status"], "failed");
  EXPECT_EQ(last[0]["response"]["error"],
            json::parse(R"({"code": "internal_error", "message": "broken"})"));
  EXPECT_EQ(last[0]["response"]["output"][0]["status"], "incomplete");
}

}  // namespace
}  // namespace foretoken
