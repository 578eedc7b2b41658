#include "server/http_server.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/macros.h"
#include "base/mutex.h"
#include "server/http_connection.h"
#include "server/http_server_state.h"
#include "server/http_tls.h"

namespace foretoken {
namespace {

using asio::ip::tcp;

// After an accept that failed, most likely for want of file descriptors.
constexpr std::chrono::milliseconds kAcceptPause{100};

Status Check(const HttpListenerOptions& options) {
  const auto wrong = [](const char* what) {
    return InvalidArgumentError(fmt::format("the listener's {} must be positive", what));
  };
  if (options.limits.header_bytes == 0 || options.limits.header_count == 0 ||
      options.limits.target_bytes == 0) {
    return wrong("header limits");
  }
  if (options.max_connections < 1) return wrong("max_connections");
  if (options.max_connections_per_address < 1) return wrong("max_connections_per_address");
  if (options.max_total_body_bytes < 1) return wrong("max_total_body_bytes");
  if (options.body_bytes_per_s < 1) return wrong("body_bytes_per_s");
  if (options.send_buffer_bytes < 0) {
    return InvalidArgumentError("the listener's send_buffer_bytes must not be negative");
  }
  for (const std::chrono::milliseconds time :
       {options.header_time, options.idle_time, options.body_time, options.slow_reader_time,
        options.linger_time, options.websocket.idle_time, options.websocket.close_time}) {
    if (time.count() < 1) return wrong("times");
  }
  if (options.websocket.message_bytes == 0 || options.websocket.queue_bytes == 0) {
    return wrong("WebSocket limits");
  }
  if (options.certificate_path.empty() != options.private_key_path.empty()) {
    return InvalidArgumentError("TLS needs both a certificate and a private key");
  }
  return OkStatus();
}

// Who shares a limit: an IPv4 address, or the /64 that a single IPv6 customer has at least.
std::string AddressGroup(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  const asio::ip::address_v6 v6 = address.to_v6();
  if (v6.is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string();
  }
  asio::ip::address_v6::bytes_type bytes = v6.to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
  return asio::ip::address_v6(bytes).to_string();
}

std::string AddressText(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  }
  return address.to_string();
}

// Best effort: a connection works without any of these.
void SetSocketOptions(tcp::socket& socket, int send_buffer_bytes) {
  boost::system::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);  // tokens are to go out one by one
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  // A peer that vanished without a word is noticed after two minutes, not two hours.
  const std::array<std::pair<int, int>, 3> probes = {
      {{TCP_KEEPIDLE, 60}, {TCP_KEEPINTVL, 15}, {TCP_KEEPCNT, 4}}};
  for (const auto& [name, value] : probes) {
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, name, &value, sizeof value);
  }
  if (send_buffer_bytes > 0) {
    socket.set_option(asio::socket_base::send_buffer_size(send_buffer_bytes), ignored);
  }
}

}  // namespace

struct HttpServer::Impl : std::enable_shared_from_this<HttpServer::Impl> {
  Impl(asio::any_io_executor io_executor, std::shared_ptr<HttpServerState> server_state)
      : io(std::move(io_executor)),
        acceptor(asio::make_strand(io)),
        state(std::move(server_state)) {}

  Status Listen();
  asio::awaitable<void> AcceptLoop();
  void Serve(tcp::socket socket);

  std::shared_ptr<asio::ssl::context> tls() {
    const MutexLock lock(mutex);
    return tls_context;
  }

  const asio::any_io_executor io;
  tcp::acceptor acceptor;  // on its own strand once started
  const std::shared_ptr<HttpServerState> state;
  uint16_t port = 0;

  Mutex mutex;
  CondVar accepting_ended;
  bool accepting FORETOKEN_GUARDED_BY(mutex) = false;
  std::shared_ptr<asio::ssl::context> tls_context FORETOKEN_GUARDED_BY(mutex);
};

Status HttpServer::Impl::Listen() {
  const HttpListenerOptions& options = state->options();
  boost::system::error_code error;
  const asio::ip::address address = asio::ip::make_address(options.address, error);
  if (error) {
    return InvalidArgumentError(
        fmt::format("\"{}\" is no IPv4 or IPv6 address to listen on", options.address));
  }
  const tcp::endpoint endpoint(address, options.port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) port = acceptor.local_endpoint(error).port();
  if (error) {
    return UnavailableError(fmt::format("cannot listen on {} port {}: {}", options.address,
                                        options.port, error.message()));
  }
  return OkStatus();
}

