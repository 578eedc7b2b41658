#ifndef FORETOKEN_SERVER_WEBSOCKET_SESSION_H_
#define FORETOKEN_SERVER_WEBSOCKET_SESSION_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "foretoken/status.h"
#include "server/http_message.h"

namespace foretoken {

namespace asio = boost::asio;

// One open WebSocket; text messages both ways. Everything is called on its executor, a strand;
// several coroutines of that strand may send. They may keep it past its handler: everything then
// fails with CANCELLED. The last of them drops it on the strand.
class WebSocketSession {
 public:
  virtual ~WebSocketSession() = default;

  virtual const HttpRequest& request() const = 0;
  // The next message, to one caller at a time. CANCELLED when the peer has closed or is gone and
  // when the server drains: nothing more will come then, but answers under way can still be sent
  // while closed() is false. INVALID_ARGUMENT: a message was too large, binary or no UTF-8.
  virtual asio::awaitable<Result<std::string>> Receive() = 0;
  // Queues `text` (UTF-8); waits first while the queue is full. CANCELLED once the session is
  // closed, DEADLINE_EXCEEDED when the peer did not read.
  virtual asio::awaitable<Status> Send(std::string text) = 0;
  // The code and reason (at most 123 bytes) for the end that comes when the handler returns; 1000
  // otherwise, or 1001 when the server drains.
  virtual void SetCloseCode(uint16_t code, std::string reason) = 0;
  virtual bool closed() const = 0;
  // Calls `callback` once when the peer closes or is gone, at once if it is; never after the
  // handler returned.
  virtual void OnClose(std::function<void()> callback) = 0;
  virtual asio::any_io_executor executor() = 0;
};

// Serves one session until it returns; what it has sent is delivered first, then the session is
// closed. It must return soon after the session is closed: shutting down waits for it.
using WebSocketHandler =
    std::function<asio::awaitable<void>(std::shared_ptr<WebSocketSession> session)>;

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WEBSOCKET_SESSION_H_
