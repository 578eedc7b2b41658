#ifndef FORETOKEN_STORE_SQLITE_SCHEMA_H_
#define FORETOKEN_STORE_SQLITE_SCHEMA_H_

#include <SQLiteCpp/Database.h>

#include "foretoken/status.h"

namespace foretoken {

// The version of the tables that this program writes.
int StoreSchemaVersion();

// Brings the tables to that version, each step in a transaction of its own, so that a crash leaves
// a whole version. FAILED_PRECONDITION when the file is newer or another program's; what SQLite
// throws passes through.
Status MigrateStore(SQLite::Database& database);

}  // namespace foretoken

#endif  // FORETOKEN_STORE_SQLITE_SCHEMA_H_
