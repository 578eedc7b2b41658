#ifndef FORETOKEN_SERVER_HTTP_STREAM_H_
#define FORETOKEN_SERVER_HTTP_STREAM_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/core/role.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "foretoken/status.h"

namespace foretoken {

namespace asio = boost::asio;

// A socket, in TLS or not: Beast's AsyncStream, of one type so that everything above is compiled
// once. At most one read and one write at a time, on the socket's strand.
class HttpStream {
 public:
  using executor_type = asio::any_io_executor;  // NOLINT: Asio's name

  // Without `tls` the bytes are sent as they are.
  HttpStream(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> tls);
  HttpStream(const HttpStream&) = delete;
  HttpStream& operator=(const HttpStream&) = delete;

  executor_type get_executor() { return socket_.get_executor(); }
  bool encrypted() const { return tls_stream_.has_value(); }

  asio::awaitable<Status> Handshake();
  // No more will be sent; with `notify`, TLS says so to the peer and waits for its answer.
  asio::awaitable<void> ShutdownSend(bool notify);
  // What is under way ends with an error.
  void Close();

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    if (tls_stream_) return tls_stream_->async_read_some(buffers, std::forward<Token>(token));
    return socket_.async_read_some(buffers, std::forward<Token>(token));
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    if (tls_stream_) return tls_stream_->async_write_some(buffers, std::forward<Token>(token));
    return socket_.async_write_some(buffers, std::forward<Token>(token));
  }

  // Beast's customisation points: how a WebSocket ends the connection below it.
  friend void beast_close_socket(HttpStream& stream) { stream.Close(); }  // NOLINT: its name
  template <typename Handler>
  friend void async_teardown(boost::beast::role_type, HttpStream& stream,  // NOLINT: likewise
                             Handler&& handler) {
    boost::system::error_code error;
    stream.socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
    asio::post(stream.get_executor(),
               boost::beast::bind_front_handler(std::forward<Handler>(handler), error));
  }

 private:
  asio::ip::tcp::socket socket_;
  const std::shared_ptr<asio::ssl::context> tls_;  // the listener may get another meanwhile
  std::optional<asio::ssl::stream<asio::ip::tcp::socket&>> tls_stream_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_STREAM_H_
