#include "server/websocket_connection.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "unit/server/http_test_server.h"
#include "unit/server/raw_websocket_client.h"

namespace foretoken {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using Session = std::shared_ptr<WebSocketSession>;

constexpr char kPath[] = "/v1/stream";

HttpListenerOptions Options() {
  HttpListenerOptions options;
  options.websocket.paths = {kPath};
  return options;
}

// Sends back what it receives.
asio::awaitable<void> EchoMessages(Session session) {
  while (true) {
    Result<std::string> text = co_await session->Receive();
    if (!text.ok()) co_return;
    const Status sent = co_await session->Send(std::move(*text));
    if (!sent.ok()) co_return;
  }
}

TEST(WebSocketConnectionTest, EchoesAndClosesInOrder) {
  HttpTestServer server(Echo, Options(), EchoMessages);
  RawWebSocketClient client(server.port());
  const RawResponse upgraded = client.Upgrade(std::string(kPath) + "?x=1", "X-Request-Id: r-1\r\n");
  ASSERT_EQ(upgraded.status, 101);
  EXPECT_EQ(upgraded.headers.at("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(upgraded.headers.at("x-request-id"), "r-1");
  EXPECT_FALSE(upgraded.headers.contains("sec-websocket-extensions"));
  for (const std::string& text :
       {std::string("hello"), std::string(), std::string(70'000, 'x'), std::string("\xC3\xA9")}) {
    client.SendFrame(kText, text);
    EXPECT_EQ(client.ReadText(), text);
  }
  EXPECT_EQ(server.server->counts().open_websockets, 1u);
  client.SendClose(1000);
  EXPECT_EQ(client.ReadCloseCode(), 1000);
  EXPECT_EQ(client.ReadAll(), "");
  const auto record = server.records->Pop();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->status, 101);
  EXPECT_EQ(record->path, kPath);
  EXPECT_EQ(record->bytes_in, 70'007u);
  EXPECT_EQ(record->bytes_out, 70'007u);
  EXPECT_FALSE(record->disconnected);
  EXPECT_EQ(server.server->counts().open_websockets, 0u);
}

TEST(WebSocketConnectionTest, FragmentsMakeAMessageAndPingsAreAnsweredInBetween) {
  HttpTestServer server(Echo, Options(), EchoMessages);
  RawWebSocketClient client(server.port());
  ASSERT_EQ(client.Upgrade(kPath).status, 101);
  client.SendFrame(kText, "one ", /*final=*/false);
  client.SendFrame(kPing, "are you there?");
  client.SendFrame(kContinuation, "two", /*final=*/true);
  const RawFrame pong = client.ReadFrame();
  EXPECT_EQ(pong.opcode, kPong);
  EXPECT_EQ(pong.payload, "are you there?");
  EXPECT_EQ(client.ReadText(), "one two");
}

TEST(WebSocketConnectionTest, AnUpgradeIsGrantedOnItsPathsOnly) {
  HttpTestServer server(Echo, Options(), EchoMessages);
  RawWebSocketClient client(server.port());
  const RawResponse response = client.Upgrade("/v1/other");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "GET /v1/other?\n");
  // A plain request on the path is the HTTP handler's; the connection goes on.
  client.Send("GET /v1/stream HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().body, "GET /v1/stream?\n");
  EXPECT_EQ(client.Upgrade(kPath).status, 101);
}

TEST(WebSocketConnectionTest, ForeignPagesAndPipelinedOrOldHandshakesAreRefused) {
  HttpListenerOptions options = Options();
  options.websocket.allowed_origins = {"https://console.example"};
  HttpTestServer server(Echo, options, EchoMessages);
  const auto status = [&server](const std::string& headers, const std::string& version = "13") {
    return RawWebSocketClient(server.port()).Upgrade(kPath, headers, version).status;
  };
  EXPECT_EQ(status("Origin: https://evil.example\r\n"), 403);
  EXPECT_EQ(status("Origin: https://h.example.evil\r\n"), 403);
  EXPECT_EQ(status("Origin: null\r\n"), 403);
  EXPECT_EQ(status("Origin: https://H.example\r\n"), 101);
  EXPECT_EQ(status("Origin: https://console.example\r\n"), 101);
  EXPECT_EQ(status("", "12"), 426);
  RawWebSocketClient eager(server.port());
  eager.Send(
      "GET /v1/stream HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nmore");
  EXPECT_EQ(eager.ReadResponse().status, 400);
}

TEST(WebSocketConnectionTest, TheHeadIsCheckedBeforeTheUpgrade) {
  HttpListenerOptions options = Options();
  options.check_head = [](const HttpRequest& head) -> std::optional<HttpResponse> {
    if (FindHeader(head.headers, "authorization") == "Bearer good") return std::nullopt;
    HttpResponse refused;
    refused.status = 401;
    return refused;
  };
  HttpTestServer server(Echo, options, EchoMessages);
  RawWebSocketClient client(server.port());
  EXPECT_EQ(client.Upgrade(kPath).status, 401);
  EXPECT_EQ(client.Upgrade(kPath, "Authorization: Bearer good\r\n").status, 101);
}

TEST(WebSocketConnectionTest, WhatIsNoProperTextClosesTheSession) {
  HttpListenerOptions options = Options();
  options.websocket.message_bytes = 1000;
  Arrivals<Status> ended;
  HttpTestServer server(Echo, options, [&ended](Session session) -> asio::awaitable<void> {
    Result<std::string> text = co_await session->Receive();
    ended.Push(text.status());
  });
  const auto close_code = [&](int opcode, const std::string& payload, bool masked) {
    RawWebSocketClient client(server.port());
    EXPECT_EQ(client.Upgrade(kPath).status, 101);
    client.SendFrame(opcode, payload, /*final=*/true, masked);
    return client.ReadCloseCode();
  };
  EXPECT_EQ(close_code(kText, std::string(1001, 'x'), true), 1009);
  EXPECT_EQ(ended.Pop()->code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(close_code(kText, "\xff\xfe", true), 1007);
  EXPECT_EQ(ended.Pop()->code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(close_code(kBinary, "x", true), 1003);
  EXPECT_EQ(ended.Pop()->code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(close_code(kText, "not masked", false), 1002);
  EXPECT_EQ(ended.Pop()->code(), StatusCode::kCancelled);
  EXPECT_EQ(close_code(5, "a reserved opcode", true), 1002);
  EXPECT_EQ(ended.Pop()->code(), StatusCode::kCancelled);
}

TEST(WebSocketConnectionTest, FragmentsTogetherAreBounded) {
  HttpListenerOptions options = Options();
  options.websocket.message_bytes = 1000;
  HttpTestServer server(Echo, options, EchoMessages);
  RawWebSocketClient client(server.port());
  ASSERT_EQ(client.Upgrade(kPath).status, 101);
  client.SendFrame(kText, std::string(400, 'x'), /*final=*/false);
  client.SendFrame(kContinuation, std::string(400, 'x'), /*final=*/false);
  client.SendFrame(kContinuation, std::string(400, 'x'), /*final=*/false);
  EXPECT_EQ(client.ReadCloseCode(), 1009);
}

TEST(WebSocketConnectionTest, MessagesShareTheMemoryOfBodies) {
  HttpListenerOptions options = Options();
  options.max_total_body_bytes = 64 * 1024;
  HttpTestServer server(Echo, options, EchoMessages);
  RawWebSocketClient client(server.port());
  ASSERT_EQ(client.Upgrade(kPath).status, 101);
  client.SendFrame(kText, std::string(100'000, 'x'));
  EXPECT_EQ(client.ReadCloseCode(), 1013);
  RawWebSocketClient other(server.port());
  ASSERT_EQ(other.Upgrade(kPath).status, 101);
  other.SendFrame(kText, std::string(30'000, 'x'));
  EXPECT_EQ(other.ReadText(), std::string(30'000, 'x'));
}

TEST(WebSocketConnectionTest, ASilentPeerIsAskedAndThenDropped) {
  HttpListenerOptions options = Options();
  options.websocket.idle_time = milliseconds(60);
  Arrivals<Status> ended;
  HttpTestServer server(Echo, options, [&ended](Session session) -> asio::awaitable<void> {
    Result<std::string> text = co_await session->Receive();
    ended.Push(text.status());
  });
  RawWebSocketClient client(server.port());
  ASSERT_EQ(client.Upgrade(kPath).status, 101);
  EXPECT_EQ(client.ReadFrame().opcode, kPing);
  EXPECT_EQ(ended.Pop()->code(), StatusCode::kCancelled);
  EXPECT_TRUE(server.records->Pop()->disconnected);
}

TEST(WebSocketConnectionTest, SeveralCoroutinesSendWholeMessagesInTheirOrder) {
  HttpListenerOptions options = Options();
  options.websocket.queue_bytes = 1000;  // so that they wait for each other
  HttpTestServer server(Echo, options, [](Session session) -> asio::awaitable<void> {
    for (int sender = 0; sender < 4; ++sender) {
      asio::co_spawn(
          session->executor(),
          [session, sender]() -> asio::awaitable<void> {
            for (int i = 0; i < 50; ++i) {
              const std::string text =
                  std::to_string(sender) + ":" + std::to_string(i) + std::string(200, '.');
              EXPECT_TRUE((co_await session->Send(text)).ok());
            }
          },
          asio::detached);
    }
    Result<std::string> end = co_await session->Receive();
    EXPECT_TRUE(end.ok());
  });
  RawWebSocketClient client(server.port());
  ASSERT_EQ(client.Upgrade(kPath).status, 101);
  std::map<int, int> next;
  for (int i = 0; i < 200; ++i) {
    const std::string text = client.ReadText();
    const int sender = text[0] - '0';
    EXPECT_EQ(text, std::to_string(sender) + ":" + std::to_string(next[sender]++) +
                        std::string(200, '.'));
  }
  client.SendFrame(kText, "done");
  EXPECT_EQ(client.ReadCloseCode(), 1000);
}

TEST(WebSocketConnectionTest, AClientThatNeverReadsStopsItsSender) {
  HttpListenerOptions options = Options();
  options.slow_reader_time = milliseconds(50);
  options.send_buffer_bytes = 16 * 1024;
  options.websocket.queue_bytes = 10'000;
  Arrivals<Status> ended;
  std::atomic<int> queued = 0;
  HttpTestServer server(Echo, options, [&](Session session) -> asio::awaitable<void> {
    Status status;
    while (status.ok()) {
      status = co_await session->Send(std::string(1000, 'x'));
      if (status.ok()) ++queued;
    }
    EXPECT_TRUE(session->closed());
    ended.Push(status);
  });
  RawWebSocketClient client(server.port(), 16 * 1024);
  ASSERT_EQ(client.Upgrade(kPath).status, 101);
  EXPECT_EQ(ended.Pop()->code(), StatusCode::kDeadlineExceeded);
  EXPECT_LT(queued, 1000);
  server.server->Stop();
  EXPECT_EQ(server.server->counts().slow_readers, 1u);
}

TEST(WebSocketConnectionTest, AClientThatDoesNotWaitForAnswersIsSlowedDown) {
  HttpListenerOptions options = Options();
  options.websocket.message_bytes = 10'000;
  Arrivals<int> go_on;
  HttpTestServer server(Echo, options, [&go_on](Session session) -> asio::awaitable<void> {
    go_on.Pop();  // nothing is taken before: what comes has to wait in queues that are bounded
    for (int i = 0; i < 2000; ++i) {
      Result<std::string> text = co_await session->Receive();
      EXPECT_TRUE(text.ok());
      if (!text.ok() || *text != std::to_string(i) + std::string(1000, 'x')) co_return;
    }
    EXPECT_TRUE((co_await session->Send("all")).ok());
  });
  RawWebSocketClient client(server.port());
  ASSERT_EQ(client.Upgrade(kPath).status, 101);
  std::thread sender([&client] {
    for (int i = 0; i < 2000; ++i) {
      client.SendFrame(kText, std::to_string(i) + std::string(1000, 'x'));
    }
  });
  go_on.Push(1);
  EXPECT_EQ(client.ReadText(), "all");
  sender.join();
}

TEST(WebSocketConnectionTest, TheHandlerHearsThatTheClientIsGone) {
  for (const bool reset : {false, true}) {
    Arrivals<std::string> heard;
    HttpTestServer server(Echo, Options(), [&heard](Session session) -> asio::awaitable<void> {
      session->OnClose([&heard] { heard.Push("closed"); });
      heard.Push("open");
      Result<std::string> text = co_await session->Receive();
      heard.Push(std::string(StatusCodeName(text.status().code())));
      EXPECT_EQ((co_await session->Send("late")).code(), StatusCode::kCancelled);
    });
    RawWebSocketClient client(server.port());
    ASSERT_EQ(client.Upgrade(kPath).status, 101);
    EXPECT_EQ(heard.Pop(), "open");
    reset ? client.Reset() : client.Close();
    EXPECT_EQ(heard.Pop(), "closed");
    EXPECT_EQ(heard.Pop(), "CANCELLED");
    EXPECT_TRUE(server.records->Pop()->disconnected);
  }
}

TEST(WebSocketConnectionTest, ADrainEndsTheInputAndDeliversTheOutput) {
  Arrivals<int> open;
  HttpTestServer server(Echo, Options(), [&open](Session session) -> asio::awaitable<void> {
    open.Push(1);
    Result<std::string> text = co_await session->Receive();
    EXPECT_EQ(text.status().code(), StatusCode::kCancelled);
    EXPECT_FALSE(session->closed());
    EXPECT_TRUE((co_await session->Send("last words")).ok());
  });
  RawWebSocketClient client(server.port());
  ASSERT_EQ(client.Upgrade(kPath).status, 101);
  EXPECT_TRUE(open.Pop());
  std::thread drain([&server] { server.server->Drain(minutes(1)); });
  EXPECT_EQ(client.ReadText(), "last words");
  EXPECT_EQ(client.ReadCloseCode(), 1001);
  client.SendClose(1001);
  drain.join();
}

TEST(WebSocketConnectionTest, AHandlerThatFailsSaysSoAndOneMayChooseItsCode) {
  HttpTestServer server(Echo, Options(), [](Session session) -> asio::awaitable<void> {
    if (session->request().query == "throw") throw std::runtime_error("secret");
    session->SetCloseCode(4001, std::string(500, 'r'));
    co_return;
  });
  RawWebSocketClient failed(server.port());
  ASSERT_EQ(failed.Upgrade(std::string(kPath) + "?throw").status, 101);
  const RawFrame frame = failed.ReadFrame();
  EXPECT_EQ(frame.close_code(), 1011);
  EXPECT_EQ(frame.payload.find("secret"), std::string::npos);
  RawWebSocketClient chosen(server.port());
  ASSERT_EQ(chosen.Upgrade(kPath).status, 101);
  EXPECT_EQ(chosen.ReadCloseCode(), 4001);
}

TEST(WebSocketConnectionTest, ASessionThatIsKeptTooLongFailsSafely) {
  Arrivals<Session> kept;
  Arrivals<Status> sent;
  HttpTestServer server(Echo, Options(), [&kept](Session session) -> asio::awaitable<void> {
    kept.Push(session);
    co_return;
  });
  RawWebSocketClient client(server.port());
  ASSERT_EQ(client.Upgrade(kPath).status, 101);
  EXPECT_EQ(client.ReadCloseCode(), 1000);
  client.SendClose(1000);
  Session late = *kept.Pop();
  server.server->Stop();
  const asio::any_io_executor strand = late->executor();
  asio::co_spawn(
      strand,
      [&sent, session = std::move(late)]() -> asio::awaitable<void> {
        EXPECT_EQ((co_await session->Send("\xff")).code(), StatusCode::kInvalidArgument);
        EXPECT_EQ((co_await session->Receive()).status().code(), StatusCode::kCancelled);
        sent.Push(co_await session->Send("late"));
      },
      asio::detached);
  EXPECT_EQ(sent.Pop()->code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace foretoken
