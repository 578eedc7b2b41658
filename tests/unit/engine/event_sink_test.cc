#include "engine/event_sink.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

using SinkClock = EventSink::Clock;

// Tokens of the fake vocabulary by what they say.
constexpr TokenId kEnd = 0;
constexpr TokenId kA = 1;
constexpr TokenId kHalfOfE = 2;       // the first byte of an "é"
constexpr TokenId kOtherHalfOfE = 3;  // the second
constexpr TokenId kAb = 4;
constexpr TokenId kB = 8;

class EventSinkTest : public testing::Test {
 protected:
  void NewSink(const std::vector<std::string>& stop, size_t capacity = 100) {
    channel_ = std::make_shared<StreamChannel>(capacity, std::make_shared<Mailbox>());
    GenerateOptions options;
    options.stop = stop;
    sink_.emplace(options, model_->vocabulary(), channel_);
  }
  bool Commit(TokenId token) { return sink_->Commit({.id = token}, std::nullopt); }
  TokensEvent NextTokens() { return std::get<TokensEvent>(*channel_->Next()); }

  std::shared_ptr<LoadedModel> model_ = NewFakeModel({});
  std::shared_ptr<StreamChannel> channel_;
  std::optional<EventSink> sink_;
};

TEST_F(EventSinkTest, ARoundIsOneEvent) {
  NewSink({});
  EXPECT_TRUE(
      sink_->Commit({.id = kA, .origin = TokenOrigin::kAccepted}, DraftSourceKind::kSuffix));
  EXPECT_TRUE(sink_->Commit({.id = kB, .origin = TokenOrigin::kCorrected}, std::nullopt));
  EXPECT_TRUE(sink_->EndRound(SinkClock::now()));
  EXPECT_TRUE(Commit(kAb));
  EXPECT_TRUE(sink_->EndRound(SinkClock::now()));
  EXPECT_EQ(sink_->tokens(), 3);
  EXPECT_EQ(sink_->events(), 2);

  const TokensEvent first = NextTokens();
  EXPECT_EQ(first.text, "ab");
  ASSERT_EQ(first.tokens.size(), 2u);
  EXPECT_EQ(first.tokens[0].id, kA);
  EXPECT_EQ(first.tokens[0].origin, TokenOrigin::kAccepted);
  EXPECT_EQ(first.tokens[0].source, DraftSourceKind::kSuffix);
  EXPECT_EQ(first.tokens[1].text, "b");
  EXPECT_EQ(first.tokens[1].origin, TokenOrigin::kCorrected);
  EXPECT_FALSE(first.tokens[1].source.has_value());
  EXPECT_EQ(NextTokens().text, "ab");
}

TEST_F(EventSinkTest, ARoundWithoutTokensIsNoEvent) {
  NewSink({});
  EXPECT_FALSE(sink_->EndRound(SinkClock::now()));
  EXPECT_EQ(sink_->events(), 0);
  Commit(kEnd);  // a token without text is one all the same
  EXPECT_TRUE(sink_->EndRound(SinkClock::now()));
  EXPECT_EQ(NextTokens().tokens.size(), 1u);
}

TEST_F(EventSinkTest, TimesAreTheFirstRoundsAndTheLast) {
  NewSink({});
  const SinkClock::time_point start = SinkClock::now();
  for (int second = 1; second <= 3; ++second) {
    Commit(kA);
    sink_->EndRound(start + std::chrono::seconds(second));
  }
  sink_->EndRound(start + std::chrono::seconds(9));  // empty
  EXPECT_EQ(sink_->first_token_time(), start + std::chrono::seconds(1));
  EXPECT_EQ(sink_->last_token_time(), start + std::chrono::seconds(3));
}

TEST_F(EventSinkTest, CharactersComeWhole) {
  NewSink({});
  Commit(kA);
  Commit(kHalfOfE);
  sink_->EndRound(SinkClock::now());
  Commit(kOtherHalfOfE);
  sink_->EndRound(SinkClock::now());
  EXPECT_EQ(NextTokens().text, "a");
  EXPECT_EQ(NextTokens().text, "é");
}

TEST_F(EventSinkTest, AStopIsCutOutAndEndsTheGeneration) {
  NewSink({"bb"});
  EXPECT_TRUE(Commit(kAb));
  sink_->EndRound(SinkClock::now());
  EXPECT_FALSE(Commit(kB));
  sink_->EndRound(SinkClock::now());
  sink_->Flush();
  channel_->Finish({});
  const GenerationResult result = Collect(*NewChannelStream(channel_));
  EXPECT_EQ(result.text, "a");
  ASSERT_EQ(result.tokens.size(), 2u);
  EXPECT_EQ(result.tokens[0].text + result.tokens[1].text, "a");
}

TEST_F(EventSinkTest, WhatWasHeldBackForAStopIsReleasedAtTheEnd) {
  NewSink({"abc"});
  Commit(kAb);
  Commit(kHalfOfE);
  Commit(kAb);
  sink_->EndRound(SinkClock::now());
  EXPECT_EQ(NextTokens().text, "ab\uFFFD");
  sink_->Flush();
  const TokensEvent rest = NextTokens();
  EXPECT_EQ(rest.text, "ab");
  EXPECT_TRUE(rest.tokens.empty());
  EXPECT_EQ(sink_->tokens(), 3);
}

TEST_F(EventSinkTest, WithNothingHeldBackTheEndIsNoEvent) {
  NewSink({"abc"});
  Commit(kB);
  sink_->EndRound(SinkClock::now());
  sink_->Flush();
  channel_->Finish({});
  EXPECT_EQ(NextTokens().text, "b");
  EXPECT_TRUE(std::holds_alternative<FinishedEvent>(*channel_->Next()));
}

TEST_F(EventSinkTest, LogProbabilitiesArePassedOn) {
  NewSink({});
  VerifiedToken token{.id = kA};
  token.logprobs = RowLogprobs{.chosen = -0.5f, .top = {{kB, -0.25f}, {kA, -0.5f}}};
  sink_->Commit(token, std::nullopt);
  Commit(kB);
  sink_->EndRound(SinkClock::now());
  const TokensEvent event = NextTokens();
  EXPECT_EQ(event.tokens[0].logprob, -0.5f);
  ASSERT_EQ(event.tokens[0].top_logprobs.size(), 2u);
  EXPECT_EQ(event.tokens[0].top_logprobs[0].token, kB);
  EXPECT_FALSE(event.tokens[1].logprob.has_value());
}

}  // namespace
}  // namespace foretoken
