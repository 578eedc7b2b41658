#include "server/kv_share.h"

#include <gtest/gtest.h>

#include <utility>

namespace foretoken {
namespace {

TEST(KvSharesTest, EachTenantHasItsShareOfEachModel) {
  KvShares shares;
  KvShareLease first = shares.TryTake("a", "m", 60, 100);
  EXPECT_TRUE(first.ok());
  EXPECT_FALSE(shares.TryTake("a", "m", 41, 100).ok());
  const KvShareLease rest = shares.TryTake("a", "m", 40, 100);
  const KvShareLease other_model = shares.TryTake("a", "n", 100, 100);
  const KvShareLease other_tenant = shares.TryTake("b", "m", 100, 100);
  EXPECT_TRUE(rest.ok() && other_model.ok() && other_tenant.ok());
  EXPECT_EQ(shares.used_tokens(), 300);
}

TEST(KvSharesTest, WhatIsDroppedCanBeTakenAgain) {
  KvShares shares;
  {
    KvShareLease lease = shares.TryTake("a", "m", 100, 100);
    KvShareLease moved = std::move(lease);
    EXPECT_FALSE(shares.TryTake("a", "m", 1, 100).ok());
    moved = shares.TryTake("a", "other", 5, 100);  // gives the first back
    EXPECT_TRUE(shares.TryTake("a", "m", 100, 100).ok());
    EXPECT_EQ(shares.used_tokens(), 5);
  }
  EXPECT_EQ(shares.used_tokens(), 0);
}

TEST(KvSharesTest, ALimitThatShrankRefusesUntilThereIsRoom) {
  KvShares shares;
  KvShareLease lease = shares.TryTake("a", "m", 80, 100);
  EXPECT_FALSE(shares.TryTake("a", "m", 1, 50).ok());
  lease = KvShareLease();
  EXPECT_TRUE(shares.TryTake("a", "m", 50, 50).ok());
}

}  // namespace
}  // namespace foretoken
