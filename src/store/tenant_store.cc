#include "store/tenant_store.h"

#include <SQLiteCpp/Statement.h>

#include <fmt/format.h>

#include "base/macros.h"
#include "store/tenant_tables.h"
#include "store/utc_time.h"

namespace foretoken {
namespace {

Status NoTenant(std::string_view name) {
  return NotFoundError(fmt::format("there is no tenant '{}'", name));
}

bool HasTenant(SQLite::Database& database, std::string_view name) {
  SQLite::Statement row(database, "SELECT 1 FROM tenants WHERE name = ?");
  row.bind(1, std::string(name));
  return row.executeStep();
}

int64_t DeleteRows(SQLite::Database& database, const char* statement, std::string_view tenant) {
  SQLite::Statement rows(database, statement);
  rows.bind(1, std::string(tenant));
  return rows.exec();
}

void BindTime(SQLite::Statement& statement, int index, std::optional<int64_t> time_ms) {
  if (time_ms) statement.bind(index, *time_ms);  // NULL otherwise
}

}  // namespace

Result<std::unique_ptr<TenantStore>> TenantStore::Open(const std::string& path, StoreFile mode) {
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> database,
                             SqliteDatabase::Open(path, mode));
  return std::unique_ptr<TenantStore>(new TenantStore(std::move(database)));
}

Status TenantStore::AddTenant(TenantRecord tenant) {
  tenant.created_ms = UtcNowMs();
  FORETOKEN_RETURN_IF_ERROR(Validate(tenant));
  MutexLock lock(mutex_);
  return database_->Write([&](SQLite::Database& database) -> Status {
    if (HasTenant(database, tenant.name)) {
      return FailedPreconditionError(fmt::format("there is a tenant '{}' already", tenant.name));
    }
    SQLite::Statement row(database, "INSERT INTO tenants VALUES(?, ?, ?)");
    row.bind(1, tenant.name);
    row.bind(2, TenantSettingsJson(tenant));
    row.bind(3, tenant.created_ms);
    row.exec();
    return OkStatus();
  });
}

Status TenantStore::UpdateTenant(std::string_view name,
                                 const std::function<Status(TenantRecord&)>& change) {
  MutexLock lock(mutex_);
  return database_->Write([&](SQLite::Database& database) -> Status {
    FORETOKEN_ASSIGN_OR_RETURN(std::vector<TenantRecord> found, ReadTenants(database, name));
    if (name.empty() || found.empty()) return NoTenant(name);
    TenantRecord& tenant = found.front();
    FORETOKEN_RETURN_IF_ERROR(change(tenant));
    tenant.name = name;
    FORETOKEN_RETURN_IF_ERROR(Validate(tenant));
    SQLite::Statement row(database, "UPDATE tenants SET settings = ? WHERE name = ?");
    row.bind(1, TenantSettingsJson(tenant));
    row.bind(2, tenant.name);
    row.exec();
    return OkStatus();
  });
}

Result<std::vector<TenantRecord>> TenantStore::ListTenants(std::string_view name) {
  MutexLock lock(mutex_);
  FORETOKEN_ASSIGN_OR_RETURN(
      std::vector<TenantRecord> tenants,
      database_->Read([&](SQLite::Database& database) { return ReadTenants(database, name); }));
  if (!name.empty() && tenants.empty()) return NoTenant(name);
  return tenants;
}

Result<TenantDeletion> TenantStore::DeleteTenant(std::string_view name, bool usage_too) {
  MutexLock lock(mutex_);
  TenantDeletion deletion;
  FORETOKEN_RETURN_IF_ERROR(database_->Write([&](SQLite::Database& database) -> Status {
    deletion.keys = DeleteRows(database, "DELETE FROM keys WHERE tenant = ?", name);
    deletion.tenant = DeleteRows(database, "DELETE FROM tenants WHERE name = ?", name) == 1;
    if (usage_too) {
      deletion.usage_records = DeleteRows(database, "DELETE FROM usage WHERE tenant = ?", name);
    }
    if (!deletion.tenant && deletion.usage_records == 0) return NoTenant(name);
    return OkStatus();
  }));
  // secure_delete has overwritten the rows in the pages; older copies of those are in the log. The
  // deletion stands, whatever becomes of this.
  const Result<int> busy = database_->Run([](SQLite::Database& database) -> Result<int> {
    return database.execAndGet("PRAGMA wal_checkpoint(TRUNCATE)").getInt();
  });
  deletion.log_emptied = busy.ok() && *busy == 0;
  return deletion;
}

Result<CreatedKey> TenantStore::AddKey(std::string_view tenant, std::string label,
                                       std::optional<int64_t> expires_ms) {
  FORETOKEN_RETURN_IF_ERROR(ValidateKeyLabel(label));
  CreatedKey key;
  FORETOKEN_ASSIGN_OR_RETURN(key.secret, NewApiKey());
  FORETOKEN_ASSIGN_OR_RETURN(key.record.id, ApiKeyId(key.secret));
  key.record.tenant = tenant;
  key.record.label = std::move(label);
  key.record.created_ms = UtcNowMs();
  key.record.expires_ms = expires_ms;
  if (expires_ms && *expires_ms <= key.record.created_ms) {
    return InvalidArgumentError(
        fmt::format("the key would expire at {}, which is over", FormatUtc(*expires_ms)));
  }
  MutexLock lock(mutex_);
  FORETOKEN_RETURN_IF_ERROR(database_->Write([&](SQLite::Database& database) -> Status {
    if (!HasTenant(database, tenant)) return NoTenant(tenant);
    SQLite::Statement row(database, "INSERT INTO keys VALUES(?, ?, ?, ?, ?, ?, NULL)");
    row.bind(1, key.record.id);
    row.bind(2, key.record.tenant);
    row.bind(3, ApiKeyHash(key.secret));
    row.bind(4, key.record.label);
    row.bind(5, key.record.created_ms);
    BindTime(row, 6, expires_ms);
    row.exec();
    return OkStatus();
  }));
  return key;
}

Result<std::vector<KeyRecord>> TenantStore::ListKeys(std::string_view tenant) {
  MutexLock lock(mutex_);
  return database_->Read([&](SQLite::Database& database) -> Result<std::vector<KeyRecord>> {
    if (!tenant.empty() && !HasTenant(database, tenant)) return NoTenant(tenant);
    std::vector<KeyRecord> records;
    for (StoredKey& key : ReadKeys(database, tenant)) records.push_back(std::move(key.record));
    return records;
  });
}

Status TenantStore::RevokeKey(std::string_view id) {
  MutexLock lock(mutex_);
  return database_->Write([&](SQLite::Database& database) -> Status {
    SQLite::Statement row(database,
                          "UPDATE keys SET revoked_ms = coalesce(revoked_ms, ?) WHERE id = ?");
    row.bind(1, UtcNowMs());
    row.bind(2, std::string(id));
    if (row.exec() == 0) return NotFoundError(fmt::format("there is no key '{}'", id));
    return OkStatus();
  });
}

}  // namespace foretoken
