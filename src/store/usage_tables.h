#ifndef FORETOKEN_STORE_USAGE_TABLES_H_
#define FORETOKEN_STORE_USAGE_TABLES_H_

#include <SQLiteCpp/Database.h>

#include <vector>

#include "store/usage_record.h"

namespace foretoken {

// Sums over the ledger's rows, for SqliteDatabase::Read. What SQLite throws passes through.
std::vector<UsageSum> ReadUsage(SQLite::Database& database, const UsageQuery& query);

}  // namespace foretoken

#endif  // FORETOKEN_STORE_USAGE_TABLES_H_
