#include "fetch/file_lock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "unit/fetch/temporary_directory.h"

namespace foretoken {
namespace {

TEST(FileLockTest, TheFileLivesAsLongAsTheLock) {
  TemporaryDirectory directory;
  {
    auto lock = FileLock::Acquire(directory.Path("lock"), "waiting", {});
    ASSERT_TRUE(lock.ok()) << lock.status().ToString();
    EXPECT_TRUE(directory.Has("lock"));
  }
  EXPECT_FALSE(directory.Has("lock"));
}

TEST(FileLockTest, ASecondOneWaitsAndCanBeCancelled) {
  TemporaryDirectory directory;
  auto held = FileLock::Acquire(directory.Path("lock"), "waiting", {});
  ASSERT_TRUE(held.ok());
  std::vector<std::string> notices;
  FetchObserver observer;
  observer.notice = [&](const std::string& line) { notices.push_back(line); };
  int asked = 0;
  observer.cancelled = [&] { return ++asked == 3; };
  EXPECT_EQ(FileLock::Acquire(directory.Path("lock"), "waiting", observer).status().code(),
            StatusCode::kCancelled);
  EXPECT_EQ(notices, std::vector<std::string>{"waiting"});
}

TEST(FileLockTest, OneAtATime) {
  TemporaryDirectory directory;
  std::atomic<int> inside{0};
  std::atomic<int> total{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 3; ++round) {
        auto lock = FileLock::Acquire(directory.Path("lock"), "waiting", {});
        ASSERT_TRUE(lock.ok());
        EXPECT_EQ(++inside, 1);
        std::this_thread::yield();
        ++total;
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, 12);
}

TEST(FileLockTest, APlaceThatCannotHoldItIsNamed) {
  const Status status = FileLock::Acquire("/no/such/directory/lock", "waiting", {}).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_NE(status.message().find("/no/such/directory/lock"), std::string::npos);
}

}  // namespace
}  // namespace foretoken
