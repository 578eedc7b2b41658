#ifndef FORETOKEN_SERVER_WEBSOCKET_CONNECTION_H_
#define FORETOKEN_SERVER_WEBSOCKET_CONNECTION_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "server/http_channel.h"
#include "server/http_server_state.h"
#include "server/memory_hold.h"
#include "server/websocket_session.h"

namespace foretoken {

// How a session went, for the access log.
struct WebSocketOutcome {
  int status = 101;
  bool closed_in_order = false;  // by a closing handshake
  uint64_t bytes_in = 0;         // of messages
  uint64_t bytes_out = 0;
};

// Whether a page of the request's Origin may connect: that of the host itself, an allowed one, or
// none, which is what everything but a browser sends.
bool IsWebSocketOriginAllowed(const HttpRequest& request, const WebSocketOptions& options);

// A session over a channel from which nobody else reads. Incoming messages wait in a queue that is
// bounded, and so are outgoing ones. On the channel's strand.
class WebSocketConnection final : public WebSocketSession,
                                  public std::enable_shared_from_this<WebSocketConnection> {
 public:
  WebSocketConnection(std::shared_ptr<HttpServerState> state, std::shared_ptr<HttpChannel> channel,
                      HttpRequest request);
  ~WebSocketConnection() override;

  // Answers the upgrade, runs the handler, closes.
  asio::awaitable<WebSocketOutcome> Run();
  // No more messages are handed to the handler.
  void Drain();

  const HttpRequest& request() const override { return request_; }
  asio::awaitable<Result<std::string>> Receive() override;
  asio::awaitable<Status> Send(std::string text) override;
  void SetCloseCode(uint16_t code, std::string reason) override;
  bool closed() const override { return closed_; }
  void OnClose(std::function<void()> callback) override;
  asio::any_io_executor executor() override { return channel_->executor(); }

 private:
  struct Frames;  // Beast's stream
  struct Message {
    std::string text;
    MemoryHold memory;
  };

  asio::awaitable<bool> Accept();
  asio::awaitable<void> RunHandler();
  asio::awaitable<void> ReadLoop();
  // Reads one message; false when none will come any more.
  asio::awaitable<bool> ReadMessage(Message& message);
  asio::awaitable<void> WriteLoop();
  asio::awaitable<void> Close(uint16_t code, std::string reason);
  void MarkClosed(Status why);
  bool InputIsFull() const;

  const std::shared_ptr<HttpServerState> state_;
  const std::shared_ptr<HttpChannel> channel_;
  const HttpRequest request_;
  std::unique_ptr<Frames> frames_;
  StrandEvent changed_;
  Deadline write_deadline_;

  bool reading_ = false;
  bool writing_ = false;
  bool draining_ = false;
  bool finished_ = false;  // the handler has returned
  bool closed_ = false;
  bool closing_ = false;     // the closing handshake is under way
  Status close_status_;      // why it is closed
  uint16_t close_code_ = 0;  // 0: the default
  std::string close_reason_;
  std::function<void()> on_close_;

  std::deque<Message> incoming_;
  size_t incoming_bytes_ = 0;
  std::deque<std::string> outgoing_;
  size_t outgoing_bytes_ = 0;  // with what is being written
  WebSocketOutcome outcome_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WEBSOCKET_CONNECTION_H_
