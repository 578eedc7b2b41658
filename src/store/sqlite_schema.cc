#include "store/sqlite_schema.h"

#include <SQLiteCpp/Transaction.h>

#include <array>

#include <fmt/format.h>

namespace foretoken {
namespace {

// SQLite's place for saying whose file this is: "FtKn".
constexpr int kApplicationId = 0x46744B6E;

// Step i leads from version i to i + 1. A step that was released is never changed.
constexpr std::array kSteps = {
    // Usage names tenants and keys without referring to them: it may outlive them.
    R"sql(
CREATE TABLE tenants(
  name TEXT PRIMARY KEY,
  settings TEXT NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys(
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL REFERENCES tenants(name) ON DELETE CASCADE,
  secret_sha256 TEXT NOT NULL,
  label TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER,
  revoked_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_tenant ON keys(tenant);

CREATE TABLE key_uses(
  key_id TEXT PRIMARY KEY REFERENCES keys(id) ON DELETE CASCADE,
  last_used_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE usage(
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  key_id TEXT NOT NULL,
  model TEXT NOT NULL,
  adapter TEXT NOT NULL,
  program TEXT,
  prompt_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  drafted_tokens INTEGER NOT NULL,
  accepted_tokens INTEGER NOT NULL,
  started_ms INTEGER NOT NULL,
  finished_ms INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  http_status INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_by_tenant ON usage(tenant, finished_ms);
CREATE INDEX usage_by_time ON usage(finished_ms);

-- Counts changes of tenants and keys, whoever makes them: a server need not read them all to know
-- that there was none.
CREATE TABLE directory(version INTEGER NOT NULL) STRICT;
INSERT INTO directory VALUES(1);
CREATE TRIGGER tenant_added AFTER INSERT ON tenants
  BEGIN UPDATE directory SET version = version + 1; END;
CREATE TRIGGER tenant_changed AFTER UPDATE ON tenants
  BEGIN UPDATE directory SET version = version + 1; END;
CREATE TRIGGER tenant_deleted AFTER DELETE ON tenants
  BEGIN UPDATE directory SET version = version + 1; END;
CREATE TRIGGER key_added AFTER INSERT ON keys
  BEGIN UPDATE directory SET version = version + 1; END;
CREATE TRIGGER key_changed AFTER UPDATE ON keys
  BEGIN UPDATE directory SET version = version + 1; END;
CREATE TRIGGER key_deleted AFTER DELETE ON keys
  BEGIN UPDATE directory SET version = version + 1; END;
)sql"};

int Number(SQLite::Database& database, const char* query) {
  return database.execAndGet(query).getInt();
}

// OK, with the version, when the file is ours or empty.
Result<int> VersionOf(SQLite::Database& database) {
  // All of it at one moment: another process may be filling the file.
  const SQLite::Transaction moment(database);
  const int application = Number(database, "PRAGMA application_id");
  const int version = Number(database, "PRAGMA user_version");
  const bool empty = Number(database, "SELECT count(*) FROM sqlite_schema") == 0;
  if (application != kApplicationId && !(empty && application == 0 && version == 0)) {
    return FailedPreconditionError(
        "this is the database of another program, not a Foretoken store");
  }
  if (version > StoreSchemaVersion()) {
    return FailedPreconditionError(
        fmt::format("a newer Foretoken has written it: it has schema {}, this version knows up to "
                    "{}; update Foretoken",
                    version, StoreSchemaVersion()));
  }
  return version;
}

}  // namespace

int StoreSchemaVersion() {
  return static_cast<int>(kSteps.size());
}

Status MigrateStore(SQLite::Database& database) {
  while (true) {
    Result<int> version = VersionOf(database);
    if (!version.ok()) return version.status();
    if (*version == StoreSchemaVersion()) return OkStatus();
    // Another process may have gone the same step meanwhile: look again with the lock held.
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    if (Number(database, "PRAGMA user_version") != *version) continue;
    database.exec(kSteps[static_cast<size_t>(*version)]);
    database.exec(fmt::format("PRAGMA application_id = {}", kApplicationId));
    database.exec(fmt::format("PRAGMA user_version = {}", *version + 1));
    transaction.commit();
  }
}

}  // namespace foretoken
