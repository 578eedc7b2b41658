#ifndef FORETOKEN_SERVER_HTTP_OPTIONS_H_
#define FORETOKEN_SERVER_HTTP_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "server/http_message.h"

namespace foretoken {

// What one request may be. Over it: 431, 431, 414, 413.
struct HttpLimits {
  uint32_t header_bytes = 32 * 1024;  // request line and headers; trailers likewise
  size_t header_count = 100;
  size_t target_bytes = 8 * 1024;  // path and query as sent
  uint64_t body_bytes = 16 * 1024 * 1024;
};

struct WebSocketOptions {
  std::vector<std::string> paths;  // where an upgrade is granted
  // Origins ("https://a.example") whose pages may connect beside those of the listener's own host.
  // Browsers name the page's origin and ask nobody else; other clients send none.
  std::vector<std::string> allowed_origins;
  size_t message_bytes = 4 * 1024 * 1024;       // of one incoming message; larger: close code 1009
  size_t queue_bytes = 1024 * 1024;             // outgoing; Send waits while this many are queued
  std::chrono::milliseconds idle_time{60'000};  // without a byte; a ping goes out at half of it
  std::chrono::milliseconds close_time{5'000};  // for the handshakes that open and close
};

// One request and its answer, for the access log.
struct HttpAccessRecord {
  std::string request_id;
  std::string method;  // empty where the request could not be read
  std::string path;    // likewise
  int status = 0;      // 0: the peer was gone before anything was sent
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  std::chrono::microseconds duration{0};  // from the request's first byte to the answer's last
  std::string remote_address;
  bool disconnected = false;  // the peer closed before the answer was complete
};

// What a server has seen since it was made; the first two are gauges.
struct HttpServerCounts {
  uint64_t open_connections = 0;
  uint64_t open_websockets = 0;
  uint64_t accepted_connections = 0;
  uint64_t refused_connections = 0;          // max_connections were open
  uint64_t refused_connections_address = 0;  // max_connections_per_address were open
  uint64_t failed_tls_handshakes = 0;
  uint64_t requests = 0;            // read whole and handed on
  uint64_t malformed_requests = 0;  // answered with 4xx or 505 by the transport
  uint64_t refused_bodies = 0;      // max_total_body_bytes were in use
  uint64_t header_timeouts = 0;
  uint64_t body_timeouts = 0;
  uint64_t slow_readers = 0;  // connections cut because the peer did not read
  uint64_t disconnects = 0;   // peers gone before their answer was complete
  uint64_t websockets = 0;    // opened
};

struct HttpListenerOptions {
  std::string address = "127.0.0.1";  // a literal IPv4 or IPv6 address
  uint16_t port = 0;                  // 0: any free one
  std::string certificate_path;       // PEM, the chain; with the key: TLS 1.2 or later only
  std::string private_key_path;       // PEM

  HttpLimits limits;
  int max_connections = 1024;
  int max_connections_per_address = 512;               // IPv6: per /64
  int64_t max_total_body_bytes = 256LL * 1024 * 1024;  // of all requests being read or answered
  int send_buffer_bytes = 256 * 1024;  // the kernel's share per connection; 0: its own choice

  std::chrono::milliseconds header_time{10'000};       // TLS handshake; then every request's head
  std::chrono::milliseconds idle_time{75'000};         // between two requests
  std::chrono::milliseconds body_time{20'000};         // that a body may be behind its rate
  int64_t body_bytes_per_s = 1024;                     // the rate that it has to keep
  std::chrono::milliseconds slow_reader_time{30'000};  // for a write without progress
  std::chrono::milliseconds linger_time{2'000};        // for the peer to close after our last byte

  WebSocketOptions websocket;

  // The answer to a request that the transport refuses. Empty: plain text.
  std::function<HttpResponse(int status, const std::string& message)> error_response;
  // Sees every request before its body is read, upgrades included; a response refuses it. Runs on
  // an I/O thread: must not wait. Empty: all are welcome.
  std::function<std::optional<HttpResponse>(const HttpRequest& head)> check_head;
  // Called after every exchange on an I/O thread: must not wait. Empty: nobody listens.
  std::function<void(const HttpAccessRecord& record)> access_log;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_OPTIONS_H_
