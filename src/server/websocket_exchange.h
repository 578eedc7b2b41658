#ifndef FORETOKEN_SERVER_WEBSOCKET_EXCHANGE_H_
#define FORETOKEN_SERVER_WEBSOCKET_EXCHANGE_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/http_exchange.h"
#include "server/websocket_session.h"

namespace foretoken {

// A request that came in a WebSocket's message, answered in messages: {"id", "status", "body"} for
// a whole answer; {"id", "status"}, {"id", "data"} for each event and {"id", "done": true} for a
// streamed one. So every endpoint answers here as it does over HTTP.
// The session's strand. Shared by the coroutine that answers and the session's table.
class WebSocketExchange : public HttpExchange {
 public:
  WebSocketExchange(std::shared_ptr<WebSocketSession> session, const std::string& id,
                    HttpRequest request);

  asio::awaitable<Status> Respond(HttpResponse response) override;
  asio::awaitable<Status> BeginStream(HttpResponse head, StreamHeartbeat heartbeat) override;
  // `bytes`: whole server-sent events.
  asio::awaitable<Status> Write(std::string_view bytes) override;
  asio::awaitable<Status> EndStream() override;
  bool disconnected() const override { return is_cancelled_ || session_->closed(); }
  void OnDisconnect(std::function<void()> callback) override;
  asio::any_io_executor executor() override { return session_->executor(); }

  // As if the client had gone: what answers it stops.
  void Cancel();

 private:
  const std::shared_ptr<WebSocketSession> session_;
  const std::string id_json_;
  bool is_cancelled_ = false;
  std::vector<std::function<void()>> callbacks_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WEBSOCKET_EXCHANGE_H_
