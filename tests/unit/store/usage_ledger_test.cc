#include "store/usage_ledger.h"

#include <SQLiteCpp/Statement.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "unit/store/store_fixture.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;

class UsageLedgerTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    ASSERT_NO_FATAL_FAILURE(OpenLedger());
  }

  void OpenLedger() {
    auto opened = UsageLedger::Open(path_, StoreFile::kMustExist);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    ledger_ = *std::move(opened);
  }

  int64_t Requests() { return ledger_->Sum({})->front().requests; }

  std::unique_ptr<UsageLedger> ledger_;
};

TEST_F(UsageLedgerTest, ARecordComesBackFieldByField) {
  UsageRecord record = UsageOf("r1", "acme", 2000);
  record.adapter = "tone";
  record.program = "loop";
  record.outcome = "length";
  ASSERT_TRUE(ledger_->Record(record).ok());
  record.id = "r2";
  record.program.reset();
  ASSERT_TRUE(ledger_->Record(record).ok());
  SQLite::Database database(path_);
  SQLite::Statement rows(database, "SELECT * FROM usage ORDER BY id");
  const std::vector<std::string> columns = {"r1",   "acme", "ftk_12345678", "big",    "tone",
                                            "loop", "100",  "40",           "20",     "30",
                                            "10",   "1500", "2000",         "length", "200"};
  ASSERT_TRUE(rows.executeStep());
  ASSERT_EQ(rows.getColumnCount(), static_cast<int>(columns.size()));
  for (int i = 0; i < rows.getColumnCount(); ++i) {
    EXPECT_EQ(rows.getColumn(i).getString(), columns[static_cast<size_t>(i)]) << i;
  }
  ASSERT_TRUE(rows.executeStep());
  EXPECT_TRUE(rows.getColumn(5).isNull());
}

TEST_F(UsageLedgerTest, ARequestIsRecordedOnceAndItsNeighboursAreNotHarmed) {
  ASSERT_TRUE(ledger_->Record(UsageOf("r1", "acme", 1000)).ok());
  std::vector<Status> statuses(3, InternalError("not called"));
  {
    // Held back by another writer, the three are committed together.
    SQLite::Database other(path_, SQLite::OPEN_READWRITE);
    other.exec("BEGIN IMMEDIATE");
    const char* ids[] = {"r2", "r1", "r3"};
    for (size_t i = 0; i < 3; ++i) {
      ledger_->Record(UsageOf(ids[i], "acme", 1000), [&statuses, i](Status s) { statuses[i] = s; });
    }
    other.exec("ROLLBACK");
  }
  ledger_.reset();
  EXPECT_TRUE(statuses[0].ok()) << statuses[0].ToString();
  EXPECT_EQ(statuses[1].code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(statuses[1].message(), HasSubstr("'r1'"));
  EXPECT_TRUE(statuses[2].ok()) << statuses[2].ToString();
  ASSERT_NO_FATAL_FAILURE(OpenLedger());
  EXPECT_EQ(Requests(), 3);
}

TEST_F(UsageLedgerTest, ThoseThatWaitShareOneCommit) {
  constexpr int kRecords = 200;
  std::atomic<int> written = 0;
  {
    SQLite::Database other(path_, SQLite::OPEN_READWRITE);
    other.exec("BEGIN IMMEDIATE");
    for (int i = 0; i < kRecords; ++i) {
      ledger_->Record(UsageOf("r" + std::to_string(i), "acme", 1000), [&written](Status status) {
        EXPECT_TRUE(status.ok()) << status.ToString();
        ++written;
      });
    }
    other.exec("ROLLBACK");
  }
  while (written < kRecords) std::this_thread::yield();
  EXPECT_EQ(Requests(), kRecords);
  // A commit of its own for each would put a page of the table and of each of two indexes in the
  // log every time.
  constexpr uintmax_t kPage = 4096;
  EXPECT_LT(std::filesystem::file_size(path_ + "-wal"), kRecords * kPage);
}

TEST_F(UsageLedgerTest, NothingHandedInIsLostWhenTheLedgerCloses) {
  std::atomic<int> written = 0;
  for (int i = 0; i < 100; ++i) {
    ledger_->Record(UsageOf("r" + std::to_string(i), "acme", 1000), [&written](Status status) {
      if (status.ok()) ++written;
    });
  }
  ledger_.reset();
  EXPECT_EQ(written, 100);
  ASSERT_NO_FATAL_FAILURE(OpenLedger());
  EXPECT_EQ(Requests(), 100);
}

TEST_F(UsageLedgerTest, AFileThatCannotGrowIsAnErrorAndNoRecordIsLostInSilence) {
  ASSERT_TRUE(ledger_->Record(UsageOf("before", "acme", 1000)).ok());
  rlimit unlimited = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  // The log is the file that a record makes grow.
  rlimit limited = unlimited;
  limited.rlim_cur = std::filesystem::file_size(path_ + "-wal");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limited), 0);
  const Status full = ledger_->Record(UsageOf("full", "acme", 1000));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_FALSE(full.ok());
  EXPECT_THAT(full.message(), HasSubstr(path_));
  EXPECT_EQ(Requests(), 1);
  // It may be tried again, and counts once.
  EXPECT_TRUE(ledger_->Record(UsageOf("full", "acme", 1000)).ok());
  EXPECT_EQ(Requests(), 2);
}

