#ifndef FORETOKEN_SERVER_HTTP_SERVER_STATE_H_
#define FORETOKEN_SERVER_HTTP_SERVER_STATE_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ledger.h"
#include "base/mutex.h"
#include "server/http_exchange.h"
#include "server/http_options.h"
#include "server/websocket_session.h"

namespace foretoken {

class HttpConnection;

// One connection's place among those that are allowed; given back when dropped.
struct HttpPlace {
  std::string address_group;
  Reservation connection;
  Reservation from_address;
};

// What the connections of one server share: options, handlers, limits, counts. Any thread. Lives as
// long as the last of them.
class HttpServerState {
 public:
  HttpServerState(HttpListenerOptions options, HttpHandler handler,
                  WebSocketHandler websocket_handler);

  const HttpListenerOptions& options() const { return options_; }
  const HttpHandler& handler() const { return handler_; }
  const WebSocketHandler& websocket_handler() const { return websocket_handler_; }
  HttpResponse ErrorResponse(int status, const std::string& message) const;
  bool IsWebSocketPath(const std::string& path) const;

  // Empty, and counted, when there is no room. `address_group` is who shares a limit.
  std::optional<HttpPlace> Admit(const std::string& address_group);
  void Add(const std::shared_ptr<HttpConnection>& connection);
  // The connection uses nothing of the state's afterwards.
  void Remove(const std::shared_ptr<HttpConnection>& connection, HttpPlace place);
  std::vector<std::shared_ptr<HttpConnection>> Connections() const;

  void StartDraining() { draining_.store(true); }
  bool draining() const { return draining_.load(); }
  // False when connections are left at `deadline`. Without one it waits for the last.
  bool WaitUntilEmpty(std::optional<std::chrono::steady_clock::time_point> deadline);

  Ledger& body_bytes() { return body_bytes_; }
  void Count(uint64_t HttpServerCounts::*counter, int64_t change = 1);
  HttpServerCounts counts() const;

 private:
  const HttpListenerOptions options_;
  const HttpHandler handler_;
  const WebSocketHandler websocket_handler_;
  std::atomic<bool> draining_ = false;
  Ledger body_bytes_;
  Ledger connection_places_;

  mutable Mutex mutex_;
  CondVar emptied_;
  std::set<std::shared_ptr<HttpConnection>> connections_ FORETOKEN_GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<Ledger>> places_by_address_ FORETOKEN_GUARDED_BY(mutex_);
  HttpServerCounts counts_ FORETOKEN_GUARDED_BY(mutex_);
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_SERVER_STATE_H_
