#include "server/http_stream.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace foretoken {

HttpStream::HttpStream(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> tls)
    : socket_(std::move(socket)), tls_(std::move(tls)) {
  if (tls_) tls_stream_.emplace(socket_, *tls_);
}

asio::awaitable<Status> HttpStream::Handshake() {
  if (!tls_stream_) co_return OkStatus();
  const auto [error] = co_await tls_stream_->async_handshake(asio::ssl::stream_base::server,
                                                             asio::as_tuple(asio::use_awaitable));
  if (error) co_return UnavailableError("TLS handshake: " + error.message());
  co_return OkStatus();
}

asio::awaitable<void> HttpStream::ShutdownSend(bool notify) {
  if (tls_stream_ && notify) {
    co_await tls_stream_->async_shutdown(asio::as_tuple(asio::use_awaitable));
  }
  boost::system::error_code ignored;  // the peer may be gone
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

void HttpStream::Close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace foretoken
