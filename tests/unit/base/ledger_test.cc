#include "base/ledger.h"

#include <gtest/gtest.h>

#include <thread>
#include <utility>
#include <vector>

namespace foretoken {
namespace {

TEST(LedgerTest, ReservationsReturnWhenDropped) {
  Ledger ledger("KV cells", 10);
  {
    auto first = ledger.Reserve(6);
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(ledger.used(), 6);
    auto second = ledger.Reserve(5);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.status().code(), StatusCode::kResourceExhausted);
    EXPECT_EQ(second.status().message(), "KV cells: 5 wanted, 4 of 10 free");
  }
  EXPECT_EQ(ledger.used(), 0);
}

TEST(LedgerTest, MovingKeepsOneOwner) {
  Ledger ledger("ids", 3);
  Reservation kept = std::move(ledger.Reserve(2)).value();
  Reservation moved = std::move(kept);
  EXPECT_EQ(kept.amount(), 0);  // NOLINT(bugprone-use-after-move): the moved-from state is defined
  EXPECT_EQ(moved.amount(), 2);
  EXPECT_EQ(ledger.used(), 2);
  moved = std::move(ledger.Reserve(1)).value();
  EXPECT_EQ(ledger.used(), 1);
  moved.Reset();
  moved.Reset();
  EXPECT_EQ(ledger.used(), 0);
}

TEST(LedgerTest, NegativeAmountsAreRefused) {
  Ledger ledger("ids", 3);
  EXPECT_EQ(ledger.Reserve(-1).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ledger.used(), 0);
}

TEST(LedgerTest, ThreadsNeverExceedTheCapacity) {
  Ledger ledger("cells", 4);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&ledger] {
      for (int i = 0; i < 1000; ++i) {
        auto reservation = ledger.Reserve(3);
        EXPECT_LE(ledger.used(), ledger.capacity());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ledger.used(), 0);
}

}  // namespace
}  // namespace foretoken
