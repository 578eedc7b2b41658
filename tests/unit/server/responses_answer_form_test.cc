#include "server/responses_answer_form.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "unit/server/answer_form_fixture.h"

namespace foretoken {
namespace {

using Json = nlohmann::json;

// Holds all text back to the end, where it is half content and half a call.
class LateParser : public ReplyParser {
 public:
  ReplyDelta Push(std::string_view text) override {
    held_ += text;
    return {};
  }
  ReplyDelta Finish() override {
    return {held_, {{.index = 0, .id = "call_1", .name = "f", .arguments = "{}"}}};
  }

 private:
  std::string held_;
};

ResponsesAnswer NewAnswer() {
  AnswerHead head = TestHead();
  head.id = "resp_1";
  return ResponsesAnswer(std::move(head), ResponsesRequest());
}

TEST(ResponsesAnswerFormTest, AStreamIsNamedEventsWithoutDone) {
  ResponsesAnswerForm form(NewAnswer(), nullptr);
  std::string out;
  form.Begin(out);
  form.Tokens(0, TextEvent("a"), out);
  form.Tokens(0, TextEvent(""), out);
  form.Tokens(0, TextEvent("b"), out);
  FinishedEvent finish = TestFinish();
  finish.reason = FinishReason::kLength;
  form.Finish(0, finish, out);
  form.End(TestTotals(), out);
  const std::vector<Json> events = SseData(out);
  std::string text;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["sequence_number"], i);
    const std::string type = events[i]["type"];
    EXPECT_NE(out.find("event: " + type + "\ndata: "), std::string::npos);
    if (type == "response.output_text.delta") text += events[i]["delta"].get<std::string>();
  }
  EXPECT_EQ(text, "ab");
  EXPECT_EQ(events.front()["type"], "response.created");
  EXPECT_EQ(events.back()["type"], "response.incomplete");
  EXPECT_EQ(events.back()["response"]["usage"]["output_tokens"], 6);
}

TEST(ResponsesAnswerFormTest, ABodyIsTheResponseOfTheLastEvent) {
  ResponsesAnswerForm streamed(NewAnswer(), nullptr);
  ResponsesAnswerForm whole(NewAnswer(), nullptr);
  std::string out;
  streamed.Begin(out);
  for (ResponsesAnswerForm* form : {&streamed, &whole}) {
    form->Tokens(0, TextEvent("a"), out);
    form->Finish(0, TestFinish(), out);
  }
  out.clear();
  streamed.End(TestTotals(), out);
  EXPECT_EQ(Json::parse(whole.Body(TestTotals())), SseData(out).back()["response"]);
}

TEST(ResponsesAnswerFormTest, WhatAParserHeldBackComesAtTheEnd) {
  ResponsesAnswerForm form(NewAnswer(), std::make_unique<LateParser>());
  std::string out;
  form.Tokens(0, TextEvent("a"), out);
  EXPECT_EQ(out, "");
  form.Finish(0, TestFinish(), out);
  const Json body = Json::parse(form.Body(TestTotals()));
  ASSERT_EQ(body["output"].size(), 2u);
  EXPECT_EQ(body["output"][0]["content"][0]["text"], "a");
  EXPECT_EQ(body["output"][1]["name"], "f");
}

TEST(ResponsesAnswerFormTest, AFailureIsTheResponsesOwnEvent) {
  ResponsesAnswerForm form(NewAnswer(), nullptr);
  std::string out;
  form.Begin(out);
  form.Fail(WireErrorOf(InternalError("broken")), out);
  const Json last = SseData(out).back();
  EXPECT_EQ(last["type"], "response.failed");
  EXPECT_EQ(last["response"]["error"]["message"], "broken");
}

}  // namespace
}  // namespace foretoken
