#include "server/websocket_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/error.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/utf8.h"

namespace foretoken {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;

constexpr size_t kMaxIncomingMessages = 64;

}  // namespace

struct WebSocketConnection::Frames {
  explicit Frames(HttpStream& stream) : socket(stream) {}
  websocket::stream<HttpStream&> socket;
  std::array<char, 16 * 1024> read_buffer;
};

bool IsWebSocketOriginAllowed(const HttpRequest& request, const WebSocketOptions& options) {
  const auto origin = FindHeader(request.headers, "origin");
  if (!origin) return true;
  const std::vector<std::string>& allowed = options.allowed_origins;
  if (std::find(allowed.begin(), allowed.end(), *origin) != allowed.end()) return true;
  const size_t scheme_end = origin->find("://");
  const auto host = FindHeader(request.headers, "host");
  if (scheme_end == std::string_view::npos || !host) return false;
  const std::string_view origin_host = origin->substr(scheme_end + 3);
  return !host->empty() &&
         beast::iequals({origin_host.data(), origin_host.size()}, {host->data(), host->size()});
}

WebSocketConnection::WebSocketConnection(std::shared_ptr<HttpServerState> state,
                                         std::shared_ptr<HttpChannel> channel, HttpRequest request)
    : state_(std::move(state)),
      channel_(std::move(channel)),
      request_(std::move(request)),
      frames_(std::make_unique<Frames>(channel_->stream())),
      changed_(channel_->executor()),
      write_deadline_(channel_->executor(), [this] {
        channel_->Abort(DeadlineExceededError("the client did not read its messages"));
        MarkClosed(channel_->status());
      }) {}

WebSocketConnection::~WebSocketConnection() = default;

asio::awaitable<WebSocketOutcome> WebSocketConnection::Run() {
  const bool accepted = co_await Accept();
  if (!accepted) co_return outcome_;
  draining_ = state_->draining();
  state_->Count(&HttpServerCounts::websockets);
  state_->Count(&HttpServerCounts::open_websockets);
  reading_ = true;
  asio::co_spawn(
      executor(), [self = shared_from_this()] { return self->ReadLoop(); }, asio::detached);
  co_await RunHandler();
  finished_ = true;
  on_close_ = nullptr;
  while (writing_ && !closed_) co_await changed_.Wait();
  const uint16_t normal =
      draining_ ? websocket::close_code::going_away : websocket::close_code::normal;
  co_await Close(close_code_ == 0 ? normal : close_code_, close_reason_);
  while (closing_) co_await changed_.Wait();
  // What has failed already is left open, so that the peer can read why.
  if (reading_ || writing_) channel_->stream().Close();
  changed_.NotifyAll();
  while (reading_ || writing_) co_await changed_.Wait();
  incoming_.clear();
  state_->Count(&HttpServerCounts::open_websockets, -1);
  co_return outcome_;
}

asio::awaitable<bool> WebSocketConnection::Accept() {
  const WebSocketOptions& options = state_->options().websocket;
  websocket::stream<HttpStream&>& socket = frames_->socket;
  websocket::stream_base::timeout times{};
  times.handshake_timeout = options.close_time;
  times.idle_timeout = options.idle_time;
  times.keep_alive_pings = true;
  socket.set_option(times);
  socket.set_option(websocket::stream_base::decorator([this](websocket::response_type& response) {
    response.set(http::field::server, "foretoken");
    response.set("x-request-id", request_.request_id);
    outcome_.status = response.result_int();
  }));
  socket.read_message_max(options.message_bytes);
  http::request<http::empty_body> upgrade;
  upgrade.version(11);
  upgrade.method_string(request_.method);
  upgrade.target(request_.query.empty() ? "/" : "/?" + request_.query);
  for (const auto& [name, value] : request_.headers) upgrade.insert(name, value);
  const auto [error] = co_await socket.async_accept(upgrade, asio::as_tuple(asio::use_awaitable));
  if (!error) co_return true;
  // Beast has answered it, if there was anybody to answer.
  if (outcome_.status == 101) outcome_.status = 400;
  closed_ = true;
  co_return false;
}

asio::awaitable<void> WebSocketConnection::RunHandler() {
  std::string failure;
  try {
    co_await state_->websocket_handler()(shared_from_this());
  } catch (const std::exception& error) {
    failure = error.what();
  } catch (...) {
    failure = "something that is no std::exception";
  }
  if (failure.empty()) co_return;
  Log(LogLevel::kError,
      fmt::format("request {}: the WebSocket handler threw: {}", request_.request_id, failure));
  SetCloseCode(websocket::close_code::internal_error, "internal error");
}

void WebSocketConnection::Drain() {
  draining_ = true;
  changed_.NotifyAll();
}

asio::awaitable<Result<std::string>> WebSocketConnection::Receive() {
  while (true) {
    if (draining_) co_return CancelledError("the server is shutting down");
    if (!incoming_.empty()) break;
    if (closed_) co_return close_status_;
    co_await changed_.Wait();
  }
  std::string text = std::move(incoming_.front().text);
  incoming_.pop_front();
  incoming_bytes_ -= text.size();
  changed_.NotifyAll();
  co_return text;
}

