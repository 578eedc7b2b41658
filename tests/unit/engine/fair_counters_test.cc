#include "engine/fair_counters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace foretoken {
namespace {

constexpr TenantKey kA{1};
constexpr TenantKey kB{2};
constexpr TenantKey kC{3};

// Serves the least of `keys` again and again, at most 20 tokens at a time; returns what each got.
std::map<TenantKey, int64_t> Serve(FairCounters& counters, const std::vector<TenantKey>& keys,
                                   int64_t total_tokens) {
  std::mt19937_64 random(7);
  std::map<TenantKey, int64_t> served;
  for (int64_t given = 0; given < total_tokens;) {
    const TenantKey key = counters.Least(keys);
    const int64_t tokens = std::uniform_int_distribution<int64_t>(1, 20)(random);
    counters.Charge(key, tokens);
    served[key] += tokens;
    given += tokens;
  }
  return served;
}

TEST(FairCountersTest, BackloggedTenantsAreServedByWeightOneByOne) {
  FairCounters counters;
  counters.Join(kA, 1);
  counters.Join(kB, 3);
  counters.Join(kC, 0.5);
  auto served = Serve(counters, {kA, kB, kC}, 90000);
  EXPECT_NEAR(static_cast<double>(served[kB]) / static_cast<double>(served[kA]), 3, 0.03);
  EXPECT_NEAR(static_cast<double>(served[kC]) / static_cast<double>(served[kA]), 0.5, 0.005);
}

// The engine's way: a step serves everyone who is not ahead, and a flood of sequences takes more
// of a step than one sequence.
TEST(FairCountersTest, BackloggedTenantsAreServedByWeightInSteps) {
  FairCounters counters;
  counters.Join(kA, 1);
  counters.Join(kB, 3);
  std::map<TenantKey, int64_t> served;
  for (int step = 0; step < 20000; ++step) {
    std::vector<TenantKey> in_step;
    for (const TenantKey key : {kA, kB}) {
      if (!counters.IsAhead(key, 16)) in_step.push_back(key);
    }
    ASSERT_FALSE(in_step.empty());  // work conserving
    for (const TenantKey key : in_step) {
      const int64_t tokens = key == kA ? 32 : 4;
      counters.Charge(key, tokens);
      served[key] += tokens;
    }
  }
  EXPECT_NEAR(static_cast<double>(served[kB]) / static_cast<double>(served[kA]), 3, 0.03);
}

TEST(FairCountersTest, ATenantAloneIsNeverAhead) {
  FairCounters counters;
  counters.Join(kA, 0.01);
  for (int step = 0; step < 100; ++step) {
    EXPECT_FALSE(counters.IsAhead(kA, 0));
    EXPECT_EQ(counters.Least(std::vector{kA}), kA);
    counters.Charge(kA, 1000);
  }
}

TEST(FairCountersTest, IdlingBanksNoCredit) {
  for (const bool someone_works_meanwhile : {true, false}) {
    FairCounters counters;
    counters.Join(kA, 1);
    counters.Join(kB, 1);
    Serve(counters, {kA, kB}, 1000);
    counters.Leave(kB);
    Serve(counters, {kA}, 50000);
    if (!someone_works_meanwhile) counters.Leave(kA);
    counters.Join(kB, 1);
    counters.Join(kC, 1);  // new: no credit either
    counters.Join(kA, 1);
    EXPECT_DOUBLE_EQ(counters.Counter(kB), counters.Counter(kA));
    EXPECT_DOUBLE_EQ(counters.Counter(kC), counters.Counter(kA));
    auto served = Serve(counters, {kA, kB, kC}, 30000);
    EXPECT_NEAR(static_cast<double>(served[kB]), 10000, 20);
    EXPECT_NEAR(static_cast<double>(served[kC]), 10000, 20);
  }
}

TEST(FairCountersTest, LeavingAndComingBackShedsNoDebt) {
  FairCounters counters;
  counters.Join(kA, 1);
  counters.Join(kB, 1);
  counters.Charge(kB, 500);
  std::map<TenantKey, int64_t> served;
  for (int step = 0; step < 20000; ++step) {
    const TenantKey key = counters.Least(std::vector{kA, kB});
    const int64_t tokens = key == kB ? 100 : 10;
    counters.Charge(key, tokens);
    served[key] += tokens;
    counters.Leave(kB);  // its request is over; the next one comes at once
    counters.Join(kB, 1);
  }
  EXPECT_NEAR(static_cast<double>(served[kB]) + 500, static_cast<double>(served[kA]), 100);
}

TEST(FairCountersTest, DebtIsForgottenOnceTheOthersCaughtUp) {
  FairCounters counters;
  counters.Join(kA, 1);
  counters.Join(kB, 1);
  counters.Charge(kB, 500);
  counters.Leave(kB);
  EXPECT_EQ(counters.size(), 2U);
  counters.Charge(kA, 499);
  EXPECT_DOUBLE_EQ(counters.Counter(kB), 500);
  counters.Charge(kA, 1);
  EXPECT_EQ(counters.size(), 1U);
  counters.Charge(kA, 100);
  EXPECT_DOUBLE_EQ(counters.Counter(kB), 600);  // where it would join
}

TEST(FairCountersTest, WaitingNeitherLosesNorGains) {
  FairCounters counters;
  counters.Join(kA, 1);
  counters.Join(kB, 2);
  counters.Charge(kA, 100);
  EXPECT_TRUE(counters.IsAhead(kA, 99));
  counters.Wait(kB);
  EXPECT_FALSE(counters.IsAhead(kA, 0)) << "nobody waits for it";
  counters.Charge(kA, 1000);
  counters.Wait(kB);
  EXPECT_DOUBLE_EQ(counters.Counter(kB), 1000);
  counters.Charge(kB, 60);  // for something that went on all the same
  counters.Join(kB, 2);
  EXPECT_DOUBLE_EQ(counters.Counter(kB), 1030);
  EXPECT_TRUE(counters.IsAhead(kA, 69));
  counters.Wait(kB);
  counters.Leave(kB);
  EXPECT_EQ(counters.size(), 1U);
  counters.Join(kB, 2);
  EXPECT_DOUBLE_EQ(counters.Counter(kB), 1100);
}

TEST(FairCountersTest, WhereSeveralWaitNoneComesBackFurtherBehind) {
  FairCounters counters;
  for (const TenantKey key : {kA, kB, kC}) counters.Join(key, 1);
  counters.Charge(kC, 1000);
  for (int round = 0; round < 3; ++round) {
    counters.Wait(kA);
    counters.Wait(kB);
    counters.Charge(kC, 10);
    counters.Join(kA, 1);
    counters.Join(kB, 1);
    EXPECT_DOUBLE_EQ(counters.Counter(kC) - counters.Counter(kA), 1000);
    EXPECT_DOUBLE_EQ(counters.Counter(kC) - counters.Counter(kB), 1000);
  }
}

TEST(FairCountersTest, EqualOnesTakeTurns) {
  FairCounters counters;
  for (const TenantKey key : {kA, kB, kC}) counters.Join(key, 1);
  const std::vector<TenantKey> keys = {kA, kB, kC};
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_EQ(counters.Least(keys), kA);
    EXPECT_EQ(counters.Least(keys), kB);
    EXPECT_EQ(counters.Least(keys), kC);
  }
}

