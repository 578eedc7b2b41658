#ifndef FORETOKEN_STORE_SQLITE_DATABASE_H_
#define FORETOKEN_STORE_SQLITE_DATABASE_H_

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Exception.h>
#include <SQLiteCpp/Transaction.h>

#include <memory>
#include <string>
#include <utility>

#include "foretoken/status.h"

namespace foretoken {

enum class StoreFile {
  kMustExist,
  kCreateIfMissing,  // for its owner alone (mode 0600), and the folders above it (0700)
};

// ${XDG_DATA_HOME:-$HOME/.local/share}/foretoken/foretoken.db; FAILED_PRECONDITION when neither
// variable is set.
Result<std::string> DefaultStorePath();

// A connection to the store's file, which several connections and processes may use at once. What
// SQLite throws ends in Write and Read, as a Status that names the file.
// One thread at a time.
class SqliteDatabase {
 public:
  // Brings the file to the schema of this version. Errors: of the path as the system names them;
  // FAILED_PRECONDITION for the file of a newer Foretoken or of another program; DATA_LOSS for
  // what is no database; UNAVAILABLE when another process holds it for more than five seconds.
  static Result<std::unique_ptr<SqliteDatabase>> Open(const std::string& path, StoreFile mode);

  // Runs `body(SQLite::Database&)`, which returns a Status, as one transaction: what it wrote is
  // on the disk when this returns OK, and nowhere otherwise.
  template <typename Body>
  Status Write(Body&& body) {
    return Guard([&]() -> Status {
      SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
      if (Status status = body(database_); !status.ok()) return status;
      transaction.commit();
      return OkStatus();
    });
  }

  // Runs `body(SQLite::Database&)`, which returns a Status or a Result, on one state of the file.
  template <typename Body>
  auto Read(Body&& body) {
    return Guard([&] {
      const SQLite::Transaction transaction(database_);
      return body(database_);
    });
  }

  // The same without a transaction.
  template <typename Body>
  auto Run(Body&& body) {
    return Guard([&] { return body(database_); });
  }

  const std::string& path() const { return path_; }

 private:
  SqliteDatabase(std::string path, SQLite::Database database)
      : path_(std::move(path)), database_(std::move(database)) {}

  template <typename Body>
  auto Guard(Body&& body) -> decltype(body()) {
    try {
      return body();
    } catch (const SQLite::Exception& error) {
      return StatusOf(path_, error);
    }
  }

  static Status StatusOf(const std::string& path, const SQLite::Exception& error);
  Status Prepare();

  const std::string path_;
  SQLite::Database database_;
};

}  // namespace foretoken

#endif  // FORETOKEN_STORE_SQLITE_DATABASE_H_
