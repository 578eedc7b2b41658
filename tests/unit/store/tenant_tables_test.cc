#include "store/tenant_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/store/store_fixture.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;

using TenantTablesTest = StoreTest;

TEST_F(TenantTablesTest, SettingsThatCannotBeReadNameTheirTenant) {
  ASSERT_TRUE(store_->AddTenant({.name = "acme"}).ok());
  ASSERT_TRUE(store_->AddTenant({.name = "broken"}).ok());
  SQLite::Database database(path_, SQLite::OPEN_READWRITE);
  database.exec("UPDATE tenants SET settings = '{\"weight\": \"x\"}' WHERE name = 'broken'");
  const auto tenants = ReadTenants(database, "");
  ASSERT_FALSE(tenants.ok());
  EXPECT_EQ(tenants.status().code(), StatusCode::kDataLoss);
  EXPECT_THAT(tenants.status().message(), HasSubstr("'broken'"));
  EXPECT_TRUE(ReadTenants(database, "acme").ok());
}

TEST_F(TenantTablesTest, AKeyHasItsHashAndItsLastUse) {
  ASSERT_TRUE(store_->AddTenant({.name = "acme"}).ok());
  const auto key = store_->AddKey("acme", "x", std::nullopt);
  ASSERT_TRUE(key.ok());
  SQLite::Database database(path_, SQLite::OPEN_READWRITE);
  database.exec("INSERT INTO key_uses SELECT id, 1234 FROM keys");
  const std::vector<StoredKey> keys = ReadKeys(database, "acme");
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(keys[0].secret_sha256, ApiKeyHash(key->secret));
  EXPECT_EQ(keys[0].record.last_used_ms, 1234);
  EXPECT_TRUE(ReadKeys(database, "other").empty());
}

}  // namespace
}  // namespace foretoken
