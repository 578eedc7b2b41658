#ifndef FORETOKEN_UNIT_SERVER_FAKE_WEBSOCKET_SESSION_H_
#define FORETOKEN_UNIT_SERVER_FAKE_WEBSOCKET_SESSION_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/wake_signal.h"
#include "server/websocket_session.h"

namespace foretoken {

// A peer that sends what the test says and remembers what it is sent.
class FakeWebSocketSession : public WebSocketSession {
 public:
  explicit FakeWebSocketSession(asio::io_context& io)
      : io_(io), arrived_(std::make_shared<WakeSignal>(io.get_executor())) {}

  const HttpRequest& request() const override { return request_; }
  asio::awaitable<Result<std::string>> Receive() override {
    while (incoming_.empty() && !is_closed_) co_await arrived_->Wait();
    if (incoming_.empty()) co_return CancelledError("closed");
    std::string text = std::move(incoming_.front());
    incoming_.pop_front();
    co_return text;
  }
  asio::awaitable<Status> Send(std::string text) override {
    if (is_closed_) co_return CancelledError("closed");
    sent.push_back(std::move(text));
    if (on_send) on_send(sent.back());
    // As a socket would: others of the strand have their turn.
    co_await asio::post(io_.get_executor(), asio::use_awaitable);
    co_return OkStatus();
  }
  void SetCloseCode(uint16_t code, std::string) override { close_code = code; }
  bool closed() const override { return is_closed_; }
  void OnClose(std::function<void()> callback) override { on_close_ = std::move(callback); }
  asio::any_io_executor executor() override { return io_.get_executor(); }

  // The peer's side.
  void Say(std::string text) {
    incoming_.push_back(std::move(text));
    arrived_->Notify();
  }
  void Close() {
    is_closed_ = true;
    if (on_close_) on_close_();
    arrived_->Notify();
  }

  HttpRequest request_;
  std::vector<std::string> sent;
  std::function<void(const std::string&)> on_send;
  uint16_t close_code = 0;

 private:
  asio::io_context& io_;
  const std::shared_ptr<WakeSignal> arrived_;
  std::deque<std::string> incoming_;
  std::function<void()> on_close_;
  bool is_closed_ = false;
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SERVER_FAKE_WEBSOCKET_SESSION_H_
