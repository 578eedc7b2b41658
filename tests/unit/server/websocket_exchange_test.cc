#include "server/websocket_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "unit/server/fake_websocket_session.h"

namespace foretoken {
namespace {

using testing::ElementsAre;

class WebSocketExchangeTest : public testing::Test {
 protected:
  void Run(asio::awaitable<void> coroutine) {
    asio::co_spawn(io_, std::move(coroutine), asio::detached);
    io_.run();
    io_.restart();
  }

  asio::io_context io_;
  std::shared_ptr<FakeWebSocketSession> session_ = std::make_shared<FakeWebSocketSession>(io_);
};

TEST_F(WebSocketExchangeTest, AWholeAnswerIsOneMessage) {
  WebSocketExchange exchange(session_, "a\"1", {});
  HttpResponse response{404, {{"content-type", "application/json"}}, R"({"error":{}})"};
  Run([&]() -> asio::awaitable<void> { (void)co_await exchange.Respond(std::move(response)); }());
  ASSERT_EQ(session_->sent.size(), 1u);
  EXPECT_EQ(nlohmann::json::parse(session_->sent[0]),
            nlohmann::json::parse(R"({"id": "a\"1", "status": 404, "body": {"error": {}}})"));
}

TEST_F(WebSocketExchangeTest, OtherBodiesAreTexts) {
  WebSocketExchange exchange(session_, "a", {});
  HttpResponse response{200, {}, "line\n\"quoted\""};
  Run([&]() -> asio::awaitable<void> { (void)co_await exchange.Respond(std::move(response)); }());
  EXPECT_EQ(nlohmann::json::parse(session_->sent[0])["body"], "line\n\"quoted\"");
}

TEST_F(WebSocketExchangeTest, EventsOfAStreamAreMessages) {
  WebSocketExchange exchange(session_, "s", {});
  Run([&]() -> asio::awaitable<void> {
    HttpResponse head;
    StreamHeartbeat heartbeat;
    (void)co_await exchange.BeginStream(std::move(head), std::move(heartbeat));
    (void)co_await exchange.Write("event: x\ndata: {\"n\":1}\n\ndata: {\"n\":2}\n\n");
    (void)co_await exchange.Write("data: [DONE]\n\n");
    (void)co_await exchange.EndStream();
  }());
  EXPECT_THAT(session_->sent,
              ElementsAre(R"({"id":"s","status":200})", R"({"id":"s","data":{"n":1}})",
                          R"({"id":"s","data":{"n":2}})", R"({"id":"s","done":true})"));
}

TEST_F(WebSocketExchangeTest, ACancelIsADisconnect) {
  WebSocketExchange exchange(session_, "s", {});
  int calls = 0;
  exchange.OnDisconnect([&] { ++calls; });
  EXPECT_FALSE(exchange.disconnected());
  exchange.Cancel();
  exchange.Cancel();
  EXPECT_TRUE(exchange.disconnected());
  EXPECT_EQ(calls, 1);
  exchange.OnDisconnect([&] { ++calls; });  // at once: it has happened
  EXPECT_EQ(calls, 2);
}

TEST_F(WebSocketExchangeTest, WritingToAClosedSessionFails) {
  WebSocketExchange exchange(session_, "s", {});
  session_->Close();
  EXPECT_TRUE(exchange.disconnected());
  Status status;
  Run([&]() -> asio::awaitable<void> { status = co_await exchange.Write("data: {}\n\n"); }());
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace foretoken
