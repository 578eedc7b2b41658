#ifndef FORETOKEN_SERVER_SSE_WRITER_H_
#define FORETOKEN_SERVER_SSE_WRITER_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <string>
#include <string_view>

#include "foretoken/status.h"
#include "server/http_exchange.h"

namespace foretoken {

// One event as the stream has it: a "data:" line for every line of `data` (LF, CRLF or CR end one).
// `name` may be empty, and must not hold a line end.
std::string SseEvent(std::string_view data, std::string_view name = {});

// Server-sent events over an exchange, which outlives it. When nothing was sent for `heartbeat`, a
// comment goes out, so that proxies keep the connection and a dead peer is noticed. On the
// exchange's executor; fails as the exchange's writes do.
class SseWriter {
 public:
  explicit SseWriter(HttpExchange& exchange,
                     std::chrono::milliseconds heartbeat = std::chrono::seconds(15))
      : exchange_(exchange), heartbeat_(heartbeat) {}

  // Status 200 with `headers` and those that an event stream needs.
  asio::awaitable<Status> Begin(HttpHeaders headers = {});
  asio::awaitable<Status> Send(std::string_view data, std::string_view name = {});
  // A line that clients ignore; it must not hold a line end.
  asio::awaitable<Status> Comment(std::string_view text);
  asio::awaitable<Status> End();

 private:
  HttpExchange& exchange_;
  const std::chrono::milliseconds heartbeat_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_SSE_WRITER_H_
