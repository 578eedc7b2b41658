#ifndef FORETOKEN_UNIT_SERVER_HTTP_TEST_SERVER_H_
#define FORETOKEN_UNIT_SERVER_HTTP_TEST_SERVER_H_

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "server/http_server.h"

namespace foretoken {

// Hands values from the server's threads to the test's.
template <typename T>
class Arrivals {
 public:
  void Push(T value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    values_.push_back(std::move(value));
    arrived_.notify_all();
  }
  // The next one; nothing after 20 s.
  std::optional<T> Pop() {
    std::unique_lock<std::mutex> lock(mutex_);
    arrived_.wait_for(lock, std::chrono::seconds(20), [this] { return !values_.empty(); });
    if (values_.empty()) return std::nullopt;
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<T> values_;
};

// A server on a free port of the loopback, with two threads so that strands matter. Keeps the
// access records. Times in the options are the test's; the rest of them never pass within one.
class HttpTestServer {
 public:
  explicit HttpTestServer(HttpHandler handler, HttpListenerOptions options = {},
                          WebSocketHandler websocket_handler = nullptr)
      : records(std::make_shared<Arrivals<HttpAccessRecord>>()) {
    options.access_log = [kept = records](const HttpAccessRecord& record) { kept->Push(record); };
    io = std::move(IoThreads::Start(2)).value();
    server = std::move(HttpServer::Create(*io, std::move(options), std::move(handler),
                                          std::move(websocket_handler)))
                 .value();
    server->Start();
  }

  uint16_t port() const { return server->port(); }

  std::shared_ptr<Arrivals<HttpAccessRecord>> records;
  std::unique_ptr<IoThreads> io;
  std::unique_ptr<HttpServer> server;
};

// Answers with what it was asked: "METHOD path?query" and the body.
inline asio::awaitable<void> Echo(HttpExchange& exchange) {
  const HttpRequest& request = exchange.request();
  HttpResponse response;
  response.body = request.method + " " + request.path + "?" + request.query + "\n" + request.body;
  const Status sent = co_await exchange.Respond(std::move(response));
  EXPECT_TRUE(sent.ok()) << sent.ToString();
}

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SERVER_HTTP_TEST_SERVER_H_
