#include "server/http_server_state.h"

#include <gtest/gtest.h>

#include <optional>
#include <utility>

namespace foretoken {
namespace {

HttpServerState State(int connections, int per_address) {
  HttpListenerOptions options;
  options.max_connections = connections;
  options.max_connections_per_address = per_address;
  options.websocket.paths = {"/v1/stream"};
  return {options, nullptr,
          [](const std::shared_ptr<WebSocketSession>&) -> asio::awaitable<void> { co_return; }};
}

TEST(HttpServerStateTest, AnAddressGetsNoMoreThanItsPlaces) {
  HttpServerState state = State(10, 2);
  const std::optional<HttpPlace> first = state.Admit("a");
  std::optional<HttpPlace> second = state.Admit("a");
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(state.Admit("a"));
  EXPECT_TRUE(state.Admit("b"));
  state.Remove(nullptr, *std::exchange(second, std::nullopt));
  EXPECT_TRUE(state.Admit("a"));
  EXPECT_EQ(state.counts().refused_connections_address, 1u);
  EXPECT_EQ(state.counts().refused_connections, 0u);
}

TEST(HttpServerStateTest, AllTogetherGetNoMoreThanThereAre) {
  HttpServerState state = State(2, 2);
  std::optional<HttpPlace> first = state.Admit("a");
  const std::optional<HttpPlace> second = state.Admit("b");
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(state.Admit("c"));
  state.Remove(nullptr, *std::exchange(first, std::nullopt));
  EXPECT_TRUE(state.Admit("c"));
  EXPECT_EQ(state.counts().refused_connections, 1u);
  EXPECT_EQ(state.counts().accepted_connections, 3u);
}

TEST(HttpServerStateTest, ErrorsAreTextUnlessSomebodyShapesThem) {
  const HttpResponse text = State(1, 1).ErrorResponse(431, "too many");
  EXPECT_EQ(text.status, 431);
  EXPECT_EQ(text.body, "too many\n");
  HttpListenerOptions options;
  options.error_response = [](int, const std::string& message) {
    HttpResponse response;
    response.status = 200;  // the transport's status stands all the same
    response.body = "<" + message + ">";
    return response;
  };
  const HttpResponse shaped =
      HttpServerState(options, nullptr, nullptr).ErrorResponse(431, "too many");
  EXPECT_EQ(shaped.status, 431);
  EXPECT_EQ(shaped.body, "<too many>");
}

TEST(HttpServerStateTest, WebSocketsNeedAPathAndAHandler) {
  EXPECT_TRUE(State(1, 1).IsWebSocketPath("/v1/stream"));
  EXPECT_FALSE(State(1, 1).IsWebSocketPath("/v1/stream/"));
  HttpListenerOptions options;
  options.websocket.paths = {"/v1/stream"};
  EXPECT_FALSE(HttpServerState(options, nullptr, nullptr).IsWebSocketPath("/v1/stream"));
}

TEST(HttpServerStateTest, AnEmptyServerIsNotWaitedFor) {
  HttpServerState state = State(1, 1);
  EXPECT_TRUE(state.WaitUntilEmpty(std::nullopt));
  EXPECT_TRUE(state.WaitUntilEmpty(std::chrono::steady_clock::now()));
}

TEST(MemoryHoldTest, HoldsAtLeastWhatItStandsForAndGivesItBack) {
  Ledger ledger("bytes", 64 * 1024);
  {
    MemoryHold hold;
    EXPECT_TRUE(hold.GrowTo(ledger, 0));
    EXPECT_EQ(ledger.used(), 0);
    EXPECT_TRUE(hold.GrowTo(ledger, 20'000));
    EXPECT_GE(ledger.used(), 20'000);
    EXPECT_TRUE(hold.GrowTo(ledger, 64 * 1024));
    MemoryHold moved = std::move(hold);
    EXPECT_FALSE(moved.GrowTo(ledger, 64 * 1024 + 1));
    EXPECT_EQ(ledger.used(), 64 * 1024);
    moved.Reset();
    EXPECT_EQ(ledger.used(), 0);
    EXPECT_TRUE(moved.GrowTo(ledger, 1));
  }
  EXPECT_EQ(ledger.used(), 0);
}

}  // namespace
}  // namespace foretoken
