#include "server/http_channel.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "unit/server/socket_pair.h"

namespace foretoken {
namespace {

using std::chrono::milliseconds;
using ReadOutcome = HttpChannel::ReadOutcome;

class HttpChannelTest : public testing::Test {
 protected:
  // Runs `work` and whatever it leaves behind to its end.
  void Run(const std::function<asio::awaitable<void>()>& work) {
    asio::co_spawn(io_, work, asio::detached);
    io_.restart();
    io_.run();
  }

  asio::io_context io_;
  SocketPair pair_{io_};
  RawHttpClient& client_ = *pair_.client;
  std::shared_ptr<HttpChannel> channel_ =
      std::make_shared<HttpChannel>(std::move(pair_.server), nullptr, milliseconds(30));
};

TEST_F(HttpChannelTest, ReadingTellsBytesFromTheEndAndFromALackOfTime) {
  client_.Send("abc");
  Run([&]() -> asio::awaitable<void> {
    EXPECT_EQ(co_await channel_->Read(), ReadOutcome::kBytes);
    EXPECT_EQ(channel_->input(), "abc");
    channel_->input().erase(0, 2);
    client_.ShutdownSend();
    EXPECT_EQ(co_await channel_->Read(), ReadOutcome::kClosed);
    EXPECT_EQ(channel_->input(), "c");
    EXPECT_TRUE(channel_->status().ok());  // the other direction is open
  });
  EXPECT_EQ(channel_->bytes_in(), 3u);
}

TEST_F(HttpChannelTest, TheReadDeadlineEndsAWaitOnly) {
  Run([&]() -> asio::awaitable<void> {
    channel_->SetReadDeadline(std::chrono::steady_clock::now() + milliseconds(10));
    EXPECT_EQ(co_await channel_->Read(), ReadOutcome::kTimedOut);
    EXPECT_TRUE((co_await channel_->Write("too late")).ok());
    channel_->Abort(CancelledError("enough"));
  });
  EXPECT_EQ(client_.ReadAll(), "too late");
}

TEST_F(HttpChannelTest, AWatchSeesTheEndOnce) {
  int closed = 0;
  channel_->Watch([&closed] { ++closed; });
  EXPECT_FALSE(channel_->quiet());
  client_.ShutdownSend();
  io_.run();
  EXPECT_EQ(closed, 1);
  channel_->Watch([&closed] { ++closed; });  // one that begins after it
  EXPECT_EQ(closed, 2);
  EXPECT_TRUE(channel_->quiet());
}

TEST_F(HttpChannelTest, AWatchKeepsTheFirstBytesAndTakesNoMore) {
  bool closed = false;
  channel_->Watch([&closed] { closed = true; });
  const std::string flood(100'000, 'x');
  std::thread sender([&] {
    client_.Send(flood);
    client_.ShutdownSend();
  });
  io_.run();
  EXPECT_FALSE(closed);
  EXPECT_GT(channel_->input().size(), 0u);
  EXPECT_LE(channel_->input().size(), 16u * 1024);
  channel_->StopWatching();
  size_t taken = 0;
  Run([&]() -> asio::awaitable<void> {
    while (co_await channel_->Read() == ReadOutcome::kBytes) {
      taken += channel_->input().size();
      channel_->input().clear();
    }
  });
  sender.join();
  EXPECT_EQ(taken, flood.size());
}

TEST_F(HttpChannelTest, WritersTakeTurns) {
  for (const char letter : {'a', 'b', 'c'}) {
    asio::co_spawn(
        io_,
        [this, letter]() -> asio::awaitable<void> {
          for (int i = 0; i < 20; ++i) {
            EXPECT_TRUE((co_await channel_->Write(std::string(100, letter))).ok());
          }
        },
        asio::detached);
  }
  io_.run();
  std::map<char, int> whole;
  for (int i = 0; i < 60; ++i) {
    const std::string piece = client_.ReadBytes(100);
    ASSERT_EQ(piece, std::string(100, piece[0]));
    ++whole[piece[0]];
  }
  EXPECT_EQ(whole, (std::map<char, int>{{'a', 20}, {'b', 20}, {'c', 20}}));
  EXPECT_EQ(channel_->bytes_out(), 6000u);
}

TEST_F(HttpChannelTest, ABackgroundWriteIsLeftOutWhileSomebodyWrites) {
  Run([&]() -> asio::awaitable<void> {
    channel_->WriteIfIdle("beat ");
    channel_->WriteIfIdle("left out ");
    EXPECT_TRUE((co_await channel_->Write("text")).ok());
    channel_->Abort(CancelledError("enough"));
    channel_->WriteIfIdle("never");
  });
  EXPECT_EQ(client_.ReadAll(), "beat text");
}

TEST_F(HttpChannelTest, APeerThatDoesNotReadEndsIt) {
  Run([&]() -> asio::awaitable<void> {
    bool closed = false;
    channel_->Watch([&closed] { closed = true; });
    const Status status = co_await channel_->Write(std::string(10'000'000, 'x'));
    EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
    EXPECT_EQ(co_await channel_->Write("more"), status);
    EXPECT_EQ(co_await channel_->Read(), ReadOutcome::kClosed);
    EXPECT_TRUE(closed);
  });
  EXPECT_LT(channel_->bytes_out(), 10'000'000u);
}

TEST_F(HttpChannelTest, APeerThatIsGoneEndsIt) {
  client_.Reset();
  Run([&]() -> asio::awaitable<void> {
    EXPECT_EQ(co_await channel_->Read(), ReadOutcome::kClosed);
    EXPECT_EQ((co_await channel_->Write("x")).code(), StatusCode::kCancelled);
  });
}

TEST_F(HttpChannelTest, CloseLetsThePeerReadWhatWasSentThoughItIsStillSending) {
  client_.Send(std::string(10'000, 'x'));
  Run([&]() -> asio::awaitable<void> {
    EXPECT_TRUE((co_await channel_->Write("413")).ok());
    co_await channel_->Close(/*unread_request=*/true, milliseconds(30));
  });
  EXPECT_EQ(client_.ReadAll(), "413");
}

}  // namespace
}  // namespace foretoken
