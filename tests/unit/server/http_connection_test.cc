#include "server/http_connection.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <stdexcept>
#include <string>

#include "unit/server/http_test_server.h"
#include "unit/server/raw_http_client.h"

namespace foretoken {
namespace {

using std::chrono::milliseconds;

constexpr char kGet[] = "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n";

asio::awaitable<void> Pause(HttpExchange& exchange, milliseconds time) {
  asio::steady_timer timer(exchange.executor(), time);
  co_await timer.async_wait(asio::use_awaitable);
}

// Waits, without blocking the I/O thread, until the peer is gone.
asio::awaitable<void> UntilDisconnected(HttpExchange& exchange) {
  asio::steady_timer gone(exchange.executor(), std::chrono::steady_clock::time_point::max());
  exchange.OnDisconnect([&gone] { gone.cancel(); });
  if (exchange.disconnected()) co_return;
  boost::system::error_code ignored;
  co_await gone.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

TEST(HttpConnectionTest, OneConnectionServesManyRequests) {
  HttpTestServer server(Echo);
  RawHttpClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.Send(kGet));
    const RawResponse response = client.ReadResponse();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "GET /a?b\n");
    EXPECT_EQ(response.headers.at("connection"), "keep-alive");
    EXPECT_EQ(response.headers.at("x-request-id").size(), 32u);
  }
  EXPECT_EQ(server.server->counts().accepted_connections, 1u);
  EXPECT_EQ(server.server->counts().requests, 3u);
}

TEST(HttpConnectionTest, PipelinedRequestsAreAnsweredInOrderAndOneAtATime) {
  std::atomic<int> at_work = 0;
  HttpTestServer server([&at_work](HttpExchange& exchange) -> asio::awaitable<void> {
    EXPECT_EQ(++at_work, 1);
    // The first one is the slowest.
    co_await Pause(exchange, milliseconds(exchange.request().path == "/0" ? 30 : 0));
    HttpResponse response;
    response.body = exchange.request().path;
    --at_work;
    EXPECT_TRUE((co_await exchange.Respond(response)).ok());
  });
  RawHttpClient client(server.port());
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    requests +=
        "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
  }
  ASSERT_TRUE(client.Send(requests));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(client.ReadResponse().body, "/" + std::to_string(i));
}

TEST(HttpConnectionTest, BodiesComeByLengthAndInChunks) {
  HttpTestServer server(Echo);
  RawHttpClient client(server.port());
  const std::string big(3'000'000, 'x');
  client.Send("POST /l HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n" + big);
  EXPECT_EQ(client.ReadResponse().body, "POST /l?\n" + big);
  client.Send("POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  client.Send("1\r\n!\r\n0\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().body, "POST /c?\nhello!");
}

TEST(HttpConnectionTest, AClientThatAsksIsToldToGoOn) {
  HttpTestServer server(Echo);
  RawHttpClient client(server.port());
  const std::string head =
      "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
  client.Send(head);
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("hello");
  EXPECT_EQ(client.ReadResponse().body, "POST /?\nhello");
  // One that does not wait for it is not told.
  client.Send(head + "hello");
  EXPECT_EQ(client.ReadResponse().status, 200);
}

TEST(HttpConnectionTest, ALargeBodyIsRefusedUnreadAndOthersAreServed) {
  HttpListenerOptions options;
  options.limits.body_bytes = 1000;
  HttpTestServer server(Echo, options);
  RawHttpClient announced(server.port());
  announced.Send(
      "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n");
  RawResponse response = announced.ReadResponse();
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.headers.at("connection"), "close");
  EXPECT_EQ(announced.ReadAll(), "");

  // A client that sends all of it before it looks still gets to see the answer.
  RawHttpClient blind(server.port());
  const std::string flood(500'000, 'x');
  blind.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n");
  EXPECT_TRUE(blind.Send(flood));
  EXPECT_EQ(blind.ReadResponse().status, 413);

  RawHttpClient other(server.port());
  other.Send(kGet);
  EXPECT_EQ(other.ReadResponse().status, 200);
}

