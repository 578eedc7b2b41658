#ifndef FORETOKEN_SERVER_HTTP_REQUEST_PARSER_H_
#define FORETOKEN_SERVER_HTTP_REQUEST_PARSER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http_message.h"
#include "server/http_options.h"

namespace foretoken {

// Why a request is not answered by the handler: the status and what to change.
struct HttpRefusal {
  int status = 400;
  std::string message;
};

// Bytes into one request, within limits. Stricter than RFC 9112 where leniency lets two parties see
// two different requests: one Host, one Content-Length of digits or one Transfer-Encoding that is
// "chunked". Needs no socket; one thread. After a refusal nothing more can be read from the peer.
class HttpRequestParser {
 public:
  explicit HttpRequestParser(const HttpLimits& limits);
  ~HttpRequestParser();
  HttpRequestParser(HttpRequestParser&&) noexcept;
  HttpRequestParser& operator=(HttpRequestParser&&) noexcept;

  // Takes what it can use of `bytes` and says how many that were; the rest is to be given again,
  // with more behind it. Stops where the head ends, so that its caller can look at it, and where
  // the request ends.
  size_t Feed(std::string_view bytes);

  bool head_done() const;
  bool done() const;
  const std::optional<HttpRefusal>& refusal() const;

  // What is known so far; remote_address and request_id are the caller's.
  HttpRequest& request();

  // These need head_done().
  bool http_1_1() const;
  bool keep_alive() const;
  bool expects_continue() const;
  bool asks_for_websocket() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_REQUEST_PARSER_H_
