#include "server/wake_signal.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <thread>

namespace foretoken {
namespace {

TEST(WakeSignalTest, ANotificationThatCameBeforeIsKept) {
  asio::io_context io;
  const auto signal = std::make_shared<WakeSignal>(io.get_executor());
  signal->Notify();
  signal->Notify();
  int woken = 0;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        co_await signal->Wait();
        ++woken;
        // Two of them count as one: this is the deadline.
        co_await signal->Wait(std::chrono::steady_clock::now() + std::chrono::milliseconds(5));
        ++woken;
      },
      asio::detached);
  io.run();
  EXPECT_EQ(woken, 2);
}

TEST(WakeSignalTest, EveryNotificationOfAnotherThreadWakes) {
  constexpr int kTimes = 500;
  asio::io_context io;
  const auto signal = std::make_shared<WakeSignal>(io.get_executor());
  std::atomic<int> sent{0};
  std::atomic<int> seen{0};
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        while (seen < kTimes) {
          co_await signal->Wait();
          seen = sent.load();
        }
      },
      asio::detached);
  std::thread notifier([&] {
    for (int i = 0; i < kTimes; ++i) {
      ++sent;
      signal->Notify();
    }
  });
  io.run();
  notifier.join();
  EXPECT_EQ(seen, kTimes);
}

}  // namespace
}  // namespace foretoken