TEST(HttpConnectionTest, BodiesTogetherAreBounded) {
  HttpListenerOptions options;
  options.max_total_body_bytes = 64 * 1024;
  HttpTestServer server(Echo, options);
  RawHttpClient client(server.port());
  client.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" +
              std::string(100'000, 'x'));
  const RawResponse response = client.ReadResponse();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.headers.at("retry-after"), "1");
  EXPECT_EQ(server.server->counts().refused_bodies, 1u);
  // What it held is free again.
  RawHttpClient other(server.port());
  other.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n" +
             std::string(50'000, 'x'));
  EXPECT_EQ(other.ReadResponse().status, 200);
}

TEST(HttpConnectionTest, TenThousandHeadersAreRefused) {
  HttpTestServer server(Echo);
  RawHttpClient client(server.port());
  std::string request = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 10'000; ++i) request += "x-" + std::to_string(i) + ": y\r\n";
  client.Send(request + "\r\n");
  EXPECT_EQ(client.ReadResponse().status, 431);
  EXPECT_EQ(client.ReadAll(), "");
  EXPECT_EQ(server.server->counts().malformed_requests, 1u);
}

TEST(HttpConnectionTest, ASmuggledRequestIsNeverServed) {
  for (const char* head : {"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                           "Transfer-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
                           "Content-Length: 0\r\nContent-Length: 40\r\n\r\n", "Host: other\r\n\r\n",
                           "Transfer-Encoding: chunked\r\n\r\n0\r\n\r"}) {
    HttpTestServer server([](HttpExchange& exchange) -> asio::awaitable<void> {
      ADD_FAILURE() << exchange.request().path;
      co_return;
    });
    RawHttpClient client(server.port());
    client.Send("POST / HTTP/1.1\r\nHost: h\r\n" + std::string(head) +
                "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_GE(client.ReadResponse().status, 400) << head;
    EXPECT_EQ(client.ReadAll(), "") << head;
  }
}

TEST(HttpConnectionTest, ErrorsHaveTheShapeThatTheOptionsGive) {
  HttpListenerOptions options;
  options.error_response = [](int status, const std::string& message) {
    HttpResponse response;
    response.headers = {{"content-type", "application/json"}};
    response.body = "{" + std::to_string(status) + ":" + message + "}";
    return response;
  };
  HttpTestServer server(Echo, options);
  RawHttpClient client(server.port());
  client.Send("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n");
  const RawResponse response = client.ReadResponse();
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.headers.at("content-type"), "application/json");
  EXPECT_EQ(response.body, "{400:a '%' in the path is not followed by two hex digits}");
}

TEST(HttpConnectionTest, ASlowHeadIsAnsweredWith408) {
  HttpListenerOptions options;
  options.header_time = milliseconds(30);
  HttpTestServer server(Echo, options);
  RawHttpClient client(server.port());
  client.Send("GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ");
  EXPECT_EQ(client.ReadResponse().status, 408);
  EXPECT_EQ(client.ReadAll(), "");
  EXPECT_EQ(server.server->counts().header_timeouts, 1u);
  // One that says nothing at all is closed without a word.
  RawHttpClient silent(server.port());
  EXPECT_EQ(silent.ReadAll(), "");
}

TEST(HttpConnectionTest, ASlowBodyIsAnsweredWith408) {
  HttpListenerOptions options;
  options.body_time = milliseconds(30);
  HttpTestServer server(Echo, options);
  RawHttpClient client(server.port());
  client.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
  EXPECT_EQ(client.ReadResponse().status, 408);
  EXPECT_EQ(client.ReadAll(), "");
  EXPECT_EQ(server.server->counts().body_timeouts, 1u);
}

TEST(HttpConnectionTest, AnIdleConnectionIsClosed) {
  HttpListenerOptions options;
  options.idle_time = milliseconds(30);
  HttpTestServer server(Echo, options);
  RawHttpClient client(server.port());
  client.Send(kGet);
  EXPECT_EQ(client.ReadResponse().status, 200);
  EXPECT_EQ(client.ReadAll(), "");
}

TEST(HttpConnectionTest, TheHandlerHearsThatTheClientIsGone) {
  for (const bool reset : {false, true}) {
    Arrivals<std::string> heard;
    HttpTestServer server([&heard](HttpExchange& exchange) -> asio::awaitable<void> {
      heard.Push("begun");
      co_await UntilDisconnected(exchange);
      heard.Push(exchange.disconnected() ? "gone" : "still there");
    });
    RawHttpClient client(server.port());
    client.Send(kGet);
    EXPECT_EQ(heard.Pop(), "begun");
    reset ? client.Reset() : client.Close();
    EXPECT_EQ(heard.Pop(), "gone");
    const auto record = server.records->Pop();
    ASSERT_TRUE(record.has_value());
    EXPECT_TRUE(record->disconnected);
    EXPECT_EQ(record->status, 0);
  }
}

TEST(HttpConnectionTest, AClientThatOnlyStopsSendingGetsAnAnswerThatIsReady) {
  HttpTestServer server([](HttpExchange& exchange) -> asio::awaitable<void> {
    co_await UntilDisconnected(exchange);
    HttpResponse response;
    response.body = "late";
    EXPECT_TRUE((co_await exchange.Respond(response)).ok());
  });
  RawHttpClient client(server.port());
  client.Send(kGet);
  client.ShutdownSend();
  EXPECT_EQ(client.ReadResponse().body, "late");
  EXPECT_EQ(client.ReadAll(), "");
}

TEST(HttpConnectionTest, AClientThatNeverReadsStopsTheHandlerAndHoldsLittle) {
  HttpListenerOptions options;
  options.slow_reader_time = milliseconds(50);
  options.send_buffer_bytes = 16 * 1024;
  Arrivals<Status> ended;
  std::atomic<uint64_t> taken = 0;
  HttpTestServer server(
      [&](HttpExchange& exchange) -> asio::awaitable<void> {
        const std::string piece(4096, 'x');
        Status status = co_await exchange.BeginStream(HttpResponse());
        while (status.ok()) {
          status = co_await exchange.Write(piece);
          if (status.ok()) taken += piece.size();
        }
        // Every later write says the same.
        EXPECT_EQ(co_await exchange.EndStream(), status);
        ended.Push(status);
      },
      options);
  RawHttpClient client(server.port(), 16 * 1024);
  client.Send(kGet);
  const auto status = ended.Pop();
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->code(), StatusCode::kDeadlineExceeded);
  EXPECT_LT(taken, 1'000'000u);
  server.server->Stop();
  EXPECT_EQ(server.server->counts().slow_readers, 1u);
}