TEST(FairCountersTest, SlackIsInTheTenantsOwnTokens) {
  FairCounters counters;
  counters.Join(kA, 1);
  counters.Join(kB, 4);
  counters.Charge(kB, 40);
  EXPECT_TRUE(counters.IsAhead(kB, 39));
  EXPECT_FALSE(counters.IsAhead(kB, 40));
  EXPECT_FALSE(counters.IsAhead(kA, 0));
  counters.Join(kB, 1);  // a lower weight: what was charged stays charged
  EXPECT_DOUBLE_EQ(counters.Counter(kB), 10);
  EXPECT_TRUE(counters.IsAhead(kB, 9));
}

TEST(FairCountersTest, AForgottenTenantIsNew) {
  FairCounters counters;
  counters.Join(kA, 1);
  counters.Join(kB, 1);
  counters.Charge(kB, 500);
  counters.Forget(kB);
  counters.Forget(kC);
  EXPECT_EQ(counters.size(), 1U);
  counters.Join(kB, 1);
  EXPECT_DOUBLE_EQ(counters.Counter(kB), 0);
  counters.Charge(kA, 100);
  counters.Forget(kB);  // it was the smallest
  counters.Join(kC, 1);
  EXPECT_DOUBLE_EQ(counters.Counter(kC), 100);
}

// The same rules, with nothing forgotten and everything looked for.
struct Reference {
  struct Tenant {
    double counter = 0;
    double weight = 1;
    bool has_work = false;
    bool waits = false;
    bool is_remembered = false;
    double wait_offset = 0;
    uint64_t chosen_at = 0;
  };

