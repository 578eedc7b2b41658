#ifndef FORETOKEN_SERVER_WEBSOCKET_ENDPOINT_H_
#define FORETOKEN_SERVER_WEBSOCKET_ENDPOINT_H_

#include <memory>

#include <boost/asio/awaitable.hpp>

#include "server/api_service.h"
#include "server/websocket_session.h"

namespace foretoken {

inline constexpr const char* kWebSocketPath = "/v1/stream";
// Requests that one connection may have under way.
inline constexpr size_t kMaxWebSocketRequests = 64;

// Serves one connection to /v1/stream: requests to any endpoint, several at a time, each under an
// id of the client's making, until it closes. Messages of the client:
//   {"type": "auth", "key": KEY}    first, where the handshake had no Authorization
//   {"type": "request", "id": ID, "endpoint": "/v1/chat/completions", "body": {...}}
//   {"type": "cancel", "id": ID}
// A message that is none of these is answered with {"id", "status": 400, "body": {"error"}} and the
// connection goes on; a wrong key ends it with close code 4401.
asio::awaitable<void> ServeWebSocket(ApiService& service,
                                     std::shared_ptr<WebSocketSession> session);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WEBSOCKET_ENDPOINT_H_
