#ifndef FORETOKEN_UNIT_STORE_STORE_FIXTURE_H_
#define FORETOKEN_UNIT_STORE_STORE_FIXTURE_H_

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "store/tenant_store.h"
#include "store/usage_record.h"
#include "testing/temp_directory.h"

namespace foretoken {

// A store in a directory of its own.
class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = TenantStore::Open(path_, StoreFile::kCreateIfMissing);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = *std::move(opened);
  }

  static UsageRecord UsageOf(std::string id, std::string tenant, int64_t finished_ms) {
    return {.id = std::move(id),
            .tenant = std::move(tenant),
            .key_id = "ftk_12345678",
            .model = "big",
            .prompt_tokens = 100,
            .cached_tokens = 40,
            .completion_tokens = 20,
            .drafted_tokens = 30,
            .accepted_tokens = 10,
            .started_ms = finished_ms - 500,
            .finished_ms = finished_ms,
            .outcome = "stop",
            .http_status = 200};
  }

  static std::string BytesOf(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const testing::TempDirectory directory_;
  const std::string path_ = directory_.path() + "/store.db";
  std::unique_ptr<TenantStore> store_;
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_STORE_STORE_FIXTURE_H_
