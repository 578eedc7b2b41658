#include "store/sqlite_database.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "testing/temp_directory.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using testing::TempDirectory;

int ModeOf(const std::string& path) {
  struct stat file = {};
  return stat(path.c_str(), &file) == 0 ? static_cast<int>(file.st_mode & 07777) : -1;
}

Result<int64_t> Ask(SqliteDatabase& database, const char* query) {
  return database.Run([query](SQLite::Database& sqlite) -> Result<int64_t> {
    return sqlite.execAndGet(query).getInt64();
  });
}

Status Execute(SqliteDatabase& database, const char* statement) {
  return database.Write([statement](SQLite::Database& sqlite) {
    sqlite.exec(statement);
    return OkStatus();
  });
}

TEST(SqliteDatabaseTest, AFileIsMadeForItsOwnerAloneAndInWriteAheadMode) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/new/folder/store.db";
  auto database = SqliteDatabase::Open(path, StoreFile::kCreateIfMissing);
  ASSERT_TRUE(database.ok()) << database.status().ToString();
  ASSERT_TRUE(Execute(**database, "INSERT INTO tenants VALUES('a', '{}', 1)").ok());
  EXPECT_EQ(ModeOf(path), 0600);
  EXPECT_EQ(ModeOf(path + "-wal"), 0600);
  EXPECT_EQ(ModeOf(path + "-shm"), 0600);
  EXPECT_EQ(ModeOf(directory.path() + "/new"), 0700);
  EXPECT_EQ(ModeOf(directory.path() + "/new/folder"), 0700);
  // What the settings mean: https://www.sqlite.org/pragma.html.
  EXPECT_EQ(*Ask(**database, "PRAGMA synchronous"), 2);
  EXPECT_EQ(*Ask(**database, "PRAGMA foreign_keys"), 1);
  EXPECT_EQ(*Ask(**database, "PRAGMA secure_delete"), 1);
  EXPECT_EQ(*Ask(**database, "PRAGMA busy_timeout"), 5000);
  EXPECT_EQ(*Ask(**database, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
}

TEST(SqliteDatabaseTest, AMissingFileIsMadeOnlyWhereThatIsAskedFor) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/store.db";
  const auto missing = SqliteDatabase::Open(path, StoreFile::kMustExist);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(missing.status().message(), HasSubstr(path));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(SqliteDatabaseTest, PathsThatCannotBeUsedAreNamed) {
  const TempDirectory directory;
  const std::string file = directory.Write("file", "x");
  const auto below_file = SqliteDatabase::Open(file + "/a/store.db", StoreFile::kCreateIfMissing);
  ASSERT_FALSE(below_file.ok());
  EXPECT_THAT(below_file.status().message(), HasSubstr(file));
  const auto folder = SqliteDatabase::Open(directory.path(), StoreFile::kCreateIfMissing);
  ASSERT_FALSE(folder.ok());
  EXPECT_THAT(folder.status().message(), HasSubstr(directory.path()));
}

TEST(SqliteDatabaseTest, WhatIsNoDatabaseIsLeftAsItIs) {
  const TempDirectory directory;
  const std::string text(4096, 'x');
  const std::string path = directory.Write("store.db", text);
  const auto database = SqliteDatabase::Open(path, StoreFile::kMustExist);
  ASSERT_FALSE(database.ok());
  EXPECT_EQ(database.status().code(), StatusCode::kDataLoss);
  EXPECT_THAT(database.status().message(), HasSubstr(path));
  EXPECT_EQ(std::filesystem::file_size(path), text.size());
}

TEST(SqliteDatabaseTest, ABodyThatFailsOrThrowsLeavesNothingBehind) {
  const TempDirectory directory;
  auto opened = SqliteDatabase::Open(directory.path() + "/s.db", StoreFile::kCreateIfMissing);
  ASSERT_TRUE(opened.ok());
  SqliteDatabase& database = **opened;
  const char* insert = "INSERT INTO tenants VALUES('a', '{}', 1)";
  const Status refused = database.Write([insert](SQLite::Database& sqlite) {
    sqlite.exec(insert);
    return NotFoundError("no such thing");
  });
  EXPECT_EQ(refused, NotFoundError("no such thing"));
  const Status broken = database.Write([insert](SQLite::Database& sqlite) {
    sqlite.exec(insert);
    sqlite.exec("INSERT INTO nowhere VALUES(1)");
    return OkStatus();
  });
  EXPECT_EQ(broken.code(), StatusCode::kInternal);
  EXPECT_THAT(broken.message(), HasSubstr("nowhere"));
  EXPECT_EQ(*Ask(database, "SELECT count(*) FROM tenants"), 0);
  EXPECT_TRUE(Execute(database, insert).ok());
  EXPECT_EQ(*Ask(database, "SELECT count(*) FROM tenants"), 1);
  const Status twice = Execute(database, insert);
  EXPECT_EQ(twice.code(), StatusCode::kFailedPrecondition);
}

TEST(SqliteDatabaseTest, AFileThatAnotherKeepsLockedIsUnavailable) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/s.db";
  auto opened = SqliteDatabase::Open(path, StoreFile::kCreateIfMissing);
  ASSERT_TRUE(opened.ok());
  ASSERT_TRUE(Ask(**opened, "PRAGMA busy_timeout = 1").ok());
  SQLite::Database other(path, SQLite::OPEN_READWRITE);
  other.exec("BEGIN IMMEDIATE");
  const Status locked = Execute(**opened, "DELETE FROM tenants");
  EXPECT_EQ(locked.code(), StatusCode::kUnavailable);
  EXPECT_THAT(locked.message(), HasSubstr("locked by another process"));
  other.exec("ROLLBACK");
  EXPECT_TRUE(Execute(**opened, "DELETE FROM tenants").ok());
}

