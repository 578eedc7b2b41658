// Any bytes after the handshake, on a real socket: a session that ends, messages that are UTF-8
// within the limit, memory given back.

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/utf8.h"
#include "server/http_channel.h"
#include "server/http_server_state.h"
#include "server/websocket_connection.h"

namespace {

namespace asio = boost::asio;
using foretoken::HttpChannel;
using foretoken::HttpListenerOptions;
using foretoken::HttpRequest;
using foretoken::HttpServerState;
using foretoken::Result;
using foretoken::Status;
using foretoken::WebSocketConnection;
using foretoken::WebSocketSession;

constexpr size_t kMaxMessageBytes = 1000;

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

asio::awaitable<void> EchoMessages(std::shared_ptr<WebSocketSession> session) {
  while (true) {
    Result<std::string> text = co_await session->Receive();
    if (!text.ok()) co_return;
    Require(text->size() <= kMaxMessageBytes && foretoken::IsValidUtf8(*text));
    const Status sent = co_await session->Send(std::move(*text));
    if (!sent.ok()) co_return;
  }
}

HttpRequest Upgrade() {
  HttpRequest request;
  request.method = "GET";
  request.path = "/v1/stream";
  request.request_id = "fuzz";
  request.headers = {{"Host", "h"},
                     {"Connection", "Upgrade"},
                     {"Upgrade", "websocket"},
                     {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                     {"Sec-WebSocket-Version", "13"}};
  return request;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 8192) return 0;  // has to fit the socket's buffer: both ends are this thread's
  std::array<int, 2> ends{};
  Require(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
  Require(size == 0 || ::send(ends[1], data, size, 0) == static_cast<ssize_t>(size));
  ::shutdown(ends[1], SHUT_WR);

  asio::io_context io(1);
  asio::ip::tcp::socket socket(io);
  socket.assign(asio::ip::tcp::v4(), ends[0]);
  HttpListenerOptions options;
  options.websocket.message_bytes = kMaxMessageBytes;
  const auto state = std::make_shared<HttpServerState>(options, nullptr, EchoMessages);
  const auto channel =
      std::make_shared<HttpChannel>(std::move(socket), nullptr, std::chrono::seconds(10));
  auto connection = std::make_shared<WebSocketConnection>(state, channel, Upgrade());
  bool ended = false;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        const foretoken::WebSocketOutcome outcome = co_await connection->Run();
        Require(outcome.status == 101);
        ended = true;
      },
      asio::detached);
  while (!ended) Require(io.run_one() > 0);
  connection.reset();
  io.poll();
  ::close(ends[1]);
  Require(state->body_bytes().used() == 0);
  Require(state->counts().open_websockets == 0);
  return 0;
}
