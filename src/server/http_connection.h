#ifndef FORETOKEN_SERVER_HTTP_CONNECTION_H_
#define FORETOKEN_SERVER_HTTP_CONNECTION_H_

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "server/http_channel.h"
#include "server/http_channel_exchange.h"
#include "server/http_request_parser.h"
#include "server/http_server_state.h"
#include "server/memory_hold.h"
#include "server/websocket_connection.h"

namespace foretoken {

// One accepted connection: reads requests one after the other, answers each before it looks at the
// next. Run on its executor; BeginDrain and Cut from any thread. Owned by the server's state until
// Run ends and by what is pending on the socket.
class HttpConnection {
 public:
  HttpConnection(std::shared_ptr<HttpServerState> state, asio::ip::tcp::socket socket,
                 std::shared_ptr<asio::ssl::context> tls, std::string remote_address);

  asio::any_io_executor executor() { return channel_->executor(); }
  asio::awaitable<void> Run();

  // Closes the connection if it is between two requests; otherwise this request is its last one.
  // These take the caller's share, which could be the last one, along to the strand.
  static void BeginDrain(std::shared_ptr<HttpConnection> connection);
  // Closes it now.
  static void Cut(std::shared_ptr<HttpConnection> connection);

 private:
  using Clock = std::chrono::steady_clock;

  // Each says whether the connection goes on.
  asio::awaitable<bool> WaitForRequest();
  asio::awaitable<bool> ServeRequest();

  // Reads one request. False: the peer is gone. `refusal` is set where something is wrong with it.
  asio::awaitable<bool> ReadRequest(HttpRequestParser& parser,
                                    std::optional<HttpResponse>& refusal);
  asio::awaitable<bool> ReadHead(HttpRequestParser& parser, std::optional<HttpResponse>& refusal);
  asio::awaitable<bool> ReadBody(HttpRequestParser& parser, std::optional<HttpResponse>& refusal);
  void Feed(HttpRequestParser& parser, std::optional<HttpResponse>& refusal);

  asio::awaitable<void> RunHandler(ChannelExchange& exchange);
  asio::awaitable<void> ServeWebSocket(HttpRequest request);
  void Record(HttpAccessRecord record, Clock::time_point started, uint64_t bytes_before_in,
              uint64_t bytes_before_out);

  const std::shared_ptr<HttpServerState> state_;
  const std::shared_ptr<HttpChannel> channel_;
  const std::string remote_address_;
  bool idle_ = true;
  bool first_request_ = true;
  bool unread_request_ = false;  // the peer may be sending what nobody will read
  MemoryHold body_memory_;
  std::weak_ptr<WebSocketConnection> websocket_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_CONNECTION_H_
