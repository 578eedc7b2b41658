#include "server/api_metrics.h"

namespace foretoken {

void ApiMetrics::AddResponse(const std::string& endpoint, int32_t status) {
  MutexLock lock(mutex_);
  ++counts_.responses[{endpoint, status}];
}

void ApiMetrics::AddUsage(const UsageRecord& record) {
  MutexLock lock(mutex_);
  TenantUsage& usage = counts_.usage[{record.tenant, record.model}];
  ++usage.requests;
  usage.prompt_tokens += record.prompt_tokens;
  usage.cached_tokens += record.cached_tokens;
  usage.completion_tokens += record.completion_tokens;
  usage.drafted_tokens += record.drafted_tokens;
  usage.accepted_tokens += record.accepted_tokens;
}

void ApiMetrics::ForgetTenant(const std::string& tenant) {
  MutexLock lock(mutex_);
  std::erase_if(counts_.usage, [&](const auto& entry) { return entry.first.first == tenant; });
}

ApiMetrics::Snapshot ApiMetrics::Read() const {
  MutexLock lock(mutex_);
  return counts_;
}

}  // namespace foretoken
