#include "store/tenant_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "store/usage_ledger.h"
#include "store/utc_time.h"
#include "unit/store/store_fixture.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

class TenantDirectoryTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    ASSERT_TRUE(store_->AddTenant({.name = "acme"}).ok());
    const auto key = store_->AddKey("acme", "", std::nullopt);
    ASSERT_TRUE(key.ok());
    key_ = *key;
  }

  // Looks only when told to, unless the interval is short.
  std::unique_ptr<TenantDirectory> OpenDirectory(std::chrono::milliseconds interval = 1h) {
    auto opened = TenantDirectory::Open({.path = path_,
                                         .poll_interval = interval,
                                         .on_change = [this](const auto&) { ++changes_; },
                                         .utc_ms = [this] { return utc_ms_.load(); }});
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  CreatedKey key_;
  std::atomic<int> changes_ = 0;
  std::atomic<int64_t> utc_ms_ = UtcNowMs();
};

TEST_F(TenantDirectoryTest, AKeySpeaksForItsTenant) {
  const auto directory = OpenDirectory();
  ASSERT_NE(directory, nullptr);
  const auto authenticated = directory->Authenticate(key_.secret);
  ASSERT_TRUE(authenticated.ok()) << authenticated.status().ToString();
  EXPECT_EQ(authenticated->id, key_.record.id);
  EXPECT_EQ(authenticated->tenant->record.name, "acme");
  EXPECT_TRUE(directory->health().ok());
  EXPECT_EQ(changes_, 0);
}

TEST_F(TenantDirectoryTest, WhatIsNoValidKeyIsRefused) {
  const auto directory = OpenDirectory();
  ASSERT_NE(directory, nullptr);
  const auto expect_denied = [&directory](const std::string& key) {
    const auto authenticated = directory->Authenticate(key);
    ASSERT_FALSE(authenticated.ok());
    EXPECT_EQ(authenticated.status().code(), StatusCode::kPermissionDenied);
  };
  expect_denied("");
  expect_denied("sk-something");
  expect_denied(key_.secret + "x");
  expect_denied(key_.secret.substr(1));
  expect_denied(*NewApiKey());
  // The id and the hash, which are in the file, are no key.
  expect_denied(key_.record.id);
  expect_denied(ApiKeyHash(key_.secret));
}

TEST_F(TenantDirectoryTest, TheRightIdWithAnotherSecretIsRefused) {
  SQLite::Database database(path_, SQLite::OPEN_READWRITE);
  database.exec("UPDATE keys SET secret_sha256 = '" + ApiKeyHash("another") + "'");
  const auto directory = OpenDirectory();
  ASSERT_NE(directory, nullptr);
  EXPECT_EQ(directory->Authenticate(key_.secret).status(),
            PermissionDeniedError("the key is not valid"));
}

