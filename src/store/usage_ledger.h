#ifndef FORETOKEN_STORE_USAGE_LEDGER_H_
#define FORETOKEN_STORE_USAGE_LEDGER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "foretoken/status.h"
#include "store/sqlite_database.h"
#include "store/usage_record.h"

namespace foretoken {

// What every request used, each exactly once. A thread of its own writes: all that wait are
// committed together, so that a disk's flush is shared by as many requests as came in one.
// Any thread may call it. On destruction what was handed in is written first.
class UsageLedger {
 public:
  static Result<std::unique_ptr<UsageLedger>> Open(const std::string& path, StoreFile mode);
  ~UsageLedger();
  UsageLedger(const UsageLedger&) = delete;
  UsageLedger& operator=(const UsageLedger&) = delete;

  // Calls `done` on the writer's thread, which it must not hold up: with OK when the record is on
  // the disk, else with why it is not: FAILED_PRECONDITION for an id that is there already,
  // RESOURCE_EXHAUSTED for a full disk, UNAVAILABLE when another process keeps the file locked.
  void Record(UsageRecord record, std::function<void(Status)> done);
  // The same, waiting for it.
  Status Record(UsageRecord record);

  // In the order of what the query tells apart. Reads what is committed; waits for the disk.
  Result<std::vector<UsageSum>> Sum(const UsageQuery& query);

 private:
  struct Entry {
    UsageRecord record;
    std::function<void(Status)> done;
    Status status;
  };

  UsageLedger(std::unique_ptr<SqliteDatabase> writer, std::unique_ptr<SqliteDatabase> reader);
  void WriteLoop();
  void Commit(std::vector<Entry>& entries);

  const std::unique_ptr<SqliteDatabase> writer_;  // the writer thread's
  Mutex reader_mutex_;
  const std::unique_ptr<SqliteDatabase> reader_ FORETOKEN_GUARDED_BY(reader_mutex_);

  Mutex mutex_;
  CondVar wake_;
  std::vector<Entry> queue_ FORETOKEN_GUARDED_BY(mutex_);
  bool closing_ FORETOKEN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace foretoken

#endif  // FORETOKEN_STORE_USAGE_LEDGER_H_
