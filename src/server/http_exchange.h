#ifndef FORETOKEN_SERVER_HTTP_EXCHANGE_H_
#define FORETOKEN_SERVER_HTTP_EXCHANGE_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "foretoken/status.h"
#include "server/http_message.h"
#include "server/memory_hold.h"

namespace foretoken {

namespace asio = boost::asio;

// Bytes that a stream sends when nothing else was sent for a while, never inside another write.
struct StreamHeartbeat {
  std::chrono::milliseconds interval{0};  // 0: none
  std::string bytes;
};

// One request being answered, by Respond or by BeginStream, Write..., EndStream. Everything is
// called on its executor (one strand per connection) and only until the handler returns. Once
// writing has failed every further write fails the same way: CANCELLED when the peer or a shutdown
// closed the connection, DEADLINE_EXCEEDED when the peer did not read.
class HttpExchange {
 public:
  HttpExchange(HttpRequest request, MemoryHold body_memory)
      : request_(std::move(request)), body_memory_(std::move(body_memory)) {}
  virtual ~HttpExchange() = default;
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;

  const HttpRequest& request() const { return request_; }
  // Frees the body, and its share of the server's memory for bodies, once it has been read.
  void ReleaseBody() {
    std::string().swap(request_.body);
    body_memory_.Reset();
  }

  // The whole answer. HEAD gets the head alone, with the length that the body has.
  virtual asio::awaitable<Status> Respond(HttpResponse response) = 0;
  // The head of an answer of unknown length; `head.body` is not looked at. Chunked, or until the
  // connection's end for HTTP/1.0.
  virtual asio::awaitable<Status> BeginStream(HttpResponse head, StreamHeartbeat heartbeat) = 0;
  asio::awaitable<Status> BeginStream(HttpResponse head) {
    return BeginStream(std::move(head), StreamHeartbeat());
  }
  // Completes when the socket has taken the bytes: a slow peer slows its writer down. Writes of
  // several coroutines take turns.
  virtual asio::awaitable<Status> Write(std::string_view bytes) = 0;
  virtual asio::awaitable<Status> EndStream() = 0;

  // Whether the peer has closed its side or reset the connection. One that only shuts its sending
  // side down counts as gone too: the two look alike until something is written. Writing is still
  // tried then, so an answer that is ready reaches such a client.
  virtual bool disconnected() const = 0;
  // Calls `callback` once when that happens, at once if it has; never after the handler returned.
  // A later one replaces it; an empty one takes it back.
  // A peer that has sent its next request ahead is noticed by the next write only.
  virtual void OnDisconnect(std::function<void()> callback) = 0;
  virtual asio::any_io_executor executor() = 0;

 private:
  HttpRequest request_;
  MemoryHold body_memory_;
};

// Answers one request. When it returns without an answer, or throws, the client gets 500. It must
// return soon after the peer is gone: shutting down waits for it.
using HttpHandler = std::function<asio::awaitable<void>(HttpExchange& exchange)>;

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_EXCHANGE_H_
