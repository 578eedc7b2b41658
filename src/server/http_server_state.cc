#include "server/http_server_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace foretoken {

HttpServerState::HttpServerState(HttpListenerOptions options, HttpHandler handler,
                                 WebSocketHandler websocket_handler)
    : options_(std::move(options)),
      handler_(std::move(handler)),
      websocket_handler_(std::move(websocket_handler)),
      body_bytes_("bytes of request bodies", options_.max_total_body_bytes),
      connection_places_("connections", options_.max_connections) {}

HttpResponse HttpServerState::ErrorResponse(int status, const std::string& message) const {
  HttpResponse response;
  if (options_.error_response) {
    response = options_.error_response(status, message);
  } else {
    response.headers.emplace_back("content-type", "text/plain; charset=utf-8");
    response.body = message + "\n";
  }
  response.status = status;
  return response;
}

bool HttpServerState::IsWebSocketPath(const std::string& path) const {
  const std::vector<std::string>& paths = options_.websocket.paths;
  return websocket_handler_ && std::find(paths.begin(), paths.end(), path) != paths.end();
}

std::optional<HttpPlace> HttpServerState::Admit(const std::string& address_group) {
  const MutexLock lock(mutex_);
  std::unique_ptr<Ledger>& of_address = places_by_address_[address_group];
  if (!of_address) {
    of_address = std::make_unique<Ledger>("connections of " + address_group,
                                          options_.max_connections_per_address);
  }
  Result<Reservation> from_address = of_address->Reserve(1);
  if (!from_address.ok()) {
    ++counts_.refused_connections_address;
    return std::nullopt;
  }
  Result<Reservation> connection = connection_places_.Reserve(1);
  if (!connection.ok()) {
    ++counts_.refused_connections;
    from_address->Reset();
    if (of_address->used() == 0) places_by_address_.erase(address_group);
    return std::nullopt;
  }
  ++counts_.accepted_connections;
  return HttpPlace{address_group, std::move(*connection), std::move(*from_address)};
}

void HttpServerState::Add(const std::shared_ptr<HttpConnection>& connection) {
  const MutexLock lock(mutex_);
  connections_.insert(connection);
}

void HttpServerState::Remove(const std::shared_ptr<HttpConnection>& connection, HttpPlace place) {
  const MutexLock lock(mutex_);
  place.connection.Reset();
  place.from_address.Reset();
  const auto of_address = places_by_address_.find(place.address_group);
  if (of_address != places_by_address_.end() && of_address->second->used() == 0) {
    places_by_address_.erase(of_address);
  }
  connections_.erase(connection);
  if (connections_.empty()) emptied_.NotifyAll();
}

std::vector<std::shared_ptr<HttpConnection>> HttpServerState::Connections() const {
  const MutexLock lock(mutex_);
  return {connections_.begin(), connections_.end()};
}

bool HttpServerState::WaitUntilEmpty(
    std::optional<std::chrono::steady_clock::time_point> deadline) {
  const MutexLock lock(mutex_);
  while (!connections_.empty()) {
    if (!deadline) {
      emptied_.Wait(mutex_);
    } else if (std::chrono::steady_clock::now() >= *deadline) {
      return false;
    } else {
      emptied_.WaitUntil(mutex_, *deadline);
    }
  }
  return true;
}

void HttpServerState::Count(uint64_t HttpServerCounts::*counter, int64_t change) {
  const MutexLock lock(mutex_);
  counts_.*counter += static_cast<uint64_t>(change);
}

HttpServerCounts HttpServerState::counts() const {
  const MutexLock lock(mutex_);
  HttpServerCounts counts = counts_;
  counts.open_connections = connections_.size();
  return counts;
}

}  // namespace foretoken
