#include "store/usage_ledger.h"

#include <SQLiteCpp/Statement.h>
#include <sqlite3.h>

#include <future>

#include <fmt/format.h>

#include "base/macros.h"
#include "store/usage_tables.h"

namespace foretoken {
namespace {

// FAILED_PRECONDITION when there is a record of that id; any other failure is thrown.
Status Insert(SQLite::Statement& row, const UsageRecord& record) {
  (void)row.tryReset();  // reports once more why the row before was refused
  row.clearBindings();
  row.bind(1, record.id);
  row.bind(2, record.tenant);
  row.bind(3, record.key_id);
  row.bind(4, record.model);
  row.bind(5, record.adapter);
  if (record.program) row.bind(6, *record.program);
  row.bind(7, record.prompt_tokens);
  row.bind(8, record.cached_tokens);
  row.bind(9, record.completion_tokens);
  row.bind(10, record.drafted_tokens);
  row.bind(11, record.accepted_tokens);
  row.bind(12, record.started_ms);
  row.bind(13, record.finished_ms);
  row.bind(14, record.outcome);
  row.bind(15, record.http_status);
  try {
    row.exec();
    return OkStatus();
  } catch (const SQLite::Exception& error) {
    // Only its own statement is undone then; the transaction goes on.
    if ((error.getErrorCode() & 0xFF) != SQLITE_CONSTRAINT) throw;
    return FailedPreconditionError(
        fmt::format("the usage of request '{}' is recorded already", record.id));
  }
}

}  // namespace

Result<std::unique_ptr<UsageLedger>> UsageLedger::Open(const std::string& path, StoreFile mode) {
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> writer,
                             SqliteDatabase::Open(path, mode));
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> reader,
                             SqliteDatabase::Open(path, StoreFile::kMustExist));
  return std::unique_ptr<UsageLedger>(new UsageLedger(std::move(writer), std::move(reader)));
}

UsageLedger::UsageLedger(std::unique_ptr<SqliteDatabase> writer,
                         std::unique_ptr<SqliteDatabase> reader)
    : writer_(std::move(writer)), reader_(std::move(reader)), thread_([this] { WriteLoop(); }) {}

UsageLedger::~UsageLedger() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
  }
  wake_.NotifyOne();
  thread_.join();
}

void UsageLedger::Record(UsageRecord record, std::function<void(Status)> done) {
  {
    MutexLock lock(mutex_);
    queue_.push_back({std::move(record), std::move(done), OkStatus()});
  }
  wake_.NotifyOne();
}

Status UsageLedger::Record(UsageRecord record) {
  // The callback is the second owner: set_value may still run when get has returned.
  const auto written = std::make_shared<std::promise<Status>>();
  Record(std::move(record), [written](Status status) { written->set_value(std::move(status)); });
  return written->get_future().get();
}

Result<std::vector<UsageSum>> UsageLedger::Sum(const UsageQuery& query) {
  MutexLock lock(reader_mutex_);
  return reader_->Read([&](SQLite::Database& database) -> Result<std::vector<UsageSum>> {
    return ReadUsage(database, query);
  });
}

void UsageLedger::WriteLoop() {
  while (true) {
    std::vector<Entry> entries;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !closing_) wake_.Wait(mutex_);
      if (queue_.empty()) return;
      entries.swap(queue_);
    }
    Commit(entries);
    for (Entry& entry : entries) entry.done(std::move(entry.status));
  }
}

void UsageLedger::Commit(std::vector<Entry>& entries) {
  const Status status = writer_->Write([&](SQLite::Database& database) -> Status {
    SQLite::Statement row(database,
                          "INSERT INTO usage VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (Entry& entry : entries) entry.status = Insert(row, entry.record);
    return OkStatus();
  });
  if (status.ok()) return;
  // Nothing was committed. One that would have failed alone keeps its own reason.
  for (Entry& entry : entries) {
    if (entry.status.ok()) entry.status = status;
  }
}

}  // namespace foretoken
