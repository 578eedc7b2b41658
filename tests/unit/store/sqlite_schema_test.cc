#include "store/sqlite_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "store/sqlite_database.h"
#include "testing/temp_directory.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using testing::TempDirectory;

TEST(SqliteSchemaTest, AnEmptyFileGetsTheTablesAndASecondRunChangesNothing) {
  SQLite::Database database(":memory:", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  ASSERT_TRUE(MigrateStore(database).ok());
  EXPECT_EQ(database.execAndGet("PRAGMA user_version").getInt(), StoreSchemaVersion());
  for (const char* table : {"tenants", "keys", "key_uses", "usage", "directory"}) {
    EXPECT_TRUE(database.tableExists(table)) << table;
  }
  database.exec("INSERT INTO tenants VALUES('a', '{}', 1)");
  ASSERT_TRUE(MigrateStore(database).ok());
  EXPECT_EQ(database.execAndGet("SELECT count(*) FROM tenants").getInt(), 1);
}

TEST(SqliteSchemaTest, ANewerFileIsRefusedAndLeftAsItIs) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/s.db";
  ASSERT_TRUE(SqliteDatabase::Open(path, StoreFile::kCreateIfMissing).ok());
  const std::string version = std::to_string(StoreSchemaVersion() + 1);
  SQLite::Database(path, SQLite::OPEN_READWRITE).exec("PRAGMA user_version = " + version);
  const auto opened = SqliteDatabase::Open(path, StoreFile::kCreateIfMissing);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(opened.status().message(), HasSubstr("newer Foretoken"));
  EXPECT_THAT(opened.status().message(), HasSubstr("schema " + version));
  EXPECT_THAT(opened.status().message(), HasSubstr(path));
}

TEST(SqliteSchemaTest, AnotherProgramsFileIsRefusedAndLeftAsItIs) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/bookmarks.db";
  {
    SQLite::Database other(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    other.exec("CREATE TABLE bookmarks(url TEXT)");
  }
  const auto opened = SqliteDatabase::Open(path, StoreFile::kMustExist);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(opened.status().message(), HasSubstr("another program"));
  SQLite::Database other(path);
  EXPECT_FALSE(other.tableExists("tenants"));
  EXPECT_STREQ(other.execAndGet("PRAGMA journal_mode").getText(), "delete");
}

TEST(SqliteSchemaTest, EveryChangeOfATenantOrAKeyIsCounted) {
  SQLite::Database database(":memory:", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  ASSERT_TRUE(MigrateStore(database).ok());
  int64_t last = database.execAndGet("SELECT version FROM directory").getInt64();
  const auto expect_change = [&](const char* statement, bool changes) {
    database.exec(statement);
    const int64_t version = database.execAndGet("SELECT version FROM directory").getInt64();
    EXPECT_EQ(version > last, changes) << statement;
    last = version;
  };
  expect_change("INSERT INTO tenants VALUES('a', '{}', 1)", true);
  expect_change("UPDATE tenants SET settings = '{\"weight\": 2}'", true);
  expect_change("INSERT INTO keys VALUES('k', 'a', 'hash', '', 1, NULL, NULL)", true);
  expect_change("UPDATE keys SET revoked_ms = 5", true);
  expect_change("INSERT INTO key_uses VALUES('k', 1)", false);
  expect_change("UPDATE key_uses SET last_used_ms = 2", false);
  expect_change("DELETE FROM keys", true);
  expect_change("DELETE FROM tenants", true);
}

}  // namespace
}  // namespace foretoken