TEST(HttpConnectionTest, Http10GetsItsBodyUntilTheEnd) {
  HttpTestServer server([](HttpExchange& exchange) -> asio::awaitable<void> {
    EXPECT_TRUE((co_await exchange.BeginStream(HttpResponse())).ok());
    EXPECT_TRUE((co_await exchange.Write("one ")).ok());
    EXPECT_TRUE((co_await exchange.Write("")).ok());
    EXPECT_TRUE((co_await exchange.Write("two")).ok());
    EXPECT_TRUE((co_await exchange.EndStream()).ok());
  });
  RawHttpClient old(server.port());
  old.Send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const RawResponse response = old.ReadResponse();
  EXPECT_EQ(response.headers.at("connection"), "close");
  EXPECT_FALSE(response.headers.contains("transfer-encoding"));
  EXPECT_EQ(response.body, "one two");
  RawHttpClient client(server.port());
  client.Send(kGet);
  EXPECT_EQ(client.ReadResponse().body, "one two");
}

TEST(HttpConnectionTest, Http10KeepsAConnectionThatItAsksFor) {
  HttpTestServer server(Echo);
  RawHttpClient client(server.port());
  client.Send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().headers.at("connection"), "keep-alive");
  client.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().headers.at("connection"), "close");
  EXPECT_EQ(client.ReadAll(), "");
}

