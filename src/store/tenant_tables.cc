#include "store/tenant_tables.h"

#include <SQLiteCpp/Statement.h>

#include <cstdint>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace foretoken {
namespace {

std::optional<int64_t> Time(const SQLite::Column& column) {
  if (column.isNull()) return std::nullopt;
  return column.getInt64();
}

}  // namespace

Result<std::vector<TenantRecord>> ReadTenants(SQLite::Database& database, std::string_view name) {
  SQLite::Statement rows(database,
                         "SELECT name, settings, created_ms FROM tenants "
                         "WHERE ?1 = '' OR name = ?1 ORDER BY name");
  rows.bind(1, std::string(name));
  std::vector<TenantRecord> tenants;
  while (rows.executeStep()) {
    TenantRecord tenant;
    tenant.name = rows.getColumn(0).getString();
    tenant.created_ms = rows.getColumn(2).getInt64();
    const Status status = ApplyTenantSettings(rows.getColumn(1).getString(), tenant);
    if (!status.ok()) {
      return DataLossError(fmt::format("tenant '{}': {}", tenant.name, status.message()));
    }
    tenants.push_back(std::move(tenant));
  }
  return tenants;
}

std::vector<StoredKey> ReadKeys(SQLite::Database& database, std::string_view tenant) {
  SQLite::Statement rows(
      database,
      "SELECT id, tenant, label, created_ms, expires_ms, revoked_ms, last_used_ms, secret_sha256 "
      "FROM keys LEFT JOIN key_uses ON key_id = id WHERE ?1 = '' OR tenant = ?1 "
      "ORDER BY tenant, created_ms, id");
  rows.bind(1, std::string(tenant));
  std::vector<StoredKey> keys;
  while (rows.executeStep()) {
    StoredKey key;
    key.record.id = rows.getColumn(0).getString();
    key.record.tenant = rows.getColumn(1).getString();
    key.record.label = rows.getColumn(2).getString();
    key.record.created_ms = rows.getColumn(3).getInt64();
    key.record.expires_ms = Time(rows.getColumn(4));
    key.record.revoked_ms = Time(rows.getColumn(5));
    key.record.last_used_ms = Time(rows.getColumn(6));
    key.secret_sha256 = rows.getColumn(7).getString();
    keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace foretoken
