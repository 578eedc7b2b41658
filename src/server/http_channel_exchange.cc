#include "server/http_channel_exchange.h"

#include <fmt/format.h>

#include <utility>

namespace foretoken {

ChannelExchange::ChannelExchange(HttpServerState& state, HttpChannel& channel, HttpRequest request,
                                 MemoryHold body_memory, ExchangeTerms terms)
    : HttpExchange(std::move(request), std::move(body_memory)),
      state_(state),
      channel_(channel),
      terms_(terms),
      is_head_(this->request().method == "HEAD"),
      heartbeat_due_(channel.executor(), [this] {
        channel_.WriteIfIdle(Framed(heartbeat_.bytes));
        BeatLater();
      }) {
  channel_.Watch([this] {
    disconnected_ = true;
    if (on_disconnect_) std::exchange(on_disconnect_, nullptr)();
  });
}

ChannelExchange::~ChannelExchange() {
  channel_.StopWatching();
}

void ChannelExchange::OnDisconnect(std::function<void()> callback) {
  if (!disconnected_) {
    on_disconnect_ = std::move(callback);
  } else if (callback) {
    callback();
  }
}

std::string ChannelExchange::Head(const HttpResponse& response, BodyFraming framing) {
  status_ = response.status;
  announced_keep_alive_ = terms_.keep_alive && framing != BodyFraming::kUntilClose &&
                          !close_afterwards_ && !state_.draining();
  ResponseFraming sent;
  sent.body = framing;
  sent.body_bytes = response.body.size();
  sent.keep_alive = announced_keep_alive_;
  sent.request_id = request().request_id;
  return SerializeResponseHead(response, sent);
}

asio::awaitable<Status> ChannelExchange::Respond(HttpResponse response) {
  if (stage_ != Stage::kUnanswered) {
    co_return FailedPreconditionError("the request has been answered already");
  }
  stage_ = Stage::kComplete;
  std::string bytes = Head(response, BodyFraming::kLength);
  if (!is_head_ && StatusHasBody(response.status)) bytes += response.body;
  Status status = co_await channel_.Write(std::move(bytes));
  delivered_ = status.ok();
  co_return status;
}

asio::awaitable<Status> ChannelExchange::BeginStream(HttpResponse head, StreamHeartbeat heartbeat) {
  if (stage_ != Stage::kUnanswered) {
    co_return FailedPreconditionError("the request has been answered already");
  }
  stage_ = Stage::kStreaming;
  chunked_ = terms_.http_1_1;
  sends_body_ = !is_head_ && StatusHasBody(head.status);
  std::string bytes = Head(head, chunked_ ? BodyFraming::kChunked : BodyFraming::kUntilClose);
  if (sends_body_) heartbeat_ = std::move(heartbeat);
  Status status = co_await channel_.Write(std::move(bytes));
  BeatLater();
  co_return status;
}

asio::awaitable<Status> ChannelExchange::Write(std::string_view bytes) {
  if (stage_ != Stage::kStreaming) {
    co_return FailedPreconditionError("no stream is open");
  }
  // A chunk of no bytes would end the body.
  if (!sends_body_ || bytes.empty()) co_return channel_.status();
  Status status = co_await channel_.Write(Framed(bytes));
  BeatLater();
  co_return status;
}

asio::awaitable<Status> ChannelExchange::EndStream() {
  if (stage_ != Stage::kStreaming) {
    co_return FailedPreconditionError("no stream is open");
  }
  stage_ = Stage::kComplete;
  heartbeat_due_.Disarm();
  Status status = channel_.status();
  if (sends_body_ && chunked_) status = co_await channel_.Write("0\r\n\r\n");
  delivered_ = status.ok();
  co_return status;
}

std::string ChannelExchange::Framed(std::string_view bytes) const {
  return chunked_ ? fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes) : std::string(bytes);
}

void ChannelExchange::BeatLater() {
  if (stage_ == Stage::kStreaming && heartbeat_.interval.count() > 0 && !heartbeat_.bytes.empty() &&
      channel_.status().ok()) {
    heartbeat_due_.ArmAfter(heartbeat_.interval);
  }
}

}  // namespace foretoken
