#include "server/http_channel_exchange.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "unit/server/socket_pair.h"

namespace foretoken {
namespace {

class ChannelExchangeTest : public testing::Test {
 protected:
  // Answers one request with `work`, then closes.
  void Answer(const std::string& method, ExchangeTerms terms,
              const std::function<asio::awaitable<void>(ChannelExchange&)>& work) {
    HttpRequest request;
    request.method = method;
    request.request_id = "id";
    request.body = "body";
    MemoryHold hold;
    EXPECT_TRUE(hold.GrowTo(state_.body_bytes(), 1));
    exchange_ = std::make_unique<ChannelExchange>(state_, *channel_, std::move(request),
                                                  std::move(hold), terms);
    asio::co_spawn(
        io_,
        [this, &work]() -> asio::awaitable<void> {
          co_await work(*exchange_);
          reusable_ = exchange_->reusable();
          co_await channel_->Close(false, std::chrono::milliseconds(10));
        },
        asio::detached);
    io_.run();
  }

  asio::io_context io_;
  SocketPair pair_{io_};
  RawHttpClient& client_ = *pair_.client;
  HttpServerState state_{HttpListenerOptions(), nullptr, nullptr};
  std::shared_ptr<HttpChannel> channel_ = std::make_shared<HttpChannel>(
      std::move(pair_.server), nullptr, std::chrono::milliseconds(100));
  std::unique_ptr<ChannelExchange> exchange_;
  bool reusable_ = false;
};

TEST_F(ChannelExchangeTest, AnswersOnce) {
  Answer("GET", {}, [](ChannelExchange& exchange) -> asio::awaitable<void> {
    EXPECT_EQ((co_await exchange.Write("x")).code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ((co_await exchange.EndStream()).code(), StatusCode::kFailedPrecondition);
    EXPECT_FALSE(exchange.answered());
    HttpResponse response;
    response.status = 201;
    response.body = "once";
    EXPECT_TRUE((co_await exchange.Respond(response)).ok());
    EXPECT_TRUE(exchange.delivered());
    EXPECT_EQ(exchange.status(), 201);
    EXPECT_EQ((co_await exchange.Respond(response)).code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ((co_await exchange.BeginStream(response)).code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ((co_await exchange.Write("x")).code(), StatusCode::kFailedPrecondition);
  });
  EXPECT_TRUE(reusable_);
  const RawResponse response = client_.ReadResponse();
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(response.body, "once");
  EXPECT_EQ(client_.ReadAll(), "");
}

TEST_F(ChannelExchangeTest, StreamsInChunks) {
  Answer("GET", {}, [](ChannelExchange& exchange) -> asio::awaitable<void> {
    EXPECT_TRUE((co_await exchange.BeginStream(HttpResponse())).ok());
    EXPECT_TRUE(exchange.answered());
    EXPECT_FALSE(exchange.delivered());
    EXPECT_TRUE((co_await exchange.Write("one")).ok());
    EXPECT_TRUE((co_await exchange.Write("")).ok());  // must not end it
    EXPECT_TRUE((co_await exchange.Write(std::string(300, 'x'))).ok());
    EXPECT_TRUE((co_await exchange.EndStream()).ok());
  });
  EXPECT_TRUE(reusable_);
  client_.ReadUntil("\r\n\r\n");
  EXPECT_EQ(client_.ReadAll(), "3\r\none\r\n12c\r\n" + std::string(300, 'x') + "\r\n0\r\n\r\n");
}

TEST_F(ChannelExchangeTest, AStreamForHeadHasNoBody) {
  Answer("HEAD", {}, [](ChannelExchange& exchange) -> asio::awaitable<void> {
    EXPECT_TRUE((co_await exchange.BeginStream(HttpResponse())).ok());
    EXPECT_TRUE((co_await exchange.Write("one")).ok());
    EXPECT_TRUE((co_await exchange.EndStream()).ok());
  });
  EXPECT_TRUE(reusable_);
  EXPECT_EQ(client_.ReadResponse(/*to_head=*/true).headers.at("transfer-encoding"), "chunked");
  EXPECT_EQ(client_.ReadAll(), "");
}

TEST_F(ChannelExchangeTest, AStatusWithoutABodySendsNone) {
  Answer("GET", {}, [](ChannelExchange& exchange) -> asio::awaitable<void> {
    HttpResponse response;
    response.status = 204;
    response.body = "dropped";
    EXPECT_TRUE((co_await exchange.Respond(response)).ok());
  });
  EXPECT_EQ(client_.ReadResponse().status, 204);
  EXPECT_EQ(client_.ReadAll(), "");
}

TEST_F(ChannelExchangeTest, AStreamThatIsNotEndedCannotBeFollowedByAnother) {
  Answer("GET", {}, [](ChannelExchange& exchange) -> asio::awaitable<void> {
    EXPECT_TRUE((co_await exchange.BeginStream(HttpResponse())).ok());
  });
  EXPECT_FALSE(reusable_);
}

TEST_F(ChannelExchangeTest, SaysThatTheConnectionEndsWhereItDoes) {
  state_.StartDraining();
  Answer("GET", {}, [](ChannelExchange& exchange) -> asio::awaitable<void> {
    EXPECT_TRUE((co_await exchange.Respond(HttpResponse())).ok());
  });
  EXPECT_FALSE(reusable_);
  EXPECT_EQ(client_.ReadResponse().headers.at("connection"), "close");
}

TEST_F(ChannelExchangeTest, AReleasedBodyIsFreeForOthers) {
  Answer("POST", {}, [this](ChannelExchange& exchange) -> asio::awaitable<void> {
    EXPECT_EQ(exchange.request().body, "body");
    EXPECT_GT(state_.body_bytes().used(), 0);
    exchange.ReleaseBody();
    EXPECT_EQ(exchange.request().body, "");
    EXPECT_EQ(state_.body_bytes().used(), 0);
    co_return;
  });
}

TEST_F(ChannelExchangeTest, ADisconnectIsToldAtOnceWhereItIsKnown) {
  client_.Close();
  Answer("GET", {}, [this](ChannelExchange& exchange) -> asio::awaitable<void> {
    EXPECT_EQ(co_await channel_->Read(), HttpChannel::ReadOutcome::kClosed);
    EXPECT_TRUE(exchange.disconnected());
    int calls = 0;
    exchange.OnDisconnect([&calls] { ++calls; });
    EXPECT_EQ(calls, 1);
  });
}

}  // namespace
}  // namespace foretoken