asio::awaitable<Status> WebSocketConnection::Send(std::string text) {
  if (!IsValidUtf8(text)) co_return InvalidArgumentError("a text message must be UTF-8");
  const size_t limit = state_->options().websocket.queue_bytes;
  while (!closed_ && outgoing_bytes_ >= limit) co_await changed_.Wait();
  if (closed_) co_return close_status_;
  if (finished_) co_return CancelledError("the session's handler has returned");
  outgoing_bytes_ += text.size();
  outgoing_.push_back(std::move(text));
  if (!writing_) {
    writing_ = true;
    asio::co_spawn(
        executor(), [self = shared_from_this()] { return self->WriteLoop(); }, asio::detached);
  }
  co_return OkStatus();
}

void WebSocketConnection::SetCloseCode(uint16_t code, std::string reason) {
  close_code_ = code;
  close_reason_ = std::move(reason);
}

void WebSocketConnection::OnClose(std::function<void()> callback) {
  if (!closed_) {
    on_close_ = std::move(callback);
  } else if (callback) {
    callback();
  }
}

asio::awaitable<void> WebSocketConnection::ReadLoop() {
  while (!closed_ && !finished_) {
    Message message;
    const bool arrived = co_await ReadMessage(message);
    if (!arrived) break;
    outcome_.bytes_in += message.text.size();
    incoming_bytes_ += message.text.size();
    incoming_.push_back(std::move(message));
    changed_.NotifyAll();
    while (InputIsFull() && !closed_ && !finished_) co_await changed_.Wait();
  }
  reading_ = false;
  changed_.NotifyAll();
}

bool WebSocketConnection::InputIsFull() const {
  return incoming_.size() >= kMaxIncomingMessages ||
         incoming_bytes_ >= state_->options().websocket.message_bytes;
}

asio::awaitable<bool> WebSocketConnection::ReadMessage(Message& message) {
  websocket::stream<HttpStream&>& socket = frames_->socket;
  do {
    const auto [error, size] = co_await socket.async_read_some(asio::buffer(frames_->read_buffer),
                                                               asio::as_tuple(asio::use_awaitable));
    if (error == websocket::error::closed) {
      outcome_.closed_in_order = true;
      MarkClosed(CancelledError("the client closed the session"));
      co_return false;
    }
    if (error) {
      MarkClosed(error == websocket::error::message_too_big
                     ? InvalidArgumentError("a message is too large")
                 : error == websocket::error::bad_frame_payload
                     ? InvalidArgumentError("a text message is not UTF-8")
                     : CancelledError("the session broke: " + error.message()));
      co_return false;
    }
    if (socket.got_binary()) {
      co_await Close(websocket::close_code::unknown_data, "only text is understood");
      co_return false;
    }
    const auto bytes = static_cast<int64_t>(message.text.size() + size);
    if (!message.memory.GrowTo(state_->body_bytes(), bytes)) {
      state_->Count(&HttpServerCounts::refused_bodies);
      message = Message();
      co_await Close(websocket::close_code::try_again_later, "too many large messages at once");
      co_return false;
    }
    message.text.append(frames_->read_buffer.data(), size);
  } while (!socket.is_message_done());
  co_return true;
}

asio::awaitable<void> WebSocketConnection::WriteLoop() {
  while (!outgoing_.empty() && !closed_) {
    const std::string text = std::move(outgoing_.front());
    outgoing_.pop_front();
    write_deadline_.ArmAfter(state_->options().slow_reader_time);
    const auto [error, size] = co_await frames_->socket.async_write(
        asio::buffer(text), asio::as_tuple(asio::use_awaitable));
    write_deadline_.Disarm();
    outcome_.bytes_out += size;
    outgoing_bytes_ -= text.size();
    if (error) MarkClosed(CancelledError("the session broke: " + error.message()));
    changed_.NotifyAll();
  }
  writing_ = false;
  changed_.NotifyAll();
}

asio::awaitable<void> WebSocketConnection::Close(uint16_t code, std::string reason) {
  if (closed_) co_return;
  const Status why = code == websocket::close_code::unknown_data
                         ? InvalidArgumentError(reason)
                         : CancelledError("the session was closed");
  MarkClosed(why);
  websocket::close_reason sent;
  sent.code = code;
  sent.reason = reason.substr(0, sent.reason.max_size());
  closing_ = true;
  const auto [error] =
      co_await frames_->socket.async_close(sent, asio::as_tuple(asio::use_awaitable));
  closing_ = false;
  outcome_.closed_in_order = !error;
  changed_.NotifyAll();
}

void WebSocketConnection::MarkClosed(Status why) {
  if (closed_) return;
  closed_ = true;
  close_status_ = std::move(why);
  if (on_close_) std::exchange(on_close_, nullptr)();
  changed_.NotifyAll();
}

}  // namespace foretoken
