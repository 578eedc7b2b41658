#include "store/tenant_directory.h"

#include <SQLiteCpp/Statement.h>

#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"
#include "base/macros.h"
#include "store/usage_tables.h"
#include "store/utc_time.h"

namespace foretoken {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr auto kKeyUseInterval = std::chrono::minutes(1);

// What the ledger says of a tenant. All of the last minute's requests count as used now, whenever
// their tokens were: too much rather than too little, for a minute.
QuotaSeed ReadQuotaSeed(SQLite::Database& database, const std::string& tenant, int64_t now_ms) {
  QuotaSeed seed;
  for (const UsageSum& sum :
       ReadUsage(database, {.tenant = tenant, .from_ms = now_ms - QuotaWindow::kSpanMs})) {
    seed.requests_last_minute = sum.requests;
    seed.tokens_last_minute = sum.prompt_tokens + sum.completion_tokens;
  }
  for (const UsageSum& sum :
       ReadUsage(database, {.tenant = tenant, .from_ms = UtcDayBeginMs(now_ms)})) {
    seed.tokens_today = sum.prompt_tokens + sum.completion_tokens;
  }
  return seed;
}

}  // namespace

Result<std::unique_ptr<TenantDirectory>> TenantDirectory::Open(TenantDirectoryOptions options) {
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> database,
                             SqliteDatabase::Open(options.path, options.mode));
  if (!options.utc_ms) options.utc_ms = UtcNowMs;
  std::unique_ptr<TenantDirectory> directory(
      new TenantDirectory(std::move(options), std::move(database)));
  FORETOKEN_RETURN_IF_ERROR(directory->Reload());
  directory->thread_ = std::thread([raw = directory.get()] { raw->Watch(); });
  return directory;
}

TenantDirectory::TenantDirectory(TenantDirectoryOptions options,
                                 std::unique_ptr<SqliteDatabase> database)
    : options_(std::move(options)),
      database_(std::move(database)),
      snapshot_(std::make_shared<const DirectorySnapshot>()) {}

TenantDirectory::~TenantDirectory() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
  }
  wake_.NotifyOne();
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<const DirectorySnapshot> TenantDirectory::snapshot() const {
  MutexLock lock(mutex_);
  return snapshot_;
}

Status TenantDirectory::health() const {
  MutexLock lock(mutex_);
  return health_;
}

Result<AuthenticatedKey> TenantDirectory::Authenticate(std::string_view key) {
  Result<std::string> id = ApiKeyId(key);
  if (!id.ok()) return PermissionDeniedError(id.status().message());
  const std::shared_ptr<const DirectorySnapshot> snapshot = this->snapshot();
  const auto found = snapshot->keys.find(*id);
  // Only who has the whole secret learns more of a key than that it is not valid.
  if (found == snapshot->keys.end() || !SameSecret(ApiKeyHash(key), found->second.secret_sha256)) {
    return PermissionDeniedError("the key is not valid");
  }
  const KeyRecord& record = found->second.record;
  const int64_t now_ms = options_.utc_ms();
  if (record.revoked_ms) return PermissionDeniedError("the key was revoked");
  if (record.expires_ms && *record.expires_ms <= now_ms) {
    return PermissionDeniedError("the key has expired at " + FormatUtc(*record.expires_ms));
  }
  const auto tenant = snapshot->tenants.find(record.tenant);
  if (tenant == snapshot->tenants.end()) return PermissionDeniedError("the key is not valid");
  if (!tenant->second->record.enabled) {
    return FailedPreconditionError("the key's tenant is disabled");
  }
  {
    MutexLock lock(mutex_);
    key_uses_[*id] = now_ms;
  }
  return AuthenticatedKey{*std::move(id), tenant->second};
}

Status TenantDirectory::Reload() {
  MutexLock lock(database_mutex_);
  return Refresh();
}