TEST(SqliteDatabaseTest, AFullDiskIsResourceExhausted) {
  const TempDirectory directory;
  auto opened = SqliteDatabase::Open(directory.path() + "/s.db", StoreFile::kCreateIfMissing);
  ASSERT_TRUE(opened.ok());
  SqliteDatabase& database = **opened;
  const int64_t pages = *Ask(database, "PRAGMA page_count");
  ASSERT_EQ(*Ask(database, ("PRAGMA max_page_count = " + std::to_string(pages)).c_str()), pages);
  const Status full =
      Execute(database, "INSERT INTO tenants VALUES('a', hex(zeroblob(100000)), 1)");
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(*Ask(database, "SELECT count(*) FROM tenants"), 0);
}

TEST(SqliteDatabaseTest, ManyMayOpenANewFileAtOnce) {
  for (int round = 0; round < 10; ++round) {
    const TempDirectory directory;
    const std::string path = directory.path() + "/s.db";
    std::vector<Status> statuses(8);
    std::vector<std::thread> threads;
    for (Status& status : statuses) {
      threads.emplace_back([&status, &path] {
        status = SqliteDatabase::Open(path, StoreFile::kCreateIfMissing).status();
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Status& status : statuses) EXPECT_TRUE(status.ok()) << status.ToString();
  }
}

// In write-ahead mode a connection holds a shared lock from its first use to its end. Another
// process that can lock the whole file removes the log when it is done.
TEST(SqliteDatabaseTest, OpeningTheFileAgainLeavesTheLocksOfTheFirstConnection) {
  const TempDirectory directory;
  const std::string path = directory.path() + "/s.db";
  auto first = SqliteDatabase::Open(path, StoreFile::kCreateIfMissing);
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(*Ask(**first, "SELECT count(*) FROM tenants"), 0);
  for (const StoreFile mode : {StoreFile::kCreateIfMissing, StoreFile::kMustExist}) {
    ASSERT_TRUE(SqliteDatabase::Open(path, mode).ok());
  }
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = 0x40000002;  // the bytes of shared locks: https://www.sqlite.org/fileformat.html
  lock.l_len = 510;
  // An open file description's lock conflicts with this process's own ones, too.
  ASSERT_EQ(fcntl(file, F_OFD_GETLK, &lock), 0);
  EXPECT_EQ(lock.l_type, F_RDLCK);
  close(file);
}

TEST(SqliteDatabaseTest, TheDefaultPathFollowsTheEnvironment) {
  const char* home = std::getenv("HOME");
  const char* data = std::getenv("XDG_DATA_HOME");
  const std::string old_home = home == nullptr ? "" : home;
  const std::string old_data = data == nullptr ? "" : data;
  setenv("HOME", "/home/x", 1);
  setenv("XDG_DATA_HOME", "/data", 1);
  EXPECT_EQ(*DefaultStorePath(), "/data/foretoken/foretoken.db");
  unsetenv("XDG_DATA_HOME");
  EXPECT_EQ(*DefaultStorePath(), "/home/x/.local/share/foretoken/foretoken.db");
  unsetenv("HOME");
  EXPECT_EQ(DefaultStorePath().status().code(), StatusCode::kFailedPrecondition);
  if (home != nullptr) setenv("HOME", old_home.c_str(), 1);
  if (data != nullptr) setenv("XDG_DATA_HOME", old_data.c_str(), 1);
}

}  // namespace
}  // namespace foretoken
