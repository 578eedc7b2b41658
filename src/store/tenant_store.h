#ifndef FORETOKEN_STORE_TENANT_STORE_H_
#define FORETOKEN_STORE_TENANT_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "foretoken/status.h"
#include "store/api_key.h"
#include "store/sqlite_database.h"
#include "store/tenant_record.h"

namespace foretoken {

// A key as it is made: the only time that its secret is seen.
struct CreatedKey {
  KeyRecord record;
  std::string secret;
};

// What was deleted of a tenant, counted by the store as it did so.
struct TenantDeletion {
  bool tenant = false;
  int64_t keys = 0;
  int64_t usage_records = 0;
  // Whether the write-ahead log, which holds older pages, was emptied as well. False while another
  // process reads: it is then overwritten with later changes.
  bool log_emptied = false;
};

// Tenants and their keys, for who administers them. A change is on the disk when its call returns
// OK; it waits for the disk, so not on a thread that serves requests: those ask a TenantDirectory.
// Any thread may call it; other processes may use the same file meanwhile.
class TenantStore {
 public:
  static Result<std::unique_ptr<TenantStore>> Open(const std::string& path, StoreFile mode);

  // FAILED_PRECONDITION when there is one of that name. Its created_ms is replaced by now.
  Status AddTenant(TenantRecord tenant);
  // Lets `change` alter what is stored, with no other change in between. NOT_FOUND, or the error
  // of `change` or of validation, and nothing is changed then.
  Status UpdateTenant(std::string_view name, const std::function<Status(TenantRecord&)>& change);
  // By name; the one of that name (NOT_FOUND), or all for an empty one.
  Result<std::vector<TenantRecord>> ListTenants(std::string_view name = {});
  // Also what is left of one that was deleted before. NOT_FOUND when there was nothing at all.
  Result<TenantDeletion> DeleteTenant(std::string_view name, bool usage_too);

  Result<CreatedKey> AddKey(std::string_view tenant, std::string label,
                            std::optional<int64_t> expires_ms);
  // By tenant and time of creation; those of a tenant (NOT_FOUND), or all for an empty one.
  Result<std::vector<KeyRecord>> ListKeys(std::string_view tenant = {});
  // NOT_FOUND for an unknown id; OK for one that is revoked already.
  Status RevokeKey(std::string_view id);

 private:
  explicit TenantStore(std::unique_ptr<SqliteDatabase> database) : database_(std::move(database)) {}

  Mutex mutex_;
  const std::unique_ptr<SqliteDatabase> database_ FORETOKEN_GUARDED_BY(mutex_);
};

}  // namespace foretoken

#endif  // FORETOKEN_STORE_TENANT_STORE_H_