TEST_F(TenantDirectoryTest, AKeyEndsWhenItExpires) {
  const auto expiring = store_->AddKey("acme", "", utc_ms_ + kDayMs);
  ASSERT_TRUE(expiring.ok());
  const auto directory = OpenDirectory();
  ASSERT_NE(directory, nullptr);
  utc_ms_ = *expiring->record.expires_ms - 1;
  EXPECT_TRUE(directory->Authenticate(expiring->secret).ok());
  utc_ms_ = *expiring->record.expires_ms;
  const auto expired = directory->Authenticate(expiring->secret);
  EXPECT_EQ(expired.status().code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(expired.status().message(), HasSubstr("expired"));
  EXPECT_TRUE(directory->Authenticate(key_.secret).ok());
}

TEST_F(TenantDirectoryTest, ARevokedKeyIsRefusedWithoutBeingTold) {
  const auto directory = OpenDirectory(/*interval=*/5ms);
  ASSERT_NE(directory, nullptr);
  EXPECT_TRUE(directory->Authenticate(key_.secret).ok());
  ASSERT_TRUE(store_->RevokeKey(key_.record.id).ok());
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (directory->Authenticate(key_.secret).ok()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "never noticed";
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_THAT(directory->Authenticate(key_.secret).status().message(), HasSubstr("revoked"));
  EXPECT_EQ(changes_, 1);
}

TEST_F(TenantDirectoryTest, ChangesAreInForceAfterAReload) {
  const auto directory = OpenDirectory();
  ASSERT_NE(directory, nullptr);
  ASSERT_TRUE(store_->AddTenant({.name = "new"}).ok());
  const auto key = store_->AddKey("new", "", std::nullopt);
  ASSERT_TRUE(key.ok());
  EXPECT_FALSE(directory->Authenticate(key->secret).ok());
  ASSERT_TRUE(directory->Reload().ok());
  EXPECT_TRUE(directory->Authenticate(key->secret).ok());
  EXPECT_EQ(changes_, 1);
  const auto old_snapshot = directory->snapshot();
  ASSERT_TRUE(store_->DeleteTenant("new", true).ok());
  ASSERT_TRUE(directory->Reload().ok());
  EXPECT_FALSE(directory->Authenticate(key->secret).ok());
  EXPECT_EQ(directory->snapshot()->tenants.count("new"), 0u);
  EXPECT_EQ(old_snapshot->tenants.count("new"), 1u);  // who holds it goes on with it
  EXPECT_EQ(changes_, 2);
}

TEST_F(TenantDirectoryTest, UsageIsNoChangeOfTheDirectory) {
  const auto directory = OpenDirectory();
  ASSERT_NE(directory, nullptr);
  const auto snapshot = directory->snapshot();
  const auto ledger = UsageLedger::Open(path_, StoreFile::kMustExist);
  ASSERT_TRUE(ledger.ok());
  ASSERT_TRUE((*ledger)->Record(UsageOf("1", "acme", 1000)).ok());
  ASSERT_TRUE(directory->Reload().ok());
  EXPECT_EQ(directory->snapshot(), snapshot);
  EXPECT_EQ(changes_, 0);
}

TEST_F(TenantDirectoryTest, ADisabledTenantIsToldFromAWrongKey) {
  const auto directory = OpenDirectory();
  ASSERT_NE(directory, nullptr);
  ASSERT_TRUE(store_
                  ->UpdateTenant("acme",
                                 [](TenantRecord& tenant) {
                                   tenant.enabled = false;
                                   return OkStatus();
                                 })
                  .ok());
  ASSERT_TRUE(directory->Reload().ok());
  EXPECT_EQ(directory->Authenticate(key_.secret).status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(TenantDirectoryTest, AStoreThatCannotBeReadLeavesWhatWasKnown) {
  const auto directory = OpenDirectory();
  ASSERT_NE(directory, nullptr);
  SQLite::Database database(path_, SQLite::OPEN_READWRITE);
  database.exec("UPDATE tenants SET settings = '{'");
  EXPECT_EQ(directory->Reload().code(), StatusCode::kDataLoss);
  EXPECT_EQ(directory->health().code(), StatusCode::kDataLoss);
  EXPECT_TRUE(directory->Authenticate(key_.secret).ok());
  database.exec("UPDATE tenants SET settings = '{\"weight\": 3}'");
  EXPECT_TRUE(directory->Reload().ok());
  EXPECT_TRUE(directory->health().ok());
  EXPECT_EQ(directory->snapshot()->tenants.find("acme")->second->record.weight, 3);
}

TEST_F(TenantDirectoryTest, AQuotaLivesOnWhenItsTenantChanges) {
  const auto directory = OpenDirectory();
  ASSERT_NE(directory, nullptr);
  const auto quota = directory->snapshot()->tenants.find("acme")->second->quota;
  EXPECT_EQ(quota->Levels().tokens, std::nullopt);
  ASSERT_TRUE(store_
                  ->UpdateTenant("acme",
                                 [](TenantRecord& tenant) {
                                   tenant.quota.tokens_per_minute = 500;
                                   return OkStatus();
                                 })
                  .ok());
  ASSERT_TRUE(directory->Reload().ok());
  EXPECT_EQ(directory->snapshot()->tenants.find("acme")->second->quota, quota);
  EXPECT_EQ(quota->Levels().tokens->limit, 500);
  // One that is added anew under the name is another one.
  ASSERT_TRUE(store_->DeleteTenant("acme", true).ok());
  std::this_thread::sleep_for(2ms);  // another created_ms
  ASSERT_TRUE(store_->AddTenant({.name = "acme"}).ok());
  ASSERT_TRUE(directory->Reload().ok());
  EXPECT_NE(directory->snapshot()->tenants.find("acme")->second->quota, quota);
}

TEST_F(TenantDirectoryTest, ARestartForgetsNoQuota) {
  ASSERT_TRUE(store_
                  ->UpdateTenant("acme",
                                 [](TenantRecord& tenant) {
                                   tenant.quota = {.requests_per_minute = 10,
                                                   .tokens_per_minute = 1000,
                                                   .tokens_per_day = 400};
                                   return OkStatus();
                                 })
                  .ok());
  utc_ms_ = *ParseUtc("2026-11-24T10:00:00Z");
  {
    const auto ledger = UsageLedger::Open(path_, StoreFile::kMustExist);
    ASSERT_TRUE(ledger.ok());
    // 120 tokens each: of yesterday, of today, of the last minute twice, of another tenant.
    ASSERT_TRUE((*ledger)->Record(UsageOf("1", "acme", *ParseUtc("2026-11-23T23:59:59Z"))).ok());
    ASSERT_TRUE((*ledger)->Record(UsageOf("2", "acme", *ParseUtc("2026-11-24T00:00:00Z"))).ok());
    ASSERT_TRUE((*ledger)->Record(UsageOf("3", "acme", utc_ms_ - 59'000)).ok());
    ASSERT_TRUE((*ledger)->Record(UsageOf("4", "acme", utc_ms_ - 1)).ok());
    ASSERT_TRUE((*ledger)->Record(UsageOf("5", "other", utc_ms_ - 1)).ok());
  }
  const auto directory = OpenDirectory();
  ASSERT_NE(directory, nullptr);
  const auto quota = directory->snapshot()->tenants.find("acme")->second->quota;
  EXPECT_EQ(quota->Levels().requests->remaining, 8);
  EXPECT_EQ(quota->Levels().tokens->remaining, 760);
  QuotaTicket too_much = quota->Enqueue(41);
  EXPECT_EQ(too_much.TryReserve().status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(too_much.refused_by(), "tokens_per_day");
}

TEST_F(TenantDirectoryTest, TheLastUseOfAKeyIsWrittenByTheEnd) {
  const auto unused = store_->AddKey("acme", "unused", std::nullopt);
  ASSERT_TRUE(unused.ok());
  {
    const auto directory = OpenDirectory();
    ASSERT_NE(directory, nullptr);
    EXPECT_TRUE(directory->Authenticate(key_.secret).ok());
    utc_ms_ += 5;
    EXPECT_TRUE(directory->Authenticate(key_.secret).ok());
    EXPECT_FALSE(directory->Authenticate(*NewApiKey()).ok());
    EXPECT_EQ(store_->ListKeys()->front().last_used_ms, std::nullopt);  // not at once
  }
  const auto keys = store_->ListKeys();
  ASSERT_TRUE(keys.ok());
  for (const KeyRecord& key : *keys) {
    EXPECT_EQ(key.last_used_ms,
              key.id == key_.record.id ? std::optional(utc_ms_.load()) : std::nullopt);
  }
}

TEST_F(TenantDirectoryTest, ReadersSeeWholeSnapshotsWhileOthersReload) {
  const auto directory = OpenDirectory(/*interval=*/1ms);
  ASSERT_NE(directory, nullptr);
  std::atomic<bool> stop = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const auto authenticated = directory->Authenticate(key_.secret);
        ASSERT_TRUE(authenticated.ok());
        const TenantRecord& record = authenticated->tenant->record;
        ASSERT_EQ(record.max_prompt_tokens, record.max_completion_tokens);
      }
    });
  }
  for (int64_t i = 1; i <= 50; ++i) {
    ASSERT_TRUE(store_
                    ->UpdateTenant("acme",
                                   [i](TenantRecord& tenant) {
                                     tenant.max_prompt_tokens = i;
                                     tenant.max_completion_tokens = i;
                                     return OkStatus();
                                   })
                    .ok());
    ASSERT_TRUE(directory->Reload().ok());
    EXPECT_EQ(directory->snapshot()->tenants.find("acme")->second->record.max_prompt_tokens, i);
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace foretoken
