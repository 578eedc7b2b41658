#include "server/http_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "base/log.h"
#include "server/http_request_id.h"

namespace foretoken {

HttpConnection::HttpConnection(std::shared_ptr<HttpServerState> state, asio::ip::tcp::socket socket,
                               std::shared_ptr<asio::ssl::context> tls, std::string remote_address)
    : state_(std::move(state)),
      channel_(std::make_shared<HttpChannel>(std::move(socket), std::move(tls),
                                             state_->options().slow_reader_time)),
      remote_address_(std::move(remote_address)) {}

void HttpConnection::BeginDrain(std::shared_ptr<HttpConnection> connection) {
  const asio::any_io_executor strand = connection->executor();
  asio::post(strand, [self = std::move(connection)] {
    if (self->idle_) self->channel_->ExpireReading();
    if (const auto websocket = self->websocket_.lock()) websocket->Drain();
  });
}

void HttpConnection::Cut(std::shared_ptr<HttpConnection> connection) {
  const asio::any_io_executor strand = connection->executor();
  asio::post(strand, [self = std::move(connection)] {
    self->channel_->Abort(CancelledError("the server is shutting down"));
  });
}

asio::awaitable<void> HttpConnection::Run() {
  const HttpListenerOptions& options = state_->options();
  if (channel_->stream().encrypted()) {
    // Not idle: a drain waits for the handshake, which has its own end.
    Deadline patience(executor(), [this] {
      channel_->Abort(DeadlineExceededError("the TLS handshake took too long"));
    });
    patience.ArmAfter(options.header_time);
    idle_ = false;
    const Status status = co_await channel_->stream().Handshake();
    if (!status.ok()) {
      state_->Count(&HttpServerCounts::failed_tls_handshakes);
      channel_->stream().Close();
      co_return;
    }
  }
  while (true) {
    const bool requested = co_await WaitForRequest();
    if (!requested) break;
    const bool goes_on = co_await ServeRequest();
    if (!goes_on) break;
  }
  co_await channel_->Close(unread_request_, options.linger_time);
  if (channel_->status().code() == StatusCode::kDeadlineExceeded) {
    state_->Count(&HttpServerCounts::slow_readers);
  }
}

asio::awaitable<bool> HttpConnection::WaitForRequest() {
  const HttpListenerOptions& options = state_->options();
  if (channel_->input().empty()) {
    if (state_->draining()) co_return false;
    idle_ = true;
    channel_->SetReadDeadline(Clock::now() +
                              (first_request_ ? options.header_time : options.idle_time));
    const HttpChannel::ReadOutcome outcome = co_await channel_->Read();
    idle_ = false;
    if (outcome != HttpChannel::ReadOutcome::kBytes) co_return false;
  }
  idle_ = false;
  first_request_ = false;
  co_return true;
}

asio::awaitable<bool> HttpConnection::ServeRequest() {
  const Clock::time_point started = Clock::now();
  const uint64_t bytes_out = channel_->bytes_out();
  const uint64_t bytes_in = channel_->bytes_in() - channel_->input().size();
  HttpRequestParser parser(state_->options().limits);
  std::optional<HttpResponse> refusal;
  const bool arrived = co_await ReadRequest(parser, refusal);
  channel_->ClearReadDeadline();
  if (!arrived) co_return false;

  const bool upgrade =
      parser.asks_for_websocket() && state_->IsWebSocketPath(parser.request().path);
  HttpRequest request = std::move(parser.request());
  if (!refusal && upgrade) {
    if (!channel_->quiet()) {
      refusal = state_->ErrorResponse(400, "a client must wait for the answer to its upgrade");
    } else if (!IsWebSocketOriginAllowed(request, state_->options().websocket)) {
      refusal = state_->ErrorResponse(403, "pages of this origin may not connect");
    } else {
      co_await ServeWebSocket(std::move(request));
      co_return false;
    }
  }
  HttpAccessRecord record;
  record.request_id = request.request_id;
  record.method = request.method;
  record.path = request.path;
  ExchangeTerms terms;
  terms.http_1_1 = parser.http_1_1();
  terms.keep_alive = parser.done() && parser.keep_alive();
  unread_request_ = !parser.done();
  ChannelExchange exchange(*state_, *channel_, std::move(request), std::move(body_memory_), terms);
  if (refusal) {
    exchange.ReleaseBody();  // whoever is slow to read the answer holds no memory of others'
    const Status sent = co_await exchange.Respond(*std::move(refusal));
    static_cast<void>(sent);  // reusable() knows
  } else {
    state_->Count(&HttpServerCounts::requests);
    co_await RunHandler(exchange);
  }
  record.status = exchange.status();
  record.disconnected = !exchange.delivered();
  Record(std::move(record), started, bytes_in, bytes_out);
  co_return exchange.reusable();
}

asio::awaitable<bool> HttpConnection::ReadRequest(HttpRequestParser& parser,
                                                  std::optional<HttpResponse>& refusal) {
  const HttpListenerOptions& options = state_->options();
  const bool head_arrived = co_await ReadHead(parser, refusal);
  parser.request().remote_address = remote_address_;
  parser.request().request_id = RequestIdOf(parser.request().headers);
  if (!head_arrived || refusal) co_return head_arrived;
  if (options.check_head) refusal = options.check_head(parser.request());
  if (refusal) co_return true;
  co_return co_await ReadBody(parser, refusal);
}

asio::awaitable<bool> HttpConnection::ReadHead(HttpRequestParser& parser,
                                               std::optional<HttpResponse>& refusal) {
  // Set once: a peer that sends a byte now and then gains nothing by it.
  channel_->SetReadDeadline(Clock::now() + state_->options().header_time);
  Feed(parser, refusal);
  while (!refusal && !parser.head_done()) {
    const HttpChannel::ReadOutcome outcome = co_await channel_->Read();
    if (outcome == HttpChannel::ReadOutcome::kClosed) co_return false;
    if (outcome == HttpChannel::ReadOutcome::kTimedOut) {
      state_->Count(&HttpServerCounts::header_timeouts);
      refusal = state_->ErrorResponse(408, "the request's head took too long");
      break;
    }
    Feed(parser, refusal);
  }
  co_return true;
}

asio::awaitable<bool> HttpConnection::ReadBody(HttpRequestParser& parser,
                                               std::optional<HttpResponse>& refusal) {
  const HttpListenerOptions& options = state_->options();
  if (parser.expects_continue() && !parser.done() && channel_->input().empty()) {
    const Status status = co_await channel_->Write("HTTP/1.1 100 Continue\r\n\r\n");
    if (!status.ok()) co_return false;
  }
  Clock::time_point late = Clock::now() + options.body_time;
  Feed(parser, refusal);
  while (!refusal && !parser.done()) {
    channel_->SetReadDeadline(late);
    const size_t before = channel_->input().size();
    const HttpChannel::ReadOutcome outcome = co_await channel_->Read();
    if (outcome == HttpChannel::ReadOutcome::kClosed) co_return false;
    if (outcome == HttpChannel::ReadOutcome::kTimedOut) {
      state_->Count(&HttpServerCounts::body_timeouts);
      refusal = state_->ErrorResponse(408, "the request's body came too slowly");
      break;
    }
    // Bytes earn time at the rate that is asked for, never more than there was at first.
    const auto bytes = static_cast<int64_t>(channel_->input().size() - before);
    late = std::min(late + std::chrono::microseconds(bytes * 1'000'000 / options.body_bytes_per_s),
                    Clock::now() + options.body_time);
    Feed(parser, refusal);
  }
  co_return true;
}

void HttpConnection::Feed(HttpRequestParser& parser, std::optional<HttpResponse>& refusal) {
  std::string& input = channel_->input();
  // Again while it takes bytes: a chunk at a time, and the body only after the head.
  const bool in_head = !parser.head_done();
  size_t used = 0;
  while (!parser.refusal() && !parser.done() && in_head == !parser.head_done()) {
    const size_t taken = parser.Feed(std::string_view(input).substr(used));
    used += taken;
    if (taken == 0) break;
  }
  input.erase(0, used);
  if (parser.refusal()) {
    state_->Count(&HttpServerCounts::malformed_requests);
    refusal = state_->ErrorResponse(parser.refusal()->status, parser.refusal()->message);
  } else if (!body_memory_.GrowTo(state_->body_bytes(),
                                  static_cast<int64_t>(parser.request().body.size()))) {
    state_->Count(&HttpServerCounts::refused_bodies);
    refusal = state_->ErrorResponse(503, "too many large requests at once: try again later");
    refusal->headers.emplace_back("retry-after", "1");
  }
}

asio::awaitable<void> HttpConnection::RunHandler(ChannelExchange& exchange) {
  std::string failure;
  try {
    co_await state_->handler()(exchange);
  } catch (const std::exception& error) {
    failure = error.what();
  } catch (...) {
    failure = "something that is no std::exception was thrown";
  }
  const bool unanswered = !exchange.answered() && !exchange.disconnected();
  if (failure.empty() && unanswered) failure = "it returned without an answer";
  if (failure.empty()) co_return;
  Log(LogLevel::kError,
      fmt::format("request {}: the handler failed: {}", exchange.request().request_id, failure));
  exchange.CloseAfterwards();
  if (!unanswered) co_return;
  const Status sent = co_await exchange.Respond(state_->ErrorResponse(500, "internal error"));
  static_cast<void>(sent);  // reusable() knows
}

asio::awaitable<void> HttpConnection::ServeWebSocket(HttpRequest request) {
  const Clock::time_point started = Clock::now();
  HttpAccessRecord record;
  record.request_id = request.request_id;
  record.method = request.method;
  record.path = request.path;
  const uint64_t bytes_in = channel_->bytes_in();
  const uint64_t bytes_out = channel_->bytes_out();
  const auto websocket =
      std::make_shared<WebSocketConnection>(state_, channel_, std::move(request));
  websocket_ = websocket;
  const WebSocketOutcome outcome = co_await websocket->Run();
  record.status = outcome.status;
  record.disconnected = !outcome.closed_in_order;
  record.bytes_in = outcome.bytes_in;
  record.bytes_out = outcome.bytes_out;
  Record(std::move(record), started, bytes_in, bytes_out);
}

void HttpConnection::Record(HttpAccessRecord record, Clock::time_point started,
                            uint64_t bytes_before_in, uint64_t bytes_before_out) {
  record.bytes_in += channel_->bytes_in() - channel_->input().size() - bytes_before_in;
  record.bytes_out += channel_->bytes_out() - bytes_before_out;
  record.duration = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - started);
  record.remote_address = remote_address_;
  if (record.disconnected) state_->Count(&HttpServerCounts::disconnects);
  if (state_->options().access_log) state_->options().access_log(record);
}

}  // namespace foretoken