  double Floor() {
    bool found = false;
    double least = 0;
    for (const auto& [key, tenant] : tenants) {
      if (!tenant.has_work) continue;
      least = found ? std::min(least, tenant.counter) : tenant.counter;
      found = true;
    }
    if (found) last_floor = least;
    for (auto& [key, tenant] : tenants) {
      if (tenant.waits) tenant.counter = served + tenant.wait_offset;
      if (tenant.waits) continue;
      if (!tenant.has_work && tenant.counter <= last_floor) tenant.is_remembered = false;
      if (!tenant.is_remembered) tenant = {.counter = last_floor};
    }
    return last_floor;
  }

  std::map<TenantKey, Tenant> tenants;
  double last_floor = 0;
  double served = 0;
  uint64_t choices = 0;
};

class FairCountersModelTest : public testing::TestWithParam<int> {};

TEST_P(FairCountersModelTest, AgreesWithTheRulesWrittenPlainly) {
  const int tenants = GetParam();
  std::mt19937_64 random(static_cast<uint64_t>(tenants));
  const auto uniform = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  FairCounters counters;
  Reference reference;
  for (int step = 0; step < 20000; ++step) {
    const TenantKey key{static_cast<uint64_t>(uniform(1, tenants))};
    Reference::Tenant& tenant = reference.tenants[key];
    const double floor = reference.Floor();
    if (!tenant.waits) tenant.counter = std::max(tenant.counter, floor);
    switch (uniform(0, 7)) {
      case 0:
      case 1: {
        const double weight = uniform(1, 4);
        counters.Join(key, weight);
        tenant.weight = weight;
        tenant.has_work = tenant.is_remembered = true;
        tenant.waits = false;
        break;
      }
      case 2:
        counters.Leave(key);
        tenant.has_work = tenant.waits = false;
        break;
      case 3: {
        counters.Wait(key);
        if (!tenant.has_work) break;
        Reference::Tenant waiting = tenant;
        tenant.has_work = waiting.has_work = false;
        reference.Floor();
        waiting.waits = waiting.counter <= reference.last_floor;
        waiting.wait_offset = waiting.counter - reference.served;
        if (waiting.waits) tenant = waiting;
        break;
      }
      default: {
        std::vector<TenantKey> working;
        for (const auto& [other, record] : reference.tenants) {
          if (record.has_work) working.push_back(other);
        }
        if (working.empty()) break;
        const TenantKey least = counters.Least(working);
        const TenantKey expected =
            *std::min_element(working.begin(), working.end(), [&](TenantKey a, TenantKey b) {
              const Reference::Tenant& left = reference.tenants[a];
              const Reference::Tenant& right = reference.tenants[b];
              return std::pair(left.counter, left.chosen_at) <
                     std::pair(right.counter, right.chosen_at);
            });
        ASSERT_EQ(least, expected) << "step " << step;
        reference.tenants[least].chosen_at = ++reference.choices;
        const int64_t tokens = uniform(0, 12);
        const TenantKey served = uniform(0, 2) == 0 ? working[0] : least;
        counters.Charge(served, tokens);
        reference.tenants[served].counter +=
            static_cast<double>(tokens) / reference.tenants[served].weight;
        const double before = reference.last_floor;
        reference.served += reference.Floor() - before;
      }
    }
    const double new_floor = reference.Floor();
    size_t remembered = 0;
    for (const auto& [other, record] : reference.tenants) {
      ASSERT_EQ(counters.Counter(other), record.counter) << "step " << step;
      ASSERT_EQ(counters.IsAhead(other, 5), record.counter > new_floor + 5 / record.weight);
      if (record.has_work || record.waits || record.counter > new_floor) ++remembered;
    }
    ASSERT_EQ(counters.size(), remembered) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Tenants, FairCountersModelTest, testing::Values(2, 3, 7, 20));

TEST(FairCountersTest, AThousandTenantsOfWhichAFewAreRemembered) {
  FairCounters counters;
  std::mt19937_64 random(5);
  std::uniform_int_distribution<uint64_t> any(1, 1000);
  for (int step = 0; step < 300000; ++step) {
    const TenantKey key{any(random)};
    counters.Join(key, 1);
    counters.Charge(key, 10);
    if (step % 4 != 0) counters.Leave(key);
    ASSERT_LE(counters.size(), 1000U);
  }
  for (uint64_t key = 1; key <= 1000; ++key) counters.Leave(TenantKey{key});
  // The last to leave defines where everyone would come back; only who is ahead of it is kept.
  const double floor = counters.Counter(TenantKey{1001});
  size_t ahead = 0;
  for (uint64_t key = 1; key <= 1000; ++key) ahead += counters.Counter(TenantKey{key}) > floor;
  EXPECT_EQ(counters.size(), ahead);
}

}  // namespace
}  // namespace foretoken
