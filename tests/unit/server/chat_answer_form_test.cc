#include "server/chat_answer_form.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "unit/server/answer_form_fixture.h"

namespace foretoken {
namespace {

using Json = nlohmann::json;

// Says of each text what the test wants.
class ScriptedParser : public ReplyParser {
 public:
  ScriptedParser(std::deque<ReplyDelta> deltas, ReplyDelta last)
      : deltas_(std::move(deltas)), last_(std::move(last)) {}
  ReplyDelta Push(std::string_view /*text*/) override {
    ReplyDelta delta = deltas_.front();
    deltas_.pop_front();
    return delta;
  }
  ReplyDelta Finish() override { return last_; }

 private:
  std::deque<ReplyDelta> deltas_;
  ReplyDelta last_;
};

ChatAnswerOptions Options(bool stream, size_t choices = 1) {
  ChatAnswerOptions options;
  options.head = TestHead();
  options.choices = choices;
  options.stream = stream;
  return options;
}

std::unique_ptr<ReplyParser> CallParser() {
  return std::make_unique<ScriptedParser>(
      std::deque<ReplyDelta>{
          {"I call", {}},
          {"", {{.index = 0, .id = "call_1", .name = "f", .arguments = "{\"a\""}}},
          {"",
           {{.index = 0, .id = "", .name = "", .arguments = ":1}"},
            {.index = 1, .id = "call_2", .name = "g", .arguments = "{}"}}}},
      ReplyDelta{"!", {}});
}

TEST(ChatAnswerFormTest, AStreamHasRolesThenContentThenTheEnds) {
  ChatAnswerForm form(Options(true, 2));
  std::string out;
  form.Begin(out);
  form.Tokens(1, TextEvent("b"), out);
  form.Tokens(0, TextEvent("a"), out);
  form.Tokens(0, TextEvent(""), out);  // held back: nothing to send
  form.Finish(0, TestFinish(), out);
  form.Finish(1, TestFinish(), out);
  form.End(TestTotals(), out);
  const std::vector<Json> events = SseData(out);
  ASSERT_EQ(events.size(), 7u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(events[static_cast<size_t>(i)]["choices"][0]["index"], i);
    EXPECT_EQ(events[static_cast<size_t>(i)]["choices"][0]["delta"]["role"], "assistant");
  }
  EXPECT_EQ(events[2]["choices"][0]["index"], 1);
  EXPECT_EQ(events[2]["choices"][0]["delta"]["content"], "b");
  EXPECT_EQ(events[3]["choices"][0]["delta"]["content"], "a");
  EXPECT_EQ(events[4]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events[6], "[DONE]");
}

TEST(ChatAnswerFormTest, TheUsageComesLastWhenItIsWanted) {
  ChatAnswerOptions options = Options(true);
  options.include_usage = true;
  ChatAnswerForm form(std::move(options));
  std::string out;
  form.End(TestTotals(), out);
  const std::vector<Json> events = SseData(out);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["usage"]["completion_tokens"], 6);
  EXPECT_EQ(events[1], "[DONE]");
}

TEST(ChatAnswerFormTest, AWholeAnswerSendsNothingBefore) {
  ChatAnswerForm form(Options(false, 2));
  std::string out;
  form.Begin(out);
  form.Tokens(1, TextEvent("b"), out);
  form.Tokens(0, TextEvent("a"), out);
  form.Tokens(0, TextEvent("c"), out);
  form.Finish(0, TestFinish(), out);
  form.Finish(1, TestFinish(), out);
  EXPECT_EQ(out, "");
  const Json body = Json::parse(form.Body(TestTotals()));
  EXPECT_EQ(body["choices"][0]["message"]["content"], "ac");
  EXPECT_EQ(body["choices"][1]["message"]["content"], "b");
  EXPECT_EQ(body["usage"]["prompt_tokens"], 10);
}

TEST(ChatAnswerFormTest, CallsOfToolsAreStreamedAsTheyComeAndPutTogetherOtherwise) {
  for (const bool stream : {true, false}) {
    ChatAnswerOptions options = Options(stream);
    options.parsers.push_back(CallParser());
    ChatAnswerForm form(std::move(options));
    std::string out;
    for (int i = 0; i < 3; ++i) form.Tokens(0, TextEvent("x"), out);
    form.Finish(0, TestFinish(), out);
    if (stream) {
      const std::vector<Json> events = SseData(out);
      ASSERT_EQ(events.size(), 5u);
      EXPECT_EQ(events[0]["choices"][0]["delta"]["content"], "I call");
      const Json& call = events[1]["choices"][0]["delta"]["tool_calls"][0];
      EXPECT_EQ(call["function"]["name"], "f");
      EXPECT_EQ(events[2]["choices"][0]["delta"]["tool_calls"].size(), 2u);
      EXPECT_EQ(events[3]["choices"][0]["delta"]["content"], "!");
      EXPECT_EQ(events[4]["choices"][0]["finish_reason"], "tool_calls");
      continue;
    }
    const Json choice = Json::parse(form.Body(TestTotals()))["choices"][0];
    EXPECT_EQ(choice["finish_reason"], "tool_calls");
    EXPECT_EQ(choice["message"]["content"], "I call!");
    ASSERT_EQ(choice["message"]["tool_calls"].size(), 2u);
    EXPECT_EQ(choice["message"]["tool_calls"][0]["id"], "call_1");
    EXPECT_EQ(choice["message"]["tool_calls"][0]["function"]["arguments"], "{\"a\":1}");
    EXPECT_EQ(choice["message"]["tool_calls"][1]["function"]["name"], "g");
  }
}

TEST(ChatAnswerFormTest, LogprobsComeWithTheirTokensWithAParserToo) {
  for (const bool parsed : {false, true}) {
    for (const bool stream : {true, false}) {
      ChatAnswerOptions options = Options(stream);
      options.logprob_bytes = TestTokenBytes;
      if (parsed) {
        options.parsers.push_back(std::make_unique<ScriptedParser>(
            std::deque<ReplyDelta>{{"", {}}}, ReplyDelta{"Hello\xC3\xA9\"\n", {}}));
      }
      ChatAnswerForm form(std::move(options));
      TokensEvent event = TextEvent("Hello\xC3\xA9\"\n");
      event.tokens = TestTokens();
      std::string out;
      form.Tokens(0, event, out);
      form.Finish(0, TestFinish(), out);
      const Json choice = stream ? SseData(out)[0]["choices"][0]
                                 : Json::parse(form.Body(TestTotals()))["choices"][0];
      // The end of text is none of them.
      ASSERT_EQ(choice["logprobs"]["content"].size(), 4u) << parsed << stream;
      EXPECT_EQ(choice["logprobs"]["content"][0]["logprob"], -0.5);
    }
  }
}

TEST(ChatAnswerFormTest, AFailureIsAnErrorEventWithoutDone) {
  ChatAnswerForm form(Options(true));
  std::string out;
  form.Fail(WireErrorOf(InternalError("broken")), out);
  const std::vector<Json> events = SseData(out);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["error"]["message"], "broken");
}

}  // namespace
}  // namespace foretoken
