#ifndef FORETOKEN_STORE_TENANT_TABLES_H_
#define FORETOKEN_STORE_TENANT_TABLES_H_

#include <SQLiteCpp/Database.h>

#include <string>
#include <string_view>
#include <vector>

#include "foretoken/status.h"
#include "store/api_key.h"
#include "store/tenant_record.h"

namespace foretoken {

struct StoredKey {
  KeyRecord record;
  std::string secret_sha256;
};

// Rows of the store's tables, for SqliteDatabase::Read. What SQLite throws passes through.

// By name; the one of that name, or all for an empty one. DATA_LOSS names a tenant whose settings
// cannot be read.
Result<std::vector<TenantRecord>> ReadTenants(SQLite::Database& database, std::string_view name);
// By tenant and time of creation; those of a tenant, or all for an empty one.
std::vector<StoredKey> ReadKeys(SQLite::Database& database, std::string_view tenant);

}  // namespace foretoken

#endif  // FORETOKEN_STORE_TENANT_TABLES_H_
