#include "engine/stream_channel.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace foretoken {
namespace {

TokensEvent Text(std::string text) {
  TokensEvent event;
  event.text = std::move(text);
  return event;
}

class StreamChannelTest : public testing::Test {
 protected:
  std::shared_ptr<StreamChannel> NewChannel(size_t capacity) {
    return std::make_shared<StreamChannel>(capacity, mailbox_);
  }
  // The engine was woken since the last question. Waits for it.
  void ExpectWoken() { EXPECT_TRUE(mailbox_->Take(Mailbox::Clock::time_point::max()).empty()); }
  // It was not: the wait goes on to a command that comes later.
  void ExpectNotWoken() {
    std::thread poster([this] { mailbox_->Post([](EngineState&) {}); });
    EXPECT_EQ(mailbox_->Take(Mailbox::Clock::time_point::max()).size(), 1u);
    poster.join();
  }

  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
};

TEST_F(StreamChannelTest, DeliversInOrderAndThenNothing) {
  const auto channel = NewChannel(4);
  channel->Push(Text("a"));
  channel->Push(Text("b"));
  channel->Finish({});
  channel->Push(Text("late"));
  channel->Finish({});
  EXPECT_EQ(std::get<TokensEvent>(*channel->Next()).text, "a");
  EXPECT_EQ(std::get<TokensEvent>(*channel->Next()).text, "b");
  EXPECT_TRUE(std::holds_alternative<FinishedEvent>(*channel->Next()));
  EXPECT_FALSE(channel->Next().has_value());
}

TEST_F(StreamChannelTest, TakesWhatIsThereAndDoesNotWait) {
  const auto channel = NewChannel(2);
  EXPECT_FALSE(channel->TryNext().has_value());
  channel->Push(Text("a"));
  channel->Push(Text("b"));
  EXPECT_EQ(std::get<TokensEvent>(*channel->TryNext()).text, "a");
  ExpectWoken();  // it was full
  EXPECT_EQ(std::get<TokensEvent>(*channel->TryNext()).text, "b");
  ExpectNotWoken();
  EXPECT_FALSE(channel->TryNext().has_value());
  channel->Finish({});
  EXPECT_TRUE(std::holds_alternative<FinishedEvent>(*channel->TryNext()));
  EXPECT_FALSE(channel->TryNext().has_value());
}

TEST_F(StreamChannelTest, CallsBackOnceForTheNextEvent) {
  const auto channel = NewChannel(4);
  int calls = 0;
  const auto count = [&calls] { ++calls; };
  channel->NotifyWhenReady(count);
  EXPECT_EQ(calls, 0);
  channel->Push(Text("a"));
  EXPECT_EQ(calls, 1);
  channel->Push(Text("b"));
  EXPECT_EQ(calls, 1);
  channel->NotifyWhenReady(count);  // one is there
  EXPECT_EQ(calls, 2);
  while (channel->TryNext()) {
  }
  channel->NotifyWhenReady(count);
  channel->Finish({});
  EXPECT_EQ(calls, 3);
  EXPECT_TRUE(channel->TryNext().has_value());
  channel->NotifyWhenReady(count);  // nothing will ever come
  EXPECT_EQ(calls, 4);
}

TEST_F(StreamChannelTest, ADroppedStreamIsNotCalledBack) {
  const auto channel = NewChannel(4);
  int calls = 0;
  NewChannelStream(channel)->NotifyWhenReady([&calls] { ++calls; });
  channel->Finish({});
  EXPECT_EQ(calls, 0);
}

TEST_F(StreamChannelTest, SaysWhenItIsFullAndTakesTheEndAllTheSame) {
  const auto channel = NewChannel(2);
  EXPECT_TRUE(channel->HasRoom());
  channel->Push(Text("a"));
  EXPECT_TRUE(channel->HasRoom());
  channel->Push(Text("b"));
  EXPECT_FALSE(channel->HasRoom());
  channel->Finish({});
  EXPECT_EQ(std::get<TokensEvent>(*channel->Next()).text, "a");
  EXPECT_EQ(std::get<TokensEvent>(*channel->Next()).text, "b");
  EXPECT_TRUE(std::holds_alternative<FinishedEvent>(*channel->Next()));
}

TEST_F(StreamChannelTest, ReadingFromAFullOneWakesTheEngine) {
  const auto channel = NewChannel(2);
  channel->Push(Text("a"));
  ASSERT_TRUE(channel->Next().has_value());
  ExpectNotWoken();  // it waited for nothing
  channel->Push(Text("b"));
  channel->Push(Text("c"));
  ASSERT_TRUE(channel->Next().has_value());
  EXPECT_TRUE(channel->HasRoom());
  ExpectWoken();
}

TEST_F(StreamChannelTest, AReaderWaitsForWhatComes) {
  const auto channel = NewChannel(1);
  std::thread producer([&] {
    for (int i = 0; i < 100; ++i) {
      while (!channel->HasRoom()) mailbox_->Take(Mailbox::Clock::time_point::max());
      channel->Push(Text(std::to_string(i)));
    }
    channel->Finish({});
  });
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(std::get<TokensEvent>(*channel->Next()).text, std::to_string(i));
  }
  EXPECT_TRUE(std::holds_alternative<FinishedEvent>(*channel->Next()));
  producer.join();
}

TEST_F(StreamChannelTest, ACancelledStreamGetsWhatWasCommittedAndItsEnd) {
  const auto channel = NewChannel(1);
  channel->Push(Text("a"));
  EXPECT_FALSE(channel->cancelled());
  channel->Cancel();
  EXPECT_TRUE(channel->cancelled());
  ExpectWoken();
  channel->Cancel();
  ExpectNotWoken();  // the second says nothing new
  channel->Push(Text("b"));
  channel->Finish({.status = CancelledError("x"), .reason = FinishReason::kCancelled});
  const GenerationResult result = Collect(*NewChannelStream(channel));
  EXPECT_EQ(result.text, "ab");
  EXPECT_EQ(result.finish.reason, FinishReason::kCancelled);
  EXPECT_FALSE(channel->Next().has_value());
}

TEST_F(StreamChannelTest, DroppingTheStreamCancels) {
  const auto channel = NewChannel(1);
  NewChannelStream(channel).reset();
  EXPECT_TRUE(channel->cancelled());
}

TEST_F(StreamChannelTest, AStreamOutlivesTheEngine) {
  const auto channel = NewChannel(1);
  auto stream = NewChannelStream(channel);
  channel->Push(Text("a"));
  channel->Finish({});
  mailbox_->Close();
  mailbox_.reset();
  EXPECT_EQ(Collect(*stream).text, "a");
}

}  // namespace
}  // namespace foretoken
