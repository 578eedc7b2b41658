#include "engine/mailbox.h"

#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <vector>

#include "unit/engine/engine_fixture.h"

namespace foretoken {
namespace {

using MailboxClock = Mailbox::Clock;

constexpr MailboxClock::time_point kWithoutEnd = MailboxClock::time_point::max();

class MailboxTest : public EngineStateTest {
 protected:
  // A command that only shows by its number that it arrived.
  bool Post(int number) {
    return mailbox_.Post([this, number](EngineState&) { run_.push_back(number); });
  }
  std::vector<int> Take(std::optional<MailboxClock::time_point> wait_until) {
    run_.clear();
    for (const EngineCommand& command : mailbox_.Take(wait_until)) command(state());
    return run_;
  }

  Mailbox mailbox_;
  std::vector<int> run_;
};

TEST_F(MailboxTest, HandsCommandsOverOnceAndInOrder) {
  EXPECT_TRUE(Post(1) && Post(2) && Post(3));
  EXPECT_EQ(Take(kWithoutEnd), (std::vector{1, 2, 3}));
  EXPECT_TRUE(Take(std::nullopt).empty());
}

TEST_F(MailboxTest, WaitsNoLongerThanItIsTold) {
  EXPECT_TRUE(Take(MailboxClock::now() - std::chrono::hours(1)).empty());
  EXPECT_TRUE(Take(MailboxClock::now() + std::chrono::milliseconds(1)).empty());
}

TEST_F(MailboxTest, ACommandEndsTheWait) {
  std::thread poster([this] { Post(1); });
  EXPECT_EQ(Take(kWithoutEnd), std::vector{1});
  poster.join();
}

TEST_F(MailboxTest, AWakeEndsOneWait) {
  mailbox_.Wake();  // before the wait: not lost
  EXPECT_TRUE(Take(kWithoutEnd).empty());
  std::thread waker([this] { mailbox_.Wake(); });
  EXPECT_TRUE(Take(kWithoutEnd).empty());
  waker.join();
  // Both are used up: the next wait is for the command.
  std::thread poster([this] { Post(1); });
  EXPECT_EQ(Take(kWithoutEnd), std::vector{1});
  poster.join();
}

TEST_F(MailboxTest, AWakeThatCameWithACommandIsUsedUp) {
  mailbox_.Wake();
  Post(1);
  EXPECT_EQ(Take(kWithoutEnd), std::vector{1});
  std::thread poster([this] { Post(2); });
  EXPECT_EQ(Take(kWithoutEnd), std::vector{2});
  poster.join();
}

TEST_F(MailboxTest, ClosingRefusesCommandsAndKeepsThoseBefore) {
  Post(1);
  EXPECT_FALSE(mailbox_.closed());
  mailbox_.Close();
  EXPECT_TRUE(mailbox_.closed());
  EXPECT_FALSE(Post(2));
  EXPECT_EQ(Take(kWithoutEnd), std::vector{1});
  EXPECT_TRUE(Take(kWithoutEnd).empty());  // does not wait for what cannot come
}

TEST_F(MailboxTest, ClosingEndsTheWait) {
  std::thread closer([this] { mailbox_.Close(); });
  EXPECT_TRUE(Take(kWithoutEnd).empty());
  closer.join();
}

TEST_F(MailboxTest, ThreadsMayPostAtOnce) {
  constexpr int kThreads = 4;
  constexpr int kCommands = 500;
  std::vector<std::thread> posters;
  for (int t = 0; t < kThreads; ++t) {
    posters.emplace_back([this, t] {
      for (int i = 0; i < kCommands; ++i) Post(t * kCommands + i);
    });
  }
  std::vector<int> next(kThreads, 0);
  for (int taken = 0; taken < kThreads * kCommands;) {
    for (const int number : Take(kWithoutEnd)) {
      // A thread's commands stay in its order.
      EXPECT_EQ(number % kCommands, next[static_cast<size_t>(number / kCommands)]++);
      ++taken;
    }
  }
  for (std::thread& poster : posters) poster.join();
}

}  // namespace
}  // namespace foretoken
