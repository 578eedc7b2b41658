#ifndef FORETOKEN_SERVER_API_CONTEXT_H_
#define FORETOKEN_SERVER_API_CONTEXT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/thread_pool.hpp>

#include "server/api_metrics.h"
#include "server/kv_share.h"
#include "server/model_pool.h"
#include "server/server_config.h"
#include "store/tenant_directory.h"
#include "store/usage_ledger.h"

namespace foretoken {

// Whom a request is answered for and billed to.
struct ApiCaller {
  std::string key_id;  // empty in keyless mode
  std::shared_ptr<const DirectoryTenant> tenant;

  const TenantRecord& record() const { return tenant->record; }
};

// What the API's handlers share. Any thread may use it; it must outlive the listeners.
struct ApiContext {
  ApiContext(const ServerConfig& server_config, ModelPool& model_pool)
      : config(server_config), pool(model_pool) {}

  const ServerConfig& config;
  ModelPool& pool;
  TenantDirectory* directory = nullptr;  // null: keyless, everyone is `keyless_tenant`
  UsageLedger* ledger = nullptr;         // null: no store
  std::shared_ptr<const DirectoryTenant> keyless_tenant;
  std::string system_fingerprint;
  // The draft model of a tenant's own choice, by what `foretoken pull` called it.
  std::function<Result<ModelConfig>(const std::string& name, const ServedModel& target)>
      resolve_draft;
  ApiMetrics metrics;
  KvShares kv_shares;
  std::atomic<int32_t> running_requests{0};
  std::atomic<bool> is_draining{false};
  // For what takes longer than an I/O thread may compute: large bodies, long prompts.
  boost::asio::thread_pool workers{1};
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_API_CONTEXT_H_
