#include "engine/stream_channel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

namespace foretoken {
namespace {

TokensEvent Text(std::string text) {
  TokensEvent event;
  event.text = std::move(text);
  return event;
}

TEST(StreamChannelTest, DeliversInOrderAndThenNothing) {
  StreamChannel channel(4);
  EXPECT_TRUE(channel.Start());
  EXPECT_TRUE(channel.Push(Text("a")));
  EXPECT_TRUE(channel.Push(Text("b")));
  channel.Finish({});
  EXPECT_EQ(std::get<TokensEvent>(*channel.Next()).text, "a");
  EXPECT_EQ(std::get<TokensEvent>(*channel.Next()).text, "b");
  EXPECT_TRUE(std::holds_alternative<FinishedEvent>(*channel.Next()));
  EXPECT_FALSE(channel.Next().has_value());
  EXPECT_FALSE(channel.Push(Text("late")));
}

TEST(StreamChannelTest, AFullChannelMakesTheProducerWait) {
  StreamChannel channel(1);
  channel.Start();
  std::atomic<int> pushed{0};
  std::thread producer([&] {
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(channel.Push(Text("x")));
      ++pushed;
    }
    channel.Finish({});
  });
  for (int read = 0; read < 100; ++read) {
    ASSERT_TRUE(channel.Next().has_value());
    // One event may be queued and one push may be returning.
    EXPECT_LE(pushed, read + 2);
  }
  producer.join();
  EXPECT_TRUE(std::holds_alternative<FinishedEvent>(*channel.Next()));
}

TEST(StreamChannelTest, CancelFreesAWaitingProducerAndTheEndStillArrives) {
  auto channel = std::make_shared<StreamChannel>(1);
  channel->Start();
  EXPECT_TRUE(channel->Push(Text("kept")));
  std::thread producer([channel] {
    EXPECT_FALSE(channel->Push(Text("waits for room")));
    FinishedEvent event;
    event.reason = FinishReason::kCancelled;
    channel->Finish(event);
  });
  auto stream = NewChannelStream(channel);
  stream->Cancel();
  producer.join();
  bool finished = false;
  while (auto event = stream->Next()) finished |= std::holds_alternative<FinishedEvent>(*event);
  EXPECT_TRUE(finished);
}

TEST(StreamChannelTest, CancelBeforeTheStartFinishesAtOnce) {
  StreamChannel channel(1);
  channel.Cancel();
  const auto event = channel.Next();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(std::get<FinishedEvent>(*event).reason, FinishReason::kCancelled);
  EXPECT_FALSE(channel.Start());
  channel.Finish({});
  EXPECT_FALSE(channel.Next().has_value());
}

TEST(StreamChannelTest, DroppingTheStreamCancels) {
  auto channel = std::make_shared<StreamChannel>(1);
  channel->Start();
  NewChannelStream(channel).reset();
  EXPECT_TRUE(channel->cancelled());
}

}  // namespace
}  // namespace foretoken
