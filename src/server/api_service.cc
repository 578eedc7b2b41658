#include "server/api_service.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "server/api_errors.h"
#include "server/bearer.h"
#include "server/generation_endpoint.h"
#include "server/model_endpoints.h"
#include "server/openapi_document.h"
#include "server/websocket_endpoint.h"

namespace foretoken {
namespace {

using Endpoint = asio::awaitable<void> (*)(ApiContext&, const ApiCaller&, HttpExchange&);

struct Route {
  std::string_view path;  // with a '/' at its end: and everything below
  std::string_view method;
  Endpoint endpoint;
};

constexpr Route kRoutes[] = {
    {"/v1/chat/completions", "POST", AnswerChatCompletion},
    {"/v1/completions", "POST", AnswerCompletion},
    {"/v1/responses", "POST", AnswerResponses},
    {"/v1/embeddings", "POST", AnswerEmbeddings},
    {"/v1/models", "GET", AnswerModels},
    {"/v1/models/", "GET", AnswerModel},
    {"/tokenize", "POST", AnswerTokenize},
    {"/detokenize", "POST", AnswerDetokenize},
};

// What everyone may see: it tells nothing of models or tenants.
constexpr std::string_view kLivePath = "/health/live";
constexpr std::string_view kReadyPath = "/health/ready";
constexpr std::string_view kDocumentPath = "/openapi.json";

bool Matches(const Route& route, std::string_view path) {
  return route.path.ends_with('/') ? path.starts_with(route.path) && path != route.path
                                   : path == route.path;
}

const Route* FindRoute(std::string_view path) {
  const auto found = std::find_if(std::begin(kRoutes), std::end(kRoutes),
                                  [&](const Route& route) { return Matches(route, path); });
  return found == std::end(kRoutes) ? nullptr : &*found;
}

bool IsOpen(std::string_view path) {
  return path == kLivePath || path == kReadyPath || path == kDocumentPath;
}

bool IsRead(std::string_view method) {
  return method == "GET" || method == "HEAD";
}

bool AsksForWebSocket(const HttpRequest& request) {
  const std::string_view upgrade = FindHeader(request.headers, "upgrade").value_or("");
  return request.method == "GET" &&
         (upgrade.starts_with("websocket") || upgrade.starts_with("WebSocket"));
}

HttpResponse UpgradeRequired() {
  WireError error = WireErrorOf(InvalidArgumentError("this path speaks WebSocket only"));
  error.http_status = 426;
  error.code = "upgrade_required";
  return ErrorResponse(error, {{"upgrade", "websocket"}});
}

HttpResponse OpenResponse(std::string_view path, bool is_draining) {
  HttpResponse response;
  response.headers.emplace_back("content-type", "application/json");
  if (path == kDocumentPath) {
    response.body = OpenApiDocument();
  } else if (path == kReadyPath && is_draining) {
    response.status = 503;
    response.body = R"({"status":"draining"})";
  } else {
    response.body = R"({"status":"ok"})";
  }
  return response;
}

}  // namespace

std::string ApiService::EndpointOf(const std::string& path) {
  const Route* const route = FindRoute(path);
  if (route != nullptr) return std::string(route->path);
  return IsOpen(path) ? path : "other";
}

WireResult<ApiCaller> ApiService::Authenticate(std::string_view bearer) {
  if (context_.directory == nullptr) return ApiCaller{"", context_.keyless_tenant};
  Result<AuthenticatedKey> key = context_.directory->Authenticate(bearer);
  if (key.ok()) return ApiCaller{key->id, key->tenant};
  if (key.status().code() != StatusCode::kFailedPrecondition) return UnauthorizedError();
  WireError error = WireErrorOf(key.status());
  error.http_status = 403;
  return error;
}

std::optional<HttpResponse> ApiService::CheckHead(const HttpRequest& request) {
  if (IsOpen(request.path)) {
    if (!IsRead(request.method)) return MethodNotAllowedResponse(request.method, "GET, HEAD");
    return std::nullopt;
  }
  const std::string_view bearer = BearerOf(request.headers);
  // There the key may come in the first message instead.
  if (request.path == kWebSocketPath && bearer.empty() && AsksForWebSocket(request)) {
    return std::nullopt;
  }
  const WireResult<ApiCaller> caller = Authenticate(bearer);
  if (!caller.ok()) return ErrorResponse(caller.error());
  if (request.path == kWebSocketPath) return std::nullopt;
  const Route* const route = FindRoute(request.path);
  if (route == nullptr) {
    return ErrorResponse(WireErrorOf(
        NotFoundError("there is nothing at this path; /openapi.json lists what there is")));
  }
  const bool is_right =
      request.method == route->method || (route->method == "GET" && request.method == "HEAD");
  if (!is_right) {
    return MethodNotAllowedResponse(request.method, route->method == "GET" ? "GET, HEAD" : "POST");
  }
  return std::nullopt;
}

asio::awaitable<void> ApiService::Answer(HttpExchange& exchange) {
  // Again: a key may have been revoked while the body came.
  if (std::optional<HttpResponse> refusal = CheckHead(exchange.request())) {
    (void)co_await exchange.Respond(*std::move(refusal));
    co_return;
  }
  const std::string& path = exchange.request().path;
  if (IsOpen(path)) {
    HttpResponse response = OpenResponse(path, context_.is_draining);
    (void)co_await exchange.Respond(std::move(response));
    co_return;
  }
  if (path == kWebSocketPath) {  // upgrades do not come here
    HttpResponse response = UpgradeRequired();
    (void)co_await exchange.Respond(std::move(response));
    co_return;
  }
  const WireResult<ApiCaller> caller = Authenticate(BearerOf(exchange.request().headers));
  if (!caller.ok()) {
    (void)co_await exchange.Respond(ErrorResponse(caller.error()));
    co_return;
  }
  const Endpoint endpoint = FindRoute(path)->endpoint;
  co_await endpoint(context_, *caller, exchange);
}

}  // namespace foretoken
