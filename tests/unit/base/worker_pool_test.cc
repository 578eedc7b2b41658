#include "base/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace foretoken {
namespace {

TEST(WorkerPoolTest, RunsEveryIndexOnce) {
  for (const int32_t threads : {-1, 0, 1, 2, 5}) {
    WorkerPool pool(threads);
    for (const size_t count : {0, 1, 2, 3, 100}) {
      std::vector<std::atomic<int>> runs(count);
      pool.ParallelFor(count, [&](size_t i) { ++runs[i]; });
      for (const auto& n : runs) EXPECT_EQ(n, 1);
    }
  }
}

TEST(WorkerPoolTest, TheLoopIsSharedWithOtherThreads) {
  WorkerPool pool(2);
  // Each of the two bodies waits for the other to have begun: only two threads get past that.
  std::atomic<int> begun{0};
  pool.ParallelFor(2, [&](size_t) {
    ++begun;
    while (begun < 2) std::this_thread::yield();
  });
  EXPECT_EQ(begun, 2);
}

TEST(WorkerPoolTest, NoMoreThreadsThanWereSaid) {
  for (const int32_t threads : {1, 3}) {
    WorkerPool pool(threads);
    std::mutex mutex;
    std::set<std::thread::id> seen;
    for (int round = 0; round < 50; ++round) {
      pool.ParallelFor(8, [&](size_t) {
        const std::lock_guard lock(mutex);
        seen.insert(std::this_thread::get_id());
      });
    }
    EXPECT_LE(seen.size(), static_cast<size_t>(threads));
    EXPECT_TRUE(threads > 1 || seen.contains(std::this_thread::get_id()));
  }
}

TEST(WorkerPoolTest, ReturnsWhenAllIsDone) {
  WorkerPool pool(3);
  for (int round = 0; round < 200; ++round) {
    // Plain memory: who reads it after the loop needs no other synchronisation.
    std::vector<int> done(5);
    pool.ParallelFor(done.size(), [&](size_t i) {
      if (i % 2 == 0) std::this_thread::yield();
      done[i] = 1;
    });
    EXPECT_EQ(done, std::vector<int>(5, 1));
  }
}

TEST(WorkerPoolTest, ManyShortLoopsOneAfterTheOther) {
  WorkerPool pool(3);
  int64_t sum = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<int64_t> squares(7);
    pool.ParallelFor(squares.size(), [&](size_t i) { squares[i] = static_cast<int64_t>(i * i); });
    for (const int64_t square : squares) sum += square;
  }
  EXPECT_EQ(sum, 2000 * 91);
}

TEST(WorkerPoolTest, EndsWithoutEverHavingRunALoop) {
  for (int round = 0; round < 50; ++round) WorkerPool pool(4);
}

}  // namespace
}  // namespace foretoken
