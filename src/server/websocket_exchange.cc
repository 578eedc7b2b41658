#include "server/websocket_exchange.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace foretoken {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kData = "data: ";
constexpr std::string_view kDone = "[DONE]";

std::string JsonText(std::string_view text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool IsJson(const HttpResponse& response) {
  return FindHeader(response.headers, "content-type").value_or("").starts_with("application/json");
}

}  // namespace

WebSocketExchange::WebSocketExchange(std::shared_ptr<WebSocketSession> session,
                                     const std::string& id, HttpRequest request)
    : HttpExchange(std::move(request), {}), session_(std::move(session)), id_json_(JsonText(id)) {}

asio::awaitable<Status> WebSocketExchange::Respond(HttpResponse response) {
  std::string message =
      fmt::format(R"({{"id":{},"status":{},"body":{}}})", id_json_, response.status,
                  IsJson(response) ? response.body : JsonText(response.body));
  co_return co_await session_->Send(std::move(message));
}

asio::awaitable<Status> WebSocketExchange::BeginStream(HttpResponse head,
                                                       StreamHeartbeat /*heartbeat*/) {
  // The session has its own pings.
  std::string message = fmt::format(R"({{"id":{},"status":{}}})", id_json_, head.status);
  co_return co_await session_->Send(std::move(message));
}

asio::awaitable<Status> WebSocketExchange::Write(std::string_view bytes) {
  Status status;
  for (size_t begin = 0; status.ok() && begin < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', begin), bytes.size());
    const std::string_view line = bytes.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with(kData) || line.substr(kData.size()) == kDone) continue;
    std::string message =
        fmt::format(R"({{"id":{},"data":{}}})", id_json_, line.substr(kData.size()));
    status = co_await session_->Send(std::move(message));
  }
  co_return status;
}

asio::awaitable<Status> WebSocketExchange::EndStream() {
  std::string message = fmt::format(R"({{"id":{},"done":true}})", id_json_);
  co_return co_await session_->Send(std::move(message));
}

void WebSocketExchange::OnDisconnect(std::function<void()> callback) {
  if (disconnected()) {
    callback();
  } else {
    callbacks_.push_back(std::move(callback));
  }
}

void WebSocketExchange::Cancel() {
  is_cancelled_ = true;
  for (const auto& callback : std::exchange(callbacks_, {})) callback();
}

}  // namespace foretoken
