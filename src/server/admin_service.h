#ifndef FORETOKEN_SERVER_ADMIN_SERVICE_H_
#define FORETOKEN_SERVER_ADMIN_SERVICE_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "foretoken/runtime_manager.h"
#include "server/api_context.h"
#include "server/http_exchange.h"
#include "server/http_options.h"
#include "store/tenant_store.h"

namespace foretoken {

struct AdminServiceOptions {
  std::string secret;                       // what every request has as its bearer
  TenantStore* store = nullptr;             // null: a server without tenants
  const RuntimeManager* manager = nullptr;  // for metrics
  std::function<std::vector<HttpServerCounts>()> http_counts;
};

// The operators' API on a listener of its own: /metrics, /admin/tenants, /admin/keys, /admin/usage,
// and health, which alone needs no secret.
// Any thread may call it; every exchange is its strand's. The context must outlive it.
class AdminService {
 public:
  AdminService(ApiContext& context, AdminServiceOptions options)
      : context_(context), options_(std::move(options)) {}

  std::optional<HttpResponse> CheckHead(const HttpRequest& request) const;
  asio::awaitable<void> Answer(HttpExchange& exchange);

 private:
  // Waits for the disk: on the workers.
  HttpResponse AnswerStore(const HttpRequest& request);
  HttpResponse AnswerTenants(const HttpRequest& request, const std::string& name);
  HttpResponse AnswerKeys(const HttpRequest& request, const std::string& rest);
  HttpResponse AnswerUsage(const HttpRequest& request);

  ApiContext& context_;
  const AdminServiceOptions options_;
};

// The secret of a file: its first line. FAILED_PRECONDITION when it is shorter than 16 characters
// or others than its owner may read it.
Result<std::string> ReadSecretFile(const std::string& path);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_ADMIN_SERVICE_H_