Status TenantDirectory::Refresh() {
  const Result<int64_t> version = database_->Run([](SQLite::Database& database) -> Result<int64_t> {
    return database.execAndGet("PRAGMA data_version").getInt64();
  });
  Status status = version.status();
  std::shared_ptr<const DirectorySnapshot> changed;
  if (version.ok() && *version != data_version_) {
    const std::shared_ptr<const DirectorySnapshot> last = snapshot();
    Result<std::shared_ptr<const DirectorySnapshot>> loaded = Load(*last);
    status = loaded.status();
    if (loaded.ok()) {
      data_version_ = *version;
      if ((*loaded)->version != last->version) changed = *loaded;
    }
  }
  bool first = false;
  bool news = false;
  {
    MutexLock lock(mutex_);
    news = health_ != status;
    health_ = status;
    first = snapshot_->version == 0;
    if (changed) snapshot_ = changed;
  }
  if (news && !status.ok()) {
    Log(LogLevel::kWarning, "the tenants in memory stay as they are: " + status.ToString());
  }
  if (changed && !first && options_.on_change) options_.on_change(*changed);
  return status;
}

Result<std::shared_ptr<const DirectorySnapshot>> TenantDirectory::Load(
    const DirectorySnapshot& last) {
  using Loaded = Result<std::shared_ptr<const DirectorySnapshot>>;
  return database_->Read([&](SQLite::Database& database) -> Loaded {
    auto loaded = std::make_shared<DirectorySnapshot>();
    loaded->version = database.execAndGet("SELECT version FROM directory").getInt64();
    if (loaded->version == last.version) return Loaded(std::move(loaded));
    FORETOKEN_ASSIGN_OR_RETURN(std::vector<TenantRecord> records, ReadTenants(database, ""));
    for (TenantRecord& record : records) {
      auto tenant = std::make_shared<DirectoryTenant>();
      const auto known = last.tenants.find(record.name);
      // One that was deleted and added anew in between is another one.
      if (known != last.tenants.end() && known->second->record.created_ms == record.created_ms) {
        tenant->quota = known->second->quota;
        tenant->quota->SetLimits(record.quota);
      } else {
        tenant->quota = std::make_shared<TenantQuota>(record.quota);
        tenant->quota->Seed(ReadQuotaSeed(database, record.name, options_.utc_ms()));
      }
      tenant->record = std::move(record);
      loaded->tenants.emplace(tenant->record.name, std::move(tenant));
    }
    for (StoredKey& key : ReadKeys(database, "")) {
      loaded->keys.emplace(key.record.id, std::move(key));
    }
    return Loaded(std::move(loaded));
  });
}

Status TenantDirectory::WriteKeyUses() {
  std::unordered_map<std::string, int64_t> uses;
  {
    MutexLock lock(mutex_);
    uses.swap(key_uses_);
  }
  if (uses.empty()) return OkStatus();
  return database_->Write([&](SQLite::Database& database) -> Status {
    // A key that was deleted meanwhile has no use to write down.
    SQLite::Statement row(database,
                          "INSERT INTO key_uses SELECT id, ?2 FROM keys WHERE id = ?1 "
                          "ON CONFLICT(key_id) DO UPDATE SET last_used_ms = excluded.last_used_ms");
    for (const auto& [id, time_ms] : uses) {
      row.reset();
      row.bind(1, id);
      row.bind(2, time_ms);
      row.exec();
    }
    return OkStatus();
  });
}

void TenantDirectory::Watch() {
  auto next_uses = SteadyClock::now() + kKeyUseInterval;
  while (true) {
    const auto next = SteadyClock::now() + options_.poll_interval;
    bool closing = false;
    {
      MutexLock lock(mutex_);
      while (!closing_ && SteadyClock::now() < next) wake_.WaitUntil(mutex_, next);
      closing = closing_;
    }
    MutexLock lock(database_mutex_);
    if (closing || SteadyClock::now() >= next_uses) {
      next_uses = SteadyClock::now() + kKeyUseInterval;
      if (const Status status = WriteKeyUses(); !status.ok()) {
        Log(LogLevel::kWarning, "when keys were used is not written: " + status.ToString());
      }
    }
    if (closing) return;
    (void)Refresh();  // health() has its error
  }
}

}  // namespace foretoken