TEST(HttpConnectionTest, HeadGetsTheHeadAlone) {
  HttpTestServer server(Echo);
  RawHttpClient client(server.port());
  client.Send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.ReadResponse(/*to_head=*/true).headers.at("content-length"), "9");
  client.Send(kGet);  // would be misread if a body had come
  EXPECT_EQ(client.ReadResponse().body, "GET /a?b\n");
}

TEST(HttpConnectionTest, AHandlerThatFailsCostsItsClientAConnectionAndNobodyElseAnything) {
  HttpTestServer server([](HttpExchange& exchange) -> asio::awaitable<void> {
    const std::string path = exchange.request().path;
    if (path == "/throws") throw std::runtime_error("secret");
    if (path == "/midway") {
      EXPECT_TRUE((co_await exchange.BeginStream(HttpResponse())).ok());
      EXPECT_TRUE((co_await exchange.Write("part")).ok());
      throw 42;
    }
    if (path == "/a") co_await Echo(exchange);
  });
  for (const char* path : {"/throws", "/nothing"}) {
    RawHttpClient client(server.port());
    client.Send("GET " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n\r\n");
    const RawResponse response = client.ReadResponse();
    EXPECT_EQ(response.status, 500);
    EXPECT_EQ(response.body.find("secret"), std::string::npos);
    EXPECT_EQ(client.ReadAll(), "");
  }
  RawHttpClient midway(server.port());
  midway.Send("GET /midway HTTP/1.1\r\nHost: h\r\n\r\n");
  const RawResponse response = midway.ReadResponse();
  EXPECT_EQ(response.body, "part");
  EXPECT_FALSE(response.complete);
  RawHttpClient client(server.port());
  client.Send(kGet);
  EXPECT_EQ(client.ReadResponse().status, 200);
}

TEST(HttpConnectionTest, TheHeadIsCheckedBeforeTheBodyIsRead) {
  HttpListenerOptions options;
  options.check_head = [](const HttpRequest& head) -> std::optional<HttpResponse> {
    EXPECT_EQ(head.body, "");
    EXPECT_EQ(head.remote_address, "127.0.0.1");
    EXPECT_EQ(head.request_id, "r-1");
    if (FindHeader(head.headers, "authorization")) return std::nullopt;
    HttpResponse refused;
    refused.status = 401;
    return refused;
  };
  HttpTestServer server(Echo, options);
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\nX-Request-Id: r-1\r\n";
  RawHttpClient client(server.port());
  client.Send(post + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().status, 401);
  EXPECT_EQ(client.ReadAll(), "");
  RawHttpClient known(server.port());
  known.Send(post + "Authorization: x\r\nContent-Length: 5\r\n\r\nhello");
  const RawResponse response = known.ReadResponse();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("x-request-id"), "r-1");
}

TEST(HttpConnectionTest, EveryExchangeLeavesARecord) {
  HttpTestServer server(Echo);
  RawHttpClient client(server.port());
  const std::string request = "POST /a%20b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
  client.Send(request);
  EXPECT_EQ(client.ReadResponse().status, 200);
  client.Send("nonsense\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().status, 400);
  const auto good = server.records->Pop();
  const auto bad = server.records->Pop();
  ASSERT_TRUE(good && bad);
  EXPECT_EQ(good->method, "POST");
  EXPECT_EQ(good->path, "/a b");
  EXPECT_EQ(good->status, 200);
  EXPECT_EQ(good->bytes_in, request.size());
  EXPECT_GT(good->bytes_out, 100u);
  EXPECT_EQ(good->remote_address, "127.0.0.1");
  EXPECT_FALSE(good->disconnected);
  EXPECT_EQ(bad->status, 400);
  EXPECT_EQ(bad->method, "");
  EXPECT_EQ(bad->request_id.size(), 32u);
}

}  // namespace
}  // namespace foretoken
