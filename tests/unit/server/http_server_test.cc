#include "server/http_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "unit/server/http_test_server.h"
#include "unit/server/raw_http_client.h"

namespace foretoken {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

constexpr char kGet[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

asio::awaitable<void> Sleep(HttpExchange& exchange, milliseconds time) {
  asio::steady_timer timer(exchange.executor(), time);
  exchange.OnDisconnect([&timer] { timer.cancel(); });
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  exchange.OnDisconnect(nullptr);
}

TEST(HttpServerTest, OptionsThatMakeNoSenseAreRefused) {
  const auto io = std::move(IoThreads::Start(1)).value();
  const std::vector<std::function<void(HttpListenerOptions&)>> mistakes = {
      [](HttpListenerOptions& options) { options.address = "localhost"; },
      [](HttpListenerOptions& options) { options.limits.header_bytes = 0; },
      [](HttpListenerOptions& options) { options.max_connections = 0; },
      [](HttpListenerOptions& options) { options.max_connections_per_address = -1; },
      [](HttpListenerOptions& options) { options.max_total_body_bytes = 0; },
      [](HttpListenerOptions& options) { options.body_bytes_per_s = 0; },
      [](HttpListenerOptions& options) { options.send_buffer_bytes = -1; },
      [](HttpListenerOptions& options) { options.idle_time = milliseconds(0); },
      [](HttpListenerOptions& options) { options.websocket.message_bytes = 0; },
      [](HttpListenerOptions& options) { options.certificate_path = "only.pem"; },
  };
  for (size_t i = 0; i < mistakes.size(); ++i) {
    HttpListenerOptions options;
    mistakes[i](options);
    EXPECT_EQ(HttpServer::Create(*io, options, Echo).status().code(), StatusCode::kInvalidArgument)
        << i;
  }
  EXPECT_EQ(HttpServer::Create(*io, {}, nullptr).status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(HttpServer::Create(*io, {}, Echo).ok());
}

TEST(HttpServerTest, AnAddressInUseIsUnavailable) {
  HttpTestServer first(Echo);
  HttpListenerOptions options;
  options.port = first.port();
  EXPECT_EQ(HttpServer::Create(*first.io, options, Echo).status().code(), StatusCode::kUnavailable);
}

TEST(HttpServerTest, SeveralServersShareTheThreads) {
  HttpTestServer first(Echo);
  const auto second = std::move(HttpServer::Create(*first.io, {}, Echo)).value();
  second->Start();
  EXPECT_NE(first.port(), second->port());
  EXPECT_EQ(second->ReloadCertificates().code(), StatusCode::kFailedPrecondition);
  for (const uint16_t port : {first.port(), second->port()}) {
    RawHttpClient client(port);
    client.Send(kGet);
    EXPECT_EQ(client.ReadResponse().status, 200);
  }
}

TEST(HttpServerTest, ConnectionsFromOneAddressAreBounded) {
  HttpListenerOptions options;
  options.max_connections_per_address = 2;
  HttpTestServer server(Echo, options);
  RawHttpClient first(server.port());
  RawHttpClient second(server.port());
  for (RawHttpClient* client : {&first, &second}) {
    client->Send(kGet);
    EXPECT_EQ(client->ReadResponse().status, 200);
  }
  RawHttpClient third(server.port());
  EXPECT_EQ(third.ReadAll(), "");
  EXPECT_EQ(server.server->counts().refused_connections_address, 1u);
  EXPECT_EQ(server.server->counts().open_connections, 2u);
}

TEST(HttpServerTest, ManyClientsAtOnceGetTheirOwnAnswers) {
  HttpTestServer server(Echo);
  std::vector<std::thread> clients;
  std::atomic<int> right = 0;
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([&server, &right, c] {
      RawHttpClient client(server.port());
      for (int i = 0; i < 50; ++i) {
        const std::string body = std::to_string(c) + "-" + std::to_string(i);
        client.Send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: " +
                    std::to_string(body.size()) + "\r\n\r\n" + body);
        if (client.ReadResponse().body == "POST /x?\n" + body) ++right;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, 400);
  server.server->Stop();
  EXPECT_EQ(server.server->counts().requests, 400u);
  EXPECT_EQ(server.server->counts().open_connections, 0u);
}

TEST(HttpServerTest, ADrainClosesIdleConnectionsAndLetsAnswersEnd) {
  Arrivals<int> begun;
  HttpListenerOptions options;
  options.linger_time = milliseconds(20);  // these clients do not close by themselves
  HttpTestServer server(
      [&begun](HttpExchange& exchange) -> asio::awaitable<void> {
        begun.Push(1);
        if (exchange.request().path == "/slow") co_await Sleep(exchange, milliseconds(50));
        EXPECT_FALSE(exchange.disconnected());
        co_await Echo(exchange);
      },
      options);
  RawHttpClient idle(server.port());
  idle.Send(kGet);
  EXPECT_EQ(idle.ReadResponse().status, 200);
  RawHttpClient silent(server.port());  // has sent nothing yet
  RawHttpClient busy(server.port());
  busy.Send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(begun.Pop() && begun.Pop());
  server.server->Drain(minutes(1));
  const RawResponse response = busy.ReadResponse();
  EXPECT_EQ(response.body, "GET /slow?\n");
  EXPECT_EQ(response.headers.at("connection"), "close");
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_FALSE(RawHttpClient(server.port()).connected());
  EXPECT_EQ(server.server->counts().open_connections, 0u);
}

TEST(HttpServerTest, ADrainCutsWhatDoesNotEnd) {
  Arrivals<Status> outcome;
  Arrivals<int> begun;
  HttpTestServer server([&](HttpExchange& exchange) -> asio::awaitable<void> {
    Status status = co_await exchange.BeginStream(HttpResponse());
    begun.Push(1);
    co_await Sleep(exchange, minutes(10));
    EXPECT_TRUE(exchange.disconnected());
    status = co_await exchange.Write("x");
    outcome.Push(status);
  });
  RawHttpClient client(server.port());
  client.Send(kGet);
  EXPECT_TRUE(begun.Pop());
  server.server->Drain(milliseconds(10));
  EXPECT_EQ(outcome.Pop()->code(), StatusCode::kCancelled);
  EXPECT_FALSE(client.ReadResponse().complete);
  EXPECT_EQ(server.server->counts().disconnects, 1u);
}

TEST(HttpServerTest, MayBeStoppedTwiceOrNeverStarted) {
  HttpTestServer server(Echo);
  server.server->Stop();
  server.server->Stop();
  const auto never = std::move(HttpServer::Create(*server.io, {}, Echo)).value();
  EXPECT_GT(never->port(), 0);
}

TEST(HttpServerTest, ListensOnIpv6WhereThereIsAny) {
  const auto io = std::move(IoThreads::Start(1)).value();
  HttpListenerOptions options;
  options.address = "::1";
  const Result<std::unique_ptr<HttpServer>> server = HttpServer::Create(*io, options, Echo);
  if (!server.ok()) GTEST_SKIP() << server.status().ToString();
  EXPECT_GT((*server)->port(), 0);
}

}  // namespace
}  // namespace foretoken
