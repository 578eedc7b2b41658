#include "answer.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>

namespace foretoken {
namespace {

class ScriptedStream : public GenerationStream {
 public:
  explicit ScriptedStream(std::deque<StreamEvent> events) : events_(std::move(events)) {}
  std::optional<StreamEvent> Next() override {
    if (events_.empty()) return std::nullopt;
    StreamEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  std::optional<StreamEvent> TryNext() override { return Next(); }
  void NotifyWhenReady(std::function<void()> ready) override { ready(); }
  void Cancel() override { cancelled_ = true; }
  bool cancelled() const { return cancelled_; }

 private:
  std::deque<StreamEvent> events_;
  bool cancelled_ = false;
};

GeneratedToken Token(TokenId id, TokenOrigin origin, std::string text) {
  GeneratedToken token;
  token.id = id;
  token.origin = origin;
  token.text = std::move(text);
  return token;
}

std::deque<StreamEvent> Script() {
  TokensEvent round;
  round.tokens = {Token(1, TokenOrigin::kAccepted, "ab"), Token(2, TokenOrigin::kCorrected, "c")};
  round.text = "abc";
  TokensEvent held_back;
  held_back.text = "d";
  FinishedEvent finish;
  finish.usage.completion_tokens = 2;
  finish.seed = 7;
  return {round, held_back, finish};
}

TEST(AnswerTest, CollectsWhatItShows) {
  ScriptedStream stream(Script());
  testing::internal::CaptureStdout();
  const Answer answer = ReadAnswer(stream, AnswerView::kText);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "abcd");
  EXPECT_TRUE(answer.output.ok());
  EXPECT_EQ(answer.result.text, "abcd");
  ASSERT_EQ(answer.result.tokens.size(), 2u);
  EXPECT_EQ(answer.result.tokens[1].id, 2);
  EXPECT_EQ(answer.result.finish.seed, 7u);
}

TEST(AnswerTest, ColoursTokensByOrigin) {
  ScriptedStream stream(Script());
  testing::internal::CaptureStdout();
  ReadAnswer(stream, AnswerView::kOrigins);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "\x1b[32mab\x1b[0m\x1b[33mc\x1b[0md");
  EXPECT_EQ(ColourToken(Token(1, TokenOrigin::kBonus, "x")), "\x1b[34mx\x1b[0m");
  EXPECT_EQ(ColourToken(Token(1, TokenOrigin::kPlain, "x")), "x");
  EXPECT_EQ(ColourToken(Token(1, TokenOrigin::kAccepted, "")), "") << "nothing to colour";
  EXPECT_NE(ColourLegend().find("\x1b[34mbonus"), std::string::npos);
}

TEST(AnswerTest, ShowsNothingWhenOnlyCollecting) {
  ScriptedStream stream(Script());
  testing::internal::CaptureStdout();
  EXPECT_EQ(ReadAnswer(stream, AnswerView::kNone).result.text, "abcd");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_FALSE(stream.cancelled());
}

TEST(AnswerTest, FiguresNameWhatWasMeasured) {
  FinishedEvent finish;
  finish.usage.completion_tokens = 64;
  finish.reason = FinishReason::kLength;
  finish.timings.decode_tokens_per_second = 52.34;
  finish.timings.first_token_ms = 209.6;
  finish.speculation.rounds = 27;
  finish.speculation.tau = 2.37;
  finish.speculation.by_source[DraftSourceKind::kDraftModel] = {.drafted = 40, .accepted = 30};
  finish.seed = 12;
  EXPECT_EQ(FiguresLine(finish),
            "64 tokens (length), 52.3 tok/s, first token 210 ms, tau 2.37, draft 30/40 accepted, "
            "seed 12");
  EXPECT_EQ(FiguresLine(FinishedEvent()), "0 tokens (stop), seed 0");
}

}  // namespace
}  // namespace foretoken
