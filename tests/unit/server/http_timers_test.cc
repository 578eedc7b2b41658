#include "server/http_timers.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <optional>
#include <string>

namespace foretoken {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(DeadlineTest, CallsOnceWhenItsTimeHasCome) {
  asio::io_context io;
  int calls = 0;
  Deadline deadline(io.get_executor(), [&calls] { ++calls; });
  deadline.ArmAfter(milliseconds(1));
  io.run();
  EXPECT_EQ(calls, 1);
  deadline.ArmAfter(milliseconds(1));
  io.restart();
  io.run();
  EXPECT_EQ(calls, 2);
}

TEST(DeadlineTest, IsMovedToAnEarlierAndToALaterMoment) {
  asio::io_context io;
  std::string order;
  Deadline moved(io.get_executor(), [&order] { order += "moved "; });
  Deadline mark(io.get_executor(), [&order] { order += "mark "; });
  moved.ArmAfter(hours(1));
  moved.ArmAfter(milliseconds(1));  // earlier
  mark.ArmAfter(milliseconds(30));
  io.run();
  EXPECT_EQ(order, "moved mark ");
  order.clear();
  moved.ArmAfter(milliseconds(1));
  moved.ArmAfter(milliseconds(60));  // later
  mark.ArmAfter(milliseconds(20));
  io.restart();
  io.run();
  EXPECT_EQ(order, "mark moved ");
}

TEST(DeadlineTest, ADisarmedOrDestroyedOneIsSilent) {
  asio::io_context io;
  int calls = 0;
  std::optional<Deadline> destroyed;
  destroyed.emplace(io.get_executor(), [&calls] { ++calls; });
  destroyed->ArmAfter(milliseconds(1));
  Deadline disarmed(io.get_executor(), [&calls] { ++calls; });
  disarmed.ArmAfter(milliseconds(1));
  disarmed.Disarm();
  destroyed.reset();
  io.run();
  EXPECT_EQ(calls, 0);
}

TEST(DeadlineTest, MayBeArmedAgainByItsOwnCallback) {
  asio::io_context io;
  int calls = 0;
  std::optional<Deadline> deadline;
  deadline.emplace(io.get_executor(), [&] {
    if (++calls < 3) deadline->ArmAfter(milliseconds(1));
  });
  deadline->ArmAfter(milliseconds(1));
  io.run();
  EXPECT_EQ(calls, 3);
}

TEST(StrandEventTest, WakesAllThatWait) {
  asio::io_context io;
  StrandEvent event(io.get_executor());
  bool happened = false;
  int woken = 0;
  for (int i = 0; i < 3; ++i) {
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
          while (!happened) co_await event.Wait();
          ++woken;
        },
        asio::detached);
  }
  io.poll();
  EXPECT_EQ(woken, 0);
  event.NotifyAll();  // nothing has happened: they wait again
  io.poll();
  EXPECT_EQ(woken, 0);
  happened = true;
  event.NotifyAll();
  io.run();
  EXPECT_EQ(woken, 3);
}

}  // namespace
}  // namespace foretoken