asio::awaitable<void> HttpServer::Impl::AcceptLoop() {
  asio::steady_timer pause(acceptor.get_executor());
  while (acceptor.is_open()) {
    tcp::socket socket(asio::make_strand(io));
    const auto [error] =
        co_await acceptor.async_accept(socket, asio::as_tuple(asio::use_awaitable));
    if (!acceptor.is_open()) break;
    if (!error) {
      Serve(std::move(socket));
    } else if (error != asio::error::connection_aborted) {
      Log(LogLevel::kWarning, fmt::format("accepting a connection: {}", error.message()));
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    }
  }
}

void HttpServer::Impl::Serve(tcp::socket socket) {
  boost::system::error_code error;
  const tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) return;  // gone already
  std::optional<HttpPlace> place = state->Admit(AddressGroup(peer.address()));
  if (!place) return;
  SetSocketOptions(socket, state->options().send_buffer_bytes);
  auto connection = std::make_shared<HttpConnection>(state, std::move(socket), tls(),
                                                     AddressText(peer.address()));
  state->Add(connection);
  asio::co_spawn(connection->executor(), connection->Run(),
                 [shared_state = state, connection,
                  held = std::move(*place)](const std::exception_ptr& failure) mutable {
                   if (failure) {
                     HttpConnection::Cut(connection);
                     Log(LogLevel::kError, "a connection ended with an exception");
                   }
                   shared_state->Remove(connection, std::move(held));
                 });
}

Result<std::unique_ptr<HttpServer>> HttpServer::Create(IoThreads& io, HttpListenerOptions options,
                                                       HttpHandler handler,
                                                       WebSocketHandler websocket_handler) {
  FORETOKEN_RETURN_IF_ERROR(Check(options));
  if (!handler) return InvalidArgumentError("a server needs a handler");
  auto impl = std::make_shared<Impl>(
      io.executor(), std::make_shared<HttpServerState>(std::move(options), std::move(handler),
                                                       std::move(websocket_handler)));
  FORETOKEN_RETURN_IF_ERROR(impl->Listen());
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(impl)));
  if (!server->impl_->state->options().certificate_path.empty()) {
    FORETOKEN_RETURN_IF_ERROR(server->ReloadCertificates());
  }
  return server;
}

HttpServer::HttpServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  Stop();
}

void HttpServer::Start() {
  {
    const MutexLock lock(impl_->mutex);
    impl_->accepting = true;
  }
  asio::co_spawn(impl_->acceptor.get_executor(), impl_->AcceptLoop(),
                 [impl = impl_](const std::exception_ptr& failure) {
                   if (failure) Log(LogLevel::kError, "accepting ended with an exception");
                   const MutexLock lock(impl->mutex);
                   impl->accepting = false;
                   impl->accepting_ended.NotifyAll();
                 });
}

uint16_t HttpServer::port() const {
  return impl_->port;
}

void HttpServer::Drain(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  HttpServerState& state = *impl_->state;
  state.StartDraining();
  asio::post(impl_->acceptor.get_executor(), [impl = impl_] {
    boost::system::error_code ignored;
    impl->acceptor.close(ignored);
  });
  {
    const MutexLock lock(impl_->mutex);
    while (impl_->accepting) impl_->accepting_ended.Wait(impl_->mutex);
  }
  for (auto& connection : state.Connections()) HttpConnection::BeginDrain(std::move(connection));
  if (state.WaitUntilEmpty(deadline)) return;
  for (auto& connection : state.Connections()) HttpConnection::Cut(std::move(connection));
  state.WaitUntilEmpty(std::nullopt);
}

Status HttpServer::ReloadCertificates() {
  const HttpListenerOptions& options = impl_->state->options();
  if (options.certificate_path.empty()) {
    return FailedPreconditionError("this listener does not use TLS");
  }
  FORETOKEN_ASSIGN_OR_RETURN(auto tls,
                             LoadTlsContext(options.certificate_path, options.private_key_path));
  const MutexLock lock(impl_->mutex);
  impl_->tls_context = std::move(tls);
  return OkStatus();
}

HttpServerCounts HttpServer::counts() const {
  return impl_->state->counts();
}

}  // namespace foretoken
