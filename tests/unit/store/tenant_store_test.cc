#include "store/tenant_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "store/usage_ledger.h"
#include "store/utc_time.h"
#include "unit/store/store_fixture.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using TenantStoreTest = StoreTest;

TEST_F(TenantStoreTest, ATenantComesBackAsItWasAdded) {
  TenantRecord tenant{.name = "acme", .target = "big", .draft_model = "", .weight = 2};
  const int64_t before_ms = UtcNowMs();
  ASSERT_TRUE(store_->AddTenant(tenant).ok());
  const auto found = store_->ListTenants("acme");
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->size(), 1u);
  tenant.created_ms = found->front().created_ms;
  EXPECT_EQ(found->front(), tenant);
  EXPECT_GE(tenant.created_ms, before_ms);
  EXPECT_LE(tenant.created_ms, UtcNowMs());
  // Also for who opens the file later.
  const auto again = TenantStore::Open(path_, StoreFile::kMustExist);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*(*again)->ListTenants("acme"), *found);
}

TEST_F(TenantStoreTest, ANameIsTakenOnce) {
  ASSERT_TRUE(store_->AddTenant({.name = "acme", .weight = 2}).ok());
  const Status twice = store_->AddTenant({.name = "acme"});
  EXPECT_EQ(twice.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(twice.message(), HasSubstr("'acme'"));
  EXPECT_EQ(store_->ListTenants()->front().weight, 2);
  EXPECT_EQ(store_->AddTenant({.name = "Acme"}).code(), StatusCode::kInvalidArgument);
}

TEST_F(TenantStoreTest, TenantsAreListedByName) {
  for (const char* name : {"c", "a", "b"}) ASSERT_TRUE(store_->AddTenant({.name = name}).ok());
  std::vector<std::string> names;
  const auto tenants = store_->ListTenants();
  ASSERT_TRUE(tenants.ok());
  for (const TenantRecord& tenant : *tenants) names.push_back(tenant.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(store_->ListTenants("d").status().code(), StatusCode::kNotFound);
}

TEST_F(TenantStoreTest, AChangeThatIsRefusedChangesNothing) {
  ASSERT_TRUE(store_->AddTenant({.name = "acme"}).ok());
  const auto change_to = [](double weight) {
    return [weight](TenantRecord& tenant) {
      tenant.weight = weight;
      return OkStatus();
    };
  };
  EXPECT_TRUE(store_->UpdateTenant("acme", change_to(5)).ok());
  EXPECT_EQ(store_->UpdateTenant("acme", change_to(-1)).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->UpdateTenant("acme",
                                 [](TenantRecord& tenant) {
                                   tenant.weight = 7;
                                   return InternalError("no");
                                 }),
            InternalError("no"));
  EXPECT_EQ(store_->UpdateTenant("other", change_to(5)).code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->UpdateTenant("", change_to(5)).code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->ListTenants("acme")->front().weight, 5);
}

TEST_F(TenantStoreTest, ChangesOfSeveralProcessesAreNotLost) {
  ASSERT_TRUE(store_->AddTenant({.name = "acme"}).ok());
  constexpr int kThreads = 4;
  constexpr int kChanges = 10;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this] {
      const auto store = TenantStore::Open(path_, StoreFile::kMustExist);
      ASSERT_TRUE(store.ok());
      for (int change = 0; change < kChanges; ++change) {
        const Status status = (*store)->UpdateTenant("acme", [](TenantRecord& tenant) {
          ++tenant.max_prompt_tokens;
          return OkStatus();
        });
        ASSERT_TRUE(status.ok()) << status.ToString();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_->ListTenants("acme")->front().max_prompt_tokens, kThreads * kChanges);
}

TEST_F(TenantStoreTest, AKeysSecretIsNotInTheFile) {
  ASSERT_TRUE(store_->AddTenant({.name = "acme"}).ok());
  const auto key = store_->AddKey("acme", "laptop", std::nullopt);
  ASSERT_TRUE(key.ok()) << key.status().ToString();
  EXPECT_EQ(key->record.id, *ApiKeyId(key->secret));
  EXPECT_EQ(key->record.tenant, "acme");
  const std::string bytes = BytesOf(path_) + BytesOf(path_ + "-wal");
  EXPECT_THAT(bytes, HasSubstr(key->record.id));
  EXPECT_THAT(bytes, HasSubstr(ApiKeyHash(key->secret)));
  EXPECT_THAT(bytes, Not(HasSubstr(key->secret.substr(kApiKeyIdBytes))));
}

TEST_F(TenantStoreTest, KeysAreListedWithWhatIsKnownOfThem) {
  for (const char* name : {"a", "b"}) ASSERT_TRUE(store_->AddTenant({.name = name}).ok());
  const int64_t expires_ms = UtcNowMs() + kDayMs;
  const auto b = store_->AddKey("b", "", std::nullopt);
  const auto a = store_->AddKey("a", "night job", expires_ms);
  ASSERT_TRUE(a.ok() && b.ok());
  const auto all = store_->ListKeys();
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ(all->at(0).id, a->record.id);
  EXPECT_EQ(all->at(0).label, "night job");
  EXPECT_EQ(all->at(0).expires_ms, expires_ms);
  EXPECT_EQ(all->at(0).created_ms, a->record.created_ms);
  EXPECT_EQ(all->at(0).revoked_ms, std::nullopt);
  EXPECT_EQ(all->at(0).last_used_ms, std::nullopt);
  EXPECT_EQ(all->at(1).id, b->record.id);
  EXPECT_EQ(all->at(1).expires_ms, std::nullopt);
  EXPECT_EQ(store_->ListKeys("b")->size(), 1u);
  EXPECT_EQ(store_->ListKeys("c").status().code(), StatusCode::kNotFound);
}

TEST_F(TenantStoreTest, KeysForNobodyOrOfThePastAreRefused) {
  ASSERT_TRUE(store_->AddTenant({.name = "acme"}).ok());
  EXPECT_EQ(store_->AddKey("other", "", std::nullopt).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store_->AddKey("acme", "a\nb", std::nullopt).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->AddKey("acme", "", UtcNowMs() - 1).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_TRUE(store_->ListKeys()->empty());
}

TEST_F(TenantStoreTest, ARevokedKeyKeepsTheTimeOfTheFirstTime) {
  ASSERT_TRUE(store_->AddTenant({.name = "acme"}).ok());
  const auto key = store_->AddKey("acme", "", std::nullopt);
  ASSERT_TRUE(key.ok());
  ASSERT_TRUE(store_->RevokeKey(key->record.id).ok());
  const auto first = store_->ListKeys()->front().revoked_ms;
  ASSERT_TRUE(first.has_value());
  EXPECT_GE(*first, key->record.created_ms);
  ASSERT_TRUE(store_->RevokeKey(key->record.id).ok());
  EXPECT_EQ(store_->ListKeys()->front().revoked_ms, first);
  EXPECT_EQ(store_->RevokeKey("ftk_nothing0").code(), StatusCode::kNotFound);
}

TEST_F(TenantStoreTest, OffboardingDeletesEverythingOfOneTenantAndCountsIt) {
  for (const char* name : {"gone", "stays"}) {
    ASSERT_TRUE(store_->AddTenant({.name = name}).ok());
    ASSERT_TRUE(store_->AddKey(name, "label-of-" + std::string(name), std::nullopt).ok());
    ASSERT_TRUE(store_->AddKey(name, "", std::nullopt).ok());
  }
  {
    const auto ledger = UsageLedger::Open(path_, StoreFile::kMustExist);
    ASSERT_TRUE(ledger.ok());
    for (const char* id : {"1", "2", "3"}) {
      ASSERT_TRUE((*ledger)->Record(UsageOf(std::string("gone-") + id, "gone", 1000)).ok());
    }
    ASSERT_TRUE((*ledger)->Record(UsageOf("stays-1", "stays", 1000)).ok());
  }
  const auto deletion = store_->DeleteTenant("gone", /*usage_too=*/true);
  ASSERT_TRUE(deletion.ok()) << deletion.status().ToString();
  EXPECT_TRUE(deletion->tenant);
  EXPECT_EQ(deletion->keys, 2);
  EXPECT_EQ(deletion->usage_records, 3);
  EXPECT_TRUE(deletion->log_emptied);
  // Not a byte of it is left in any file of the store.
  const std::string bytes = BytesOf(path_) + BytesOf(path_ + "-wal");
  EXPECT_THAT(bytes, Not(HasSubstr("gone")));
  EXPECT_THAT(bytes, HasSubstr("label-of-stays"));
  EXPECT_EQ(store_->ListKeys()->size(), 2u);
  EXPECT_EQ(store_->ListTenants()->size(), 1u);
  EXPECT_EQ(store_->DeleteTenant("gone", true).status().code(), StatusCode::kNotFound);
}

TEST_F(TenantStoreTest, UsageMayOutliveItsTenantAndBeDeletedLater) {
  ASSERT_TRUE(store_->AddTenant({.name = "gone"}).ok());
  const auto ledger = UsageLedger::Open(path_, StoreFile::kMustExist);
  ASSERT_TRUE(ledger.ok());
  ASSERT_TRUE((*ledger)->Record(UsageOf("1", "gone", 1000)).ok());
  const auto kept = store_->DeleteTenant("gone", /*usage_too=*/false);
  ASSERT_TRUE(kept.ok());
  EXPECT_TRUE(kept->tenant);
  EXPECT_EQ(kept->usage_records, 0);
  EXPECT_EQ((*ledger)->Sum({})->front().requests, 1);
  EXPECT_EQ(store_->DeleteTenant("gone", false).status().code(), StatusCode::kNotFound);
  const auto rest = store_->DeleteTenant("gone", /*usage_too=*/true);
  ASSERT_TRUE(rest.ok());
  EXPECT_FALSE(rest->tenant);
  EXPECT_EQ(rest->usage_records, 1);
  EXPECT_EQ((*ledger)->Sum({})->front().requests, 0);
}

struct KeyMessage {
  std::array<char, kApiKeyIdBytes> id;
};

TEST_F(TenantStoreTest, AfterAKillEveryAcknowledgedChangeIsThere) {
  ASSERT_TRUE(store_->AddTenant({.name = "acme"}).ok());
  store_.reset();
  // Makes keys and revokes each; each of the two is a change of its own.
  const auto messages = AcknowledgedBeforeKill<KeyMessage>(10, [this](int pipe_end) {
    const auto store = TenantStore::Open(path_, StoreFile::kMustExist);
    while (store.ok()) {
      const auto key = (*store)->AddKey("acme", "", std::nullopt);
      if (!key.ok() || !(*store)->RevokeKey(key->record.id).ok()) return;
      KeyMessage message;
      std::copy(key->record.id.begin(), key->record.id.end(), message.id.begin());
      if (write(pipe_end, &message, sizeof message) != sizeof message) return;
    }
  });
  ASSERT_GE(messages.size(), 10u);
  std::map<std::string, bool> revoked;
  const auto store = TenantStore::Open(path_, StoreFile::kMustExist);
  ASSERT_TRUE(store.ok());
  const auto keys = (*store)->ListKeys();
  ASSERT_TRUE(keys.ok());
  for (const KeyRecord& key : *keys) revoked[key.id] = key.revoked_ms.has_value();
  for (const KeyMessage& message : messages) {
    const std::string id(message.id.begin(), message.id.end());
    EXPECT_TRUE(revoked[id]) << id;
  }
}

}  // namespace
}  // namespace foretoken
