#include "foretoken/generation.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>

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
  void Cancel() override {}

 private:
  std::deque<StreamEvent> events_;
};

TEST(CollectTest, JoinsTextAndTokensAndKeepsTheEnd) {
  GeneratedToken first;
  first.id = 1;
  GeneratedToken second;
  second.id = 2;
  FinishedEvent finished;
  finished.reason = FinishReason::kLength;
  finished.seed = 9;
  ScriptedStream stream(
      {TokensEvent{{first}, "a"}, TokensEvent{{second}, "bc"}, StreamEvent(finished)});
  const GenerationResult result = Collect(stream);
  EXPECT_EQ(result.text, "abc");
  ASSERT_EQ(result.tokens.size(), 2u);
  EXPECT_EQ(result.tokens[1].id, 2);
  EXPECT_EQ(result.finish.reason, FinishReason::kLength);
  EXPECT_EQ(result.finish.seed, 9u);
}

TEST(NamesTest, AreStable) {
  EXPECT_EQ(TokenOriginName(TokenOrigin::kCorrected), "corrected");
  EXPECT_EQ(FinishReasonName(FinishReason::kStop), "stop");
  EXPECT_EQ(DraftSourceKindName(DraftSourceKind::kSuffix), "suffix");
}

}  // namespace
}  // namespace foretoken
