#ifndef FORETOKEN_SERVER_HTTP_CHANNEL_EXCHANGE_H_
#define FORETOKEN_SERVER_HTTP_CHANNEL_EXCHANGE_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "server/http_channel.h"
#include "server/http_exchange.h"
#include "server/http_response_head.h"
#include "server/http_server_state.h"

namespace foretoken {

// How the request was sent, as far as its answer depends on it.
struct ExchangeTerms {
  bool http_1_1 = true;
  bool keep_alive = true;  // whether the connection can serve another request
};

// An exchange over a channel: frames the answer and watches the peer meanwhile. One strand, the
// channel's; the state and the channel outlive it.
class ChannelExchange final : public HttpExchange {
 public:
  ChannelExchange(HttpServerState& state, HttpChannel& channel, HttpRequest request,
                  MemoryHold body_memory, ExchangeTerms terms);
  ~ChannelExchange() override;

  asio::awaitable<Status> Respond(HttpResponse response) override;
  asio::awaitable<Status> BeginStream(HttpResponse head, StreamHeartbeat heartbeat) override;
  using HttpExchange::BeginStream;
  asio::awaitable<Status> Write(std::string_view bytes) override;
  asio::awaitable<Status> EndStream() override;
  bool disconnected() const override { return disconnected_; }
  void OnDisconnect(std::function<void()> callback) override;
  asio::any_io_executor executor() override { return channel_.executor(); }

  bool answered() const { return stage_ != Stage::kUnanswered; }
  // Whether all of the answer was taken by the socket.
  bool delivered() const { return delivered_; }
  // Whether the answer is whole and told the client that the connection goes on.
  bool reusable() const {
    return delivered_ && announced_keep_alive_ && !close_afterwards_ && channel_.status().ok();
  }
  int status() const { return status_; }
  // Whatever was or will be answered, the connection does not go on.
  void CloseAfterwards() { close_afterwards_ = true; }

 private:
  enum class Stage { kUnanswered, kStreaming, kComplete };

  std::string Head(const HttpResponse& response, BodyFraming framing);
  std::string Framed(std::string_view bytes) const;
  void BeatLater();

  HttpServerState& state_;
  HttpChannel& channel_;
  const ExchangeTerms terms_;
  const bool is_head_;
  Stage stage_ = Stage::kUnanswered;
  bool delivered_ = false;
  int status_ = 0;
  bool announced_keep_alive_ = false;
  bool close_afterwards_ = false;
  bool sends_body_ = false;  // of a stream
  bool chunked_ = false;
  bool disconnected_ = false;
  std::function<void()> on_disconnect_;
  StreamHeartbeat heartbeat_;
  Deadline heartbeat_due_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_CHANNEL_EXCHANGE_H_