TEST_F(UsageLedgerTest, SumsTellApartWhatIsAskedFor) {
  constexpr int64_t kDay = 86'400'000;
  const auto record = [this](const char* id, const char* tenant, const char* model, int64_t at,
                             int http_status) {
    UsageRecord usage = UsageOf(id, tenant, at);
    usage.model = model;
    usage.http_status = http_status;
    ASSERT_TRUE(ledger_->Record(usage).ok());
  };
  record("1", "a", "big", kDay, 200);
  record("2", "a", "small", 2 * kDay - 1, 429);
  record("3", "a", "big", 2 * kDay, 200);
  record("4", "b", "big", 2 * kDay, 500);
  const auto row = [](std::string tenant, std::string day, std::string model, int64_t requests,
                      int64_t failed) {
    return UsageSum{
        std::move(tenant), std::move(day), std::move(model), requests,      failed,
        100 * requests,    40 * requests,  20 * requests,    30 * requests, 10 * requests};
  };
  using Dimension = UsageDimension;
  using Rows = std::vector<UsageSum>;
  EXPECT_EQ(*ledger_->Sum({}), (Rows{row("", "", "", 4, 2)}));
  EXPECT_EQ(*ledger_->Sum({.by = {Dimension::kTenant}}),
            (Rows{row("a", "", "", 3, 1), row("b", "", "", 1, 1)}));
  EXPECT_EQ(*ledger_->Sum({.tenant = "a", .by = {Dimension::kDay}}),
            (Rows{row("", "1970-01-02", "", 2, 1), row("", "1970-01-03", "", 1, 0)}));
  EXPECT_EQ(
      *ledger_->Sum({.by = {Dimension::kModel, Dimension::kTenant}}),
      (Rows{row("a", "", "big", 2, 0), row("b", "", "big", 1, 1), row("a", "", "small", 1, 1)}));
  EXPECT_EQ(*ledger_->Sum({.from_ms = 2 * kDay - 1, .to_ms = 2 * kDay}),
            (Rows{row("", "", "", 1, 1)}));
  EXPECT_EQ(*ledger_->Sum({.tenant = "c"}), (Rows{row("", "", "", 0, 0)}));
  EXPECT_EQ(*ledger_->Sum({.tenant = "c", .by = {Dimension::kTenant}}), Rows{});
}

// Writes records from several threads and names each once it is said to be on the disk.
void RecordForever(const std::string& path, int acknowledged) {
  auto ledger = UsageLedger::Open(path, StoreFile::kMustExist);
  if (!ledger.ok()) _exit(1);
  std::vector<std::thread> threads;
  for (int32_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&ledger, acknowledged, thread] {
      for (int32_t i = 0;; ++i) {
        const int32_t number = i * 4 + thread;
        UsageRecord record;
        record.id = std::to_string(number);
        record.tenant = "acme";
        if (!(*ledger)->Record(std::move(record)).ok()) _exit(2);
        if (write(acknowledged, &number, sizeof number) != sizeof number) _exit(3);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(UsageLedgerTest, AfterAKillEveryAcknowledgedRecordIsThere) {
  ledger_.reset();
  store_.reset();
  for (size_t round = 0; round < 5; ++round) {
    const auto acknowledged = AcknowledgedBeforeKill<int32_t>(
        20 + 7 * round, [this](int pipe_end) { RecordForever(path_, pipe_end); });
    ASSERT_FALSE(acknowledged.empty());
    SQLite::Database database(path_, SQLite::OPEN_READWRITE);
    SQLite::Statement row(database, "SELECT count(*) FROM usage WHERE id = ?");
    for (const int32_t expected : acknowledged) {
      row.reset();
      row.bind(1, std::to_string(expected));
      ASSERT_TRUE(row.executeStep());
      EXPECT_EQ(row.getColumn(0).getInt(), 1) << expected;
    }
    row.reset();
    EXPECT_STREQ(database.execAndGet("PRAGMA integrity_check").getText(), "ok");
    database.exec("DELETE FROM usage");
  }
}

}  // namespace
}  // namespace foretoken
