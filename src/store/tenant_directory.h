#ifndef FORETOKEN_STORE_TENANT_DIRECTORY_H_
#define FORETOKEN_STORE_TENANT_DIRECTORY_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "base/mutex.h"
#include "foretoken/status.h"
#include "store/sqlite_database.h"
#include "store/tenant_record.h"
#include "store/tenant_tables.h"
#include "tenancy/tenant_quota.h"

namespace foretoken {

// A tenant as the server's threads see it. Its quota lives on from snapshot to snapshot.
struct DirectoryTenant {
  TenantRecord record;
  std::shared_ptr<TenantQuota> quota;  // also owned by requests that run and by later snapshots
};

// All tenants and keys at one moment; never changes.
struct DirectorySnapshot {
  int64_t version = 0;  // grows with every change of a tenant or a key
  std::map<std::string, std::shared_ptr<const DirectoryTenant>, std::less<>> tenants;
  std::unordered_map<std::string, StoredKey> keys;  // by id
};

struct AuthenticatedKey {
  std::string id;
  std::shared_ptr<const DirectoryTenant> tenant;
};

struct TenantDirectoryOptions {
  std::string path;
  StoreFile mode = StoreFile::kMustExist;
  // How often changes by other processes are looked for; what it costs is a read of a few bytes.
  std::chrono::milliseconds poll_interval{250};
  // Told of every new snapshot but the first, on the thread that made it, one at a time; it must
  // not call Reload.
  std::function<void(const DirectorySnapshot&)> on_change;
  std::function<int64_t()> utc_ms;  // for tests; empty: the system's clock
};

// Who may use the server: the store's tenants and keys in memory, for threads that must not wait. A
// thread of its own notices what other processes change, and writes when keys were last used.
// Any thread may call it. While the store cannot be read the last snapshot stays, and health() says
// why.
class TenantDirectory {
 public:
  static Result<std::unique_ptr<TenantDirectory>> Open(TenantDirectoryOptions options);
  ~TenantDirectory();
  TenantDirectory(const TenantDirectory&) = delete;
  TenantDirectory& operator=(const TenantDirectory&) = delete;

  std::shared_ptr<const DirectorySnapshot> snapshot() const;

  // Whose key this is: microseconds, no disk. PERMISSION_DENIED for what is no valid key (HTTP
  // 401), FAILED_PRECONDITION for one whose tenant is disabled (403).
  Result<AuthenticatedKey> Authenticate(std::string_view key);

  // Takes over changes now: what this process changed through a TenantStore is in force when it
  // returns. Waits for the disk.
  Status Reload();

  // OK, or why the last look at the store failed.
  Status health() const;

 private:
  TenantDirectory(TenantDirectoryOptions options, std::unique_ptr<SqliteDatabase> database);

  Status Refresh() FORETOKEN_REQUIRES(database_mutex_);
  Result<std::shared_ptr<const DirectorySnapshot>> Load(const DirectorySnapshot& last)
      FORETOKEN_REQUIRES(database_mutex_);
  Status WriteKeyUses() FORETOKEN_REQUIRES(database_mutex_);
  void Watch();

  const TenantDirectoryOptions options_;

  Mutex database_mutex_;
  const std::unique_ptr<SqliteDatabase> database_ FORETOKEN_GUARDED_BY(database_mutex_);
  // SQLite's number of the file's state, which changes with what other connections commit.
  int64_t data_version_ FORETOKEN_GUARDED_BY(database_mutex_) = -1;

  mutable Mutex mutex_;  // held for the copy of a pointer; taken after database_mutex_
  CondVar wake_;
  std::shared_ptr<const DirectorySnapshot> snapshot_ FORETOKEN_GUARDED_BY(mutex_);
  std::unordered_map<std::string, int64_t> key_uses_ FORETOKEN_GUARDED_BY(mutex_);
  Status health_ FORETOKEN_GUARDED_BY(mutex_);
  bool closing_ FORETOKEN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace foretoken

#endif  // FORETOKEN_STORE_TENANT_DIRECTORY_H_
