#include "store/sqlite_database.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <thread>

#include <fmt/format.h>

#include "base/macros.h"
#include "store/sqlite_schema.h"

namespace foretoken {
namespace {

constexpr int kBusyTimeoutMs = 5000;

std::string_view StoreEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

Status PathError(const std::string& path, int error) {
  std::string message = fmt::format("{}: {}", path, std::generic_category().message(error));
  if (error == ENOENT || error == ENOTDIR) return NotFoundError(std::move(message));
  if (error == EACCES || error == EPERM || error == EROFS) {
    return PermissionDeniedError(std::move(message));
  }
  if (error == ENOSPC || error == EDQUOT) return ResourceExhaustedError(std::move(message));
  return InternalError(std::move(message));
}

Status MakeFolders(const std::filesystem::path& folder) {
  if (folder.empty()) return OkStatus();
  std::error_code error;
  if (std::filesystem::is_directory(folder, error)) return OkStatus();
  FORETOKEN_RETURN_IF_ERROR(MakeFolders(folder.parent_path()));
  if (mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) return OkStatus();
  return PathError(folder.string(), errno);
}

// SQLite gives its other files (-wal, -shm) the mode that this one has. No descriptor of the file
// is opened here: closing it would end the locks of this process's other connections, and another
// process would then remove the log that they write to.
Status MakeFile(const std::string& path, StoreFile mode) {
  if (mode == StoreFile::kCreateIfMissing) {
    FORETOKEN_RETURN_IF_ERROR(MakeFolders(std::filesystem::path(path).parent_path()));
    if (mknod(path.c_str(), S_IFREG | 0600, 0) == 0) return OkStatus();
    if (errno != EEXIST) return PathError(path, errno);
  }
  return access(path.c_str(), R_OK | W_OK) == 0 ? OkStatus() : PathError(path, errno);
}

}  // namespace

Result<std::string> DefaultStorePath() {
  if (const auto data = StoreEnvironment("XDG_DATA_HOME"); !data.empty()) {
    return std::string(data) + "/foretoken/foretoken.db";
  }
  if (const auto home = StoreEnvironment("HOME"); !home.empty()) {
    return std::string(home) + "/.local/share/foretoken/foretoken.db";
  }
  return FailedPreconditionError(
      "there is no place for the store: name it with --store PATH "
      "(neither XDG_DATA_HOME nor HOME is set)");
}

Result<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path,
                                                             StoreFile mode) {
  FORETOKEN_RETURN_IF_ERROR(MakeFile(path, mode));
  try {
    auto database = std::unique_ptr<SqliteDatabase>(new SqliteDatabase(
        path,
        SQLite::Database(path, SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX, kBusyTimeoutMs)));
    FORETOKEN_RETURN_IF_ERROR(database->Guard([&] { return database->Prepare(); }));
    return database;
  } catch (const SQLite::Exception& error) {
    return StatusOf(path, error);
  }
}

Status SqliteDatabase::Prepare() {
  // FULL: a commit is on the disk, not only with the operating system, when it returns.
  database_.exec(
      "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;"
      "PRAGMA trusted_schema = OFF");
  if (Status status = MigrateStore(database_); !status.ok()) {
    return Status(status.code(), fmt::format("{}: {}", path_, status.message()));
  }
  // Two processes that both turn a new file to WAL: SQLite does not wait for the other one here.
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(kBusyTimeoutMs);
  while (true) {
    const int result = database_.tryExec("PRAGMA journal_mode = WAL");
    if (result == SQLITE_OK) return OkStatus();
    if ((result & 0xFF) != SQLITE_BUSY || std::chrono::steady_clock::now() > deadline) {
      throw SQLite::Exception(database_.getHandle(), result);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Status SqliteDatabase::StatusOf(const std::string& path, const SQLite::Exception& error) {
  std::string message = fmt::format("{}: {}", path, error.what());
  switch (error.getErrorCode() & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return UnavailableError(message + " by another process");
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return ResourceExhaustedError(std::move(message));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DataLossError(std::move(message));
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return PermissionDeniedError(std::move(message));
    case SQLITE_CONSTRAINT:
      return FailedPreconditionError(std::move(message));
    default:
      return InternalError(std::move(message));
  }
}

}  // namespace foretoken
