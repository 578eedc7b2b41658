#ifndef FORETOKEN_SERVER_API_SERVICE_H_
#define FORETOKEN_SERVER_API_SERVICE_H_

#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "server/api_context.h"
#include "server/http_exchange.h"
#include "server/wire_error.h"

namespace foretoken {

// OpenAI's API over HTTP: who calls, which endpoint, what it answers.
// Any thread may call it; every exchange is its strand's. The context must outlive it.
class ApiService {
 public:
  explicit ApiService(ApiContext& context) : context_(context) {}

  // The refusal of a request, seen by its head: no key, no such endpoint. Takes microseconds.
  std::optional<HttpResponse> CheckHead(const HttpRequest& request);
  asio::awaitable<void> Answer(HttpExchange& exchange);
  // The tenant of a key, or 401 or 403. Without a store everyone is the one tenant.
  WireResult<ApiCaller> Authenticate(std::string_view key);
  // The name of an endpoint, for metrics; "other" for what there is not.
  static std::string EndpointOf(const std::string& path);

 private:
  ApiContext& context_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_API_SERVICE_H_
