#ifndef FORETOKEN_UNIT_STORE_STORE_FIXTURE_H_
#define FORETOKEN_UNIT_STORE_STORE_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/tenant_store.h"
#include "store/usage_record.h"
#include "testing/temp_directory.h"

namespace foretoken {

// Runs `child(pipe_end)` in a process of its own, which writes a Message for everything it was told
// is done; kills it after that many of them, and returns all that came. No thread may run
// here, and no connection to the store be open: SQLite's state of its locks would be copied.
template <typename Message, typename Child>
std::vector<Message> AcknowledgedBeforeKill(size_t count, const Child& child) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(pipe(ends), 0);
  const pid_t process = fork();
  if (process == 0) {
    child(ends[1]);
    _exit(4);
  }
  close(ends[1]);
  std::vector<Message> messages;
  Message message;
  while (read(ends[0], &message, sizeof message) == sizeof message) {
    messages.push_back(message);
    if (messages.size() == count) {
      EXPECT_EQ(kill(process, SIGKILL), 0);
    }
  }
  close(ends[0]);
  int state = 0;
  EXPECT_EQ(waitpid(process, &state, 0), process);
  EXPECT_TRUE(WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL) << state;
  return messages;
}

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
