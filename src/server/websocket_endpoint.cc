#include "server/websocket_endpoint.h"

#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <nlohmann/json.hpp>

#include "base/json_depth.h"
#include "server/api_errors.h"
#include "server/bearer.h"
#include "server/wake_signal.h"
#include "server/websocket_exchange.h"

namespace foretoken {
namespace {

using Json = nlohmann::json;

constexpr uint16_t kUnauthorizedClose = 4401;
constexpr size_t kMaxIdBytes = 128;

// A message of the client, understood or not.
struct Message {
  std::string type;
  std::string id;
  std::string key;
  std::string endpoint;
  std::string body;
  Status status;
};

std::string TextOf(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Message ParseMessage(const std::string& text) {
  Message message;
  if (IsJsonTooDeep(text)) {
    message.status = InvalidArgumentError("the message is nested too deep");
    return message;
  }
  const Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    message.status = InvalidArgumentError("a message must be a JSON object");
    return message;
  }
  message.type = TextOf(object, "type");
  message.id = TextOf(object, "id");
  message.key = TextOf(object, "key");
  message.endpoint = TextOf(object, "endpoint");
  if (const auto body = object.find("body"); body != object.end()) message.body = body->dump();
  if (message.type == "auth") return message;
  if (message.type != "request" && message.type != "cancel") {
    message.status = InvalidArgumentError("type must be one of auth, request, cancel");
  } else if (message.id.empty() || message.id.size() > kMaxIdBytes) {
    message.status = InvalidArgumentError(
        fmt::format("id must be a text of 1 to {} bytes, of the client's making", kMaxIdBytes));
  } else if (message.type == "request" && (message.endpoint.empty() || message.body.empty())) {
    message.status = InvalidArgumentError(
        "a request has an endpoint, such as \"/v1/chat/completions\", and a body, an object");
  }
  return message;
}

// A connection and its requests. Its strand's; shared with the coroutines that answer.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ApiService& service, std::shared_ptr<WebSocketSession> session)
      : service_(service),
        session_(std::move(session)),
        ended_(std::make_shared<WakeSignal>(session_->executor())) {}

  asio::awaitable<void> Run() {
    key_ = std::string(BearerOf(session_->request().headers));
    while (true) {
      Result<std::string> text = co_await session_->Receive();
      if (!text.ok()) break;
      const Message message = ParseMessage(*text);
      if (!message.status.ok()) {
        co_await Refuse(message.id, message.status);
      } else if (message.type == "auth") {
        key_ = message.key;
        if (!service_.Authenticate(key_).ok()) {
          is_unauthorized_ = true;
          session_->SetCloseCode(kUnauthorizedClose, "the key is not valid");
          break;
        }
      } else if (message.type == "cancel") {
        // One that has ended meanwhile is no mistake.
        if (const auto found = running_.find(message.id); found != running_.end()) {
          found->second->Cancel();
        }
      } else {
        const Status begun = Begin(message);
        if (!begun.ok()) co_await Refuse(message.id, begun);
        if (is_unauthorized_) break;
      }
    }
    // A server that drains lets them end; a peer that is gone, or has no key, does not.
    if (session_->closed() || is_unauthorized_) CancelAll();
    while (!running_.empty()) co_await ended_->Wait();
  }

  void CancelAll() {
    // Copied: one that ends at once leaves the table.
    const auto running = running_;
    for (const auto& [id, exchange] : running) exchange->Cancel();
  }

 private:
  asio::awaitable<void> Refuse(const std::string& id, const Status& status) {
    WebSocketExchange exchange(session_, id, {});
    HttpResponse response = ErrorResponse(WireErrorOf(status));
    (void)co_await exchange.Respond(std::move(response));
  }

  Status Begin(const Message& message) {
    // With every request: the key may have been revoked since the last.
    if (!service_.Authenticate(key_).ok()) {
      is_unauthorized_ = true;
      session_->SetCloseCode(kUnauthorizedClose, "no valid key: send {\"type\": \"auth\"} first");
      return PermissionDeniedError("a valid key is wanted");
    }
    if (running_.count(message.id) > 0) {
      return InvalidArgumentError("a request with this id is still running");
    }
    if (running_.size() >= kMaxWebSocketRequests) {
      return ResourceExhaustedError(
          fmt::format("{} requests are running on this connection, the most it may have",
                      kMaxWebSocketRequests));
    }
    HttpRequest request;
    request.method = "POST";
    request.path = message.endpoint;
    request.headers.emplace_back("authorization", "Bearer " + key_);
    request.body = message.body;
    request.remote_address = session_->request().remote_address;
    request.request_id = message.id;
    auto exchange = std::make_shared<WebSocketExchange>(session_, message.id, std::move(request));
    running_.emplace(message.id, exchange);
    asio::co_spawn(session_->executor(), Answer(shared_from_this(), message.id, exchange),
                   asio::detached);
    return OkStatus();
  }

  static asio::awaitable<void> Answer(std::shared_ptr<Connection> self, std::string id,
                                      std::shared_ptr<WebSocketExchange> exchange) {
    try {
      co_await self->service_.Answer(*exchange);
    } catch (...) {
      // As over HTTP: one request's failure is not the connection's.
      exchange->Cancel();
    }
    self->running_.erase(id);
    self->ended_->Notify();
  }

  ApiService& service_;
  const std::shared_ptr<WebSocketSession> session_;
  const std::shared_ptr<WakeSignal> ended_;
  std::string key_;
  bool is_unauthorized_ = false;
  std::map<std::string, std::shared_ptr<WebSocketExchange>> running_;
};

}  // namespace

asio::awaitable<void> ServeWebSocket(ApiService& service,
                                     std::shared_ptr<WebSocketSession> session) {
  const auto connection = std::make_shared<Connection>(service, session);
  // Weak: the connection holds the session, which holds this.
  session->OnClose([weak = std::weak_ptr<Connection>(connection)] {
    if (const auto open = weak.lock()) open->CancelAll();
  });
  co_await connection->Run();
}

}  // namespace foretoken
