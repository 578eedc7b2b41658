#ifndef FORETOKEN_SERVER_API_METRICS_H_
#define FORETOKEN_SERVER_API_METRICS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "store/usage_record.h"

namespace foretoken {

// What the API has answered, by endpoint and status, and what tenants used. Labels are bounded: the
// endpoints are the routes' names, the tenants the store's.
// Any thread may call it.
class ApiMetrics {
 public:
  struct TenantUsage {
    int64_t requests = 0;
    int64_t prompt_tokens = 0;
    int64_t cached_tokens = 0;
    int64_t completion_tokens = 0;
    int64_t drafted_tokens = 0;
    int64_t accepted_tokens = 0;
  };
  struct Snapshot {
    std::map<std::pair<std::string, int32_t>, int64_t> responses;      // endpoint, status
    std::map<std::pair<std::string, std::string>, TenantUsage> usage;  // tenant, model
  };

  void AddResponse(const std::string& endpoint, int32_t status) FORETOKEN_EXCLUDES(mutex_);
  void AddUsage(const UsageRecord& record) FORETOKEN_EXCLUDES(mutex_);
  // A tenant that is no more.
  void ForgetTenant(const std::string& tenant) FORETOKEN_EXCLUDES(mutex_);
  Snapshot Read() const FORETOKEN_EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  Snapshot counts_ FORETOKEN_GUARDED_BY(mutex_);
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_API_METRICS_H_
