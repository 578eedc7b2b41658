#include "server/completion_answer_form.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "unit/server/answer_form_fixture.h"

namespace foretoken {
namespace {

using Json = nlohmann::json;

AnswerOptions Options(bool stream, size_t choices = 1) {
  AnswerOptions options;
  options.head = TestHead();
  options.choices = choices;
  options.stream = stream;
  return options;
}

TEST(CompletionAnswerFormTest, AStreamIsTextsThenTheEnds) {
  AnswerOptions options = Options(true, 2);
  options.include_usage = true;
  CompletionAnswerForm form(options);
  std::string out;
  form.Begin(out);
  EXPECT_EQ(out, "");
  form.Tokens(1, TextEvent("b"), out);
  form.Tokens(1, TextEvent(""), out);  // held back: nothing to send
  form.Finish(1, TestFinish(), out);
  form.Finish(0, TestFinish(), out);
  form.End(TestTotals(), out);
  const std::vector<Json> events = SseData(out);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[0]["choices"][0]["index"], 1);
  EXPECT_EQ(events[0]["choices"][0]["text"], "b");
  EXPECT_EQ(events[1]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events[2]["choices"][0]["index"], 0);
  EXPECT_EQ(events[3]["usage"]["total_tokens"], 16);
  EXPECT_EQ(events[4], "[DONE]");
}

TEST(CompletionAnswerFormTest, AWholeAnswerHasEveryChoice) {
  CompletionAnswerForm form(Options(false, 2));
  std::string out;
  form.Tokens(1, TextEvent("b"), out);
  form.Tokens(0, TextEvent("a"), out);
  form.Tokens(1, TextEvent("c"), out);
  FinishedEvent finish = TestFinish();
  finish.reason = FinishReason::kLength;
  form.Finish(0, finish, out);
  form.Finish(1, TestFinish(), out);
  EXPECT_EQ(out, "");
  const Json body = Json::parse(form.Body(TestTotals()));
  EXPECT_EQ(body["choices"][0]["text"], "a");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["choices"][1]["text"], "bc");
  EXPECT_EQ(body["choices"][1]["finish_reason"], "stop");
}

TEST(CompletionAnswerFormTest, TextOffsetsGoOnFromChunkToChunkOfEachChoice) {
  AnswerOptions options = Options(true, 2);
  options.logprob_bytes = TestTokenBytes;
  CompletionAnswerForm form(options);
  TokensEvent event = TextEvent("Hello");
  event.tokens = {TestToken(1, -0.5f, {})};
  std::string out;
  form.Tokens(0, event, out);
  form.Tokens(0, event, out);
  form.Tokens(1, event, out);
  const std::vector<Json> events = SseData(out);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0]["choices"][0]["logprobs"]["text_offset"], Json::array({0}));
  EXPECT_EQ(events[1]["choices"][0]["logprobs"]["text_offset"], Json::array({5}));
  EXPECT_EQ(events[2]["choices"][0]["logprobs"]["text_offset"], Json::array({0}));
}

}  // namespace
}  // namespace foretoken
