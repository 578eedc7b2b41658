#include "store/usage_tables.h"

#include <gtest/gtest.h>

#include "unit/store/store_fixture.h"

namespace foretoken {
namespace {

using UsageTablesTest = StoreTest;

TEST_F(UsageTablesTest, ATenantsNameIsAValueAndNeverSql) {
  SQLite::Database database(path_);
  const std::vector<UsageSum> sums =
      ReadUsage(database, {.tenant = "x' OR 1=1 --", .by = {UsageDimension::kTenant}});
  EXPECT_TRUE(sums.empty());
}

TEST_F(UsageTablesTest, NoRowsAddUpToNothing) {
  SQLite::Database database(path_);
  EXPECT_EQ(ReadUsage(database, {}), std::vector<UsageSum>{UsageSum{}});
}

}  // namespace
}  // namespace foretoken
