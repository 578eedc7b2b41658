#include "tenancy/tenant_quota.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "unit/tenancy/quota_fixture.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kDayMs = 86'400'000;

class TenantQuotaTest : public ::testing::Test {
 protected:
  // Every test ends with nothing reserved, running or waiting.
  void TearDown() override {
    if (!quota_) return;
    EXPECT_EQ(quota_->reserved_tokens(), 0);
    EXPECT_EQ(quota_->running_requests(), 0);
    EXPECT_EQ(quota_->waiting_requests(), 0);
  }

  void Limit(const QuotaLimits& limits) { quota_.emplace(limits, clock_.Get()); }

  QuotaReservation Take(int64_t tokens) {
    QuotaTicket ticket = quota_->Enqueue(tokens);
    Result<QuotaReservation> reservation = ticket.TryReserve();
    EXPECT_TRUE(reservation.ok()) << reservation.status().ToString();
    return reservation.ok() ? *std::move(reservation) : QuotaReservation();
  }

  void Use(int64_t tokens) { Take(tokens).Settle(tokens); }

  FakeQuotaClock clock_;
  std::optional<TenantQuota> quota_;
};

TEST_F(TenantQuotaTest, WithoutLimitsEverythingFits) {
  Limit({});
  QuotaReservation reservation = Take(1'000'000);
  EXPECT_EQ(*reservation.Extend(64), 64);
  EXPECT_EQ(quota_->reserved_tokens(), 1'000'064);
  EXPECT_EQ(quota_->Levels().requests, std::nullopt);
  EXPECT_EQ(quota_->Levels().tokens, std::nullopt);
}

TEST_F(TenantQuotaTest, WhatIsReservedCountsAndTheRestIsGivenBack) {
  Limit({.tokens_per_minute = 100});
  QuotaReservation reservation = Take(80);
  EXPECT_EQ(quota_->Levels().tokens, (QuotaLevel{100, 20, 60'000}));
  reservation.Spend(30);
  EXPECT_EQ(reservation.spent_tokens(), 30);
  EXPECT_EQ(reservation.unspent_tokens(), 50);
  EXPECT_EQ(quota_->Levels().tokens->remaining, 20);
  reservation.Settle(45);
  EXPECT_EQ(quota_->Levels().tokens, (QuotaLevel{100, 55, 60'100}));
  clock_.Advance(60'099);
  EXPECT_EQ(quota_->Levels().tokens->remaining, 55);
  clock_.Advance(1);
  EXPECT_EQ(quota_->Levels().tokens, (QuotaLevel{100, 100, 0}));
}

TEST_F(TenantQuotaTest, ADroppedReservationGivesAllOfItBack) {
  Limit({.tokens_per_minute = 100, .concurrent_requests = 1});
  {
    const QuotaReservation reservation = Take(100);
    EXPECT_EQ(quota_->running_requests(), 1);
  }
  QuotaReservation reservation = Take(100);
  QuotaReservation moved = std::move(reservation);
  EXPECT_EQ(moved.unspent_tokens(), 100);
  EXPECT_EQ(quota_->reserved_tokens(), 100);
  moved.Reset();
  EXPECT_EQ(quota_->Levels().tokens->remaining, 100);
  EXPECT_EQ(moved.Extend(1).status().code(), StatusCode::kFailedPrecondition);
  moved.Spend(1);
  moved.Settle(1);
  EXPECT_EQ(quota_->Levels().tokens->remaining, 100);
}

TEST_F(TenantQuotaTest, MoreThanWasReservedCountsAllTheSame) {
  Limit({.tokens_per_minute = 100});
  Take(10).Settle(150);
  EXPECT_EQ(quota_->Levels().tokens->remaining, 0);
  EXPECT_EQ(quota_->reserved_tokens(), 0);
}

TEST_F(TenantQuotaTest, ARequestThatNeverFitsIsToldSo) {
  Limit({.tokens_per_minute = 100, .tokens_per_day = 90});
  QuotaTicket more_than_a_minute = quota_->Enqueue(101);
  const Status status = more_than_a_minute.TryReserve().status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("101"));
  EXPECT_THAT(status.message(), HasSubstr("tokens_per_minute of 100"));
  EXPECT_EQ(more_than_a_minute.refused_by(), "tokens_per_minute");
  QuotaTicket more_than_a_day = quota_->Enqueue(91);
  EXPECT_EQ(more_than_a_day.TryReserve().status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(more_than_a_day.refused_by(), "tokens_per_day");
}

TEST_F(TenantQuotaTest, OneThatDoesNotFitYetIsToldExactlyWhen) {
  Limit({.tokens_per_minute = 100});
  Use(60);
  clock_.Advance(10'000);
  Use(30);
  QuotaTicket ticket = quota_->Enqueue(50);
  const Status status = ticket.TryReserve().status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("tokens_per_minute of 100"));
  EXPECT_EQ(ticket.refused_by(), "tokens_per_minute");
  const int64_t wait_ms = ticket.RetryAfterMs();
  EXPECT_EQ(wait_ms, 50'100);
  clock_.Advance(wait_ms - 1);
  EXPECT_FALSE(ticket.TryReserve().ok());
  clock_.Advance(1);
  EXPECT_TRUE(ticket.TryReserve().ok());
  EXPECT_EQ(ticket.TryReserve().status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(TenantQuotaTest, WhatRunningRequestsHoldMayComeBackAtAnyMoment) {
  Limit({.tokens_per_minute = 100});
  QuotaReservation running = Take(100);
  QuotaTicket ticket = quota_->Enqueue(50);
  EXPECT_FALSE(ticket.TryReserve().ok());
  EXPECT_EQ(ticket.RetryAfterMs(), 1000);
  running.Settle(20);
  EXPECT_TRUE(ticket.TryReserve().ok());
}

TEST_F(TenantQuotaTest, RequestsOfAMinuteAreCountedWhenTheyBegin) {
  Limit({.requests_per_minute = 2});
  Use(1);
  QuotaReservation second = Take(1);
  EXPECT_EQ(quota_->Levels().requests, (QuotaLevel{2, 0, 60'100}));
  QuotaTicket third = quota_->Enqueue(1);
  EXPECT_FALSE(third.TryReserve().ok());
  EXPECT_EQ(third.refused_by(), "requests_per_minute");
  EXPECT_EQ(third.RetryAfterMs(), 60'100);
  second.Reset();
  clock_.Advance(60'099);
  EXPECT_FALSE(third.TryReserve().ok());
  clock_.Advance(1);
  EXPECT_TRUE(third.TryReserve().ok());
}

TEST_F(TenantQuotaTest, RequestsAtATimeAreBounded) {
  Limit({.concurrent_requests = 2});
  QuotaReservation first = Take(1);
  const QuotaReservation second = Take(1);
  QuotaTicket third = quota_->Enqueue(1);
  EXPECT_FALSE(third.TryReserve().ok());
  EXPECT_EQ(third.refused_by(), "concurrent_requests");
  EXPECT_EQ(third.RetryAfterMs(), 1000);
  first.Reset();
  EXPECT_TRUE(third.TryReserve().ok());
}

TEST_F(TenantQuotaTest, ADayBeginsAtMidnightOfUtc) {
  Limit({.tokens_per_day = 100});
  Use(70);
  QuotaReservation running = Take(30);
  running.Spend(10);
  QuotaTicket ticket = quota_->Enqueue(40);
  EXPECT_FALSE(ticket.TryReserve().ok());
  EXPECT_EQ(ticket.refused_by(), "tokens_per_day");
  EXPECT_EQ(ticket.RetryAfterMs(), kDayMs - 3'600'000);
  clock_.Advance(kDayMs - 3'600'000 - 1);
  EXPECT_FALSE(ticket.TryReserve().ok());
  clock_.Advance(1);
  // What was spent is yesterday's; what is still reserved counts for the new day.
  ASSERT_TRUE(ticket.TryReserve().ok());
  Use(80);
  EXPECT_EQ(running.Extend(1).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(running.refused_by(), "tokens_per_day");
}

TEST_F(TenantQuotaTest, AClockSetBackGivesNoDayASecondTime) {
  Limit({.tokens_per_day = 100});
  clock_.Advance(kDayMs);
  Use(100);
  clock_.utc_ms -= kDayMs;
  QuotaTicket ticket = quota_->Enqueue(1);
  EXPECT_FALSE(ticket.TryReserve().ok());
  EXPECT_EQ(ticket.RetryAfterMs(), 2 * kDayMs - 3'600'000);
}

TEST_F(TenantQuotaTest, AnExtensionTakesWhatFitsAndSaysWhoRefusesTheRest) {
  Limit({.tokens_per_minute = 100, .tokens_per_day = 1000});
  QuotaReservation reservation = Take(50);
  EXPECT_EQ(*reservation.Extend(30), 30);
  EXPECT_EQ(*reservation.Extend(30), 20);
  EXPECT_EQ(reservation.refused_by(), "");
  const Status refused = reservation.Extend(30).status();
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.message(), HasSubstr("tokens_per_minute"));
  EXPECT_EQ(reservation.refused_by(), "tokens_per_minute");
  EXPECT_EQ(reservation.unspent_tokens(), 100);
}

TEST_F(TenantQuotaTest, ThoseThatWaitGoInOrderAndABigOneIsNotOvertaken) {
  Limit({.tokens_per_minute = 100});
  Use(60);
  QuotaTicket big = quota_->Enqueue(90);
  QuotaTicket small = quota_->Enqueue(10);  // would fit at once
  EXPECT_FALSE(small.TryReserve().ok());
  EXPECT_EQ(small.refused_by(), "tokens_per_minute");
  EXPECT_FALSE(big.TryReserve().ok());
  EXPECT_EQ(quota_->waiting_requests(), 2);
  clock_.Advance(small.RetryAfterMs());
  EXPECT_TRUE(small.TryReserve().ok());  // beside the big one, though that has not asked yet
  EXPECT_EQ(quota_->reserved_tokens(), 90);
  EXPECT_TRUE(big.TryReserve().ok());
}

TEST_F(TenantQuotaTest, RunningRequestsGoOnBeforeOthersBegin) {
  Limit({.tokens_per_minute = 100});
  QuotaReservation running = Take(20);
  running.Spend(20);
  Use(60);
  QuotaTicket waiting = quota_->Enqueue(30);
  EXPECT_FALSE(waiting.TryReserve().ok());
  EXPECT_EQ(*running.Extend(15), 15);
  EXPECT_FALSE(waiting.TryReserve().ok());
}

TEST_F(TenantQuotaTest, WhoGivesUpLeavesItsPlaceAndWhatItWasGranted) {
  Limit({.tokens_per_minute = 100, .concurrent_requests = 1});
  Use(60);
  std::optional<QuotaTicket> first(quota_->Enqueue(90));
  QuotaTicket second = quota_->Enqueue(30);
  EXPECT_FALSE(second.TryReserve().ok());
  first.reset();
  EXPECT_TRUE(second.TryReserve().ok());
  std::optional<QuotaTicket> granted(quota_->Enqueue(40));
  EXPECT_EQ(quota_->Levels().tokens->remaining, 40);
  {
    QuotaTicket behind = quota_->Enqueue(1);
    EXPECT_FALSE(behind.TryReserve().ok());  // which let the one before it in
    EXPECT_EQ(quota_->running_requests(), 1);
    EXPECT_EQ(granted->RetryAfterMs(), 0);
    granted.reset();
    EXPECT_TRUE(behind.TryReserve().ok());
  }
}

TEST_F(TenantQuotaTest, ATicketMayMove) {
  Limit({.tokens_per_minute = 100});
  QuotaTicket first = quota_->Enqueue(10);
  QuotaTicket second = std::move(first);
  EXPECT_EQ(quota_->waiting_requests(), 1);
  EXPECT_TRUE(second.TryReserve().ok());
  EXPECT_EQ(second.TryReserve().status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(second.RetryAfterMs(), 0);
}

TEST_F(TenantQuotaTest, LimitsMayChangeWhileRequestsRunAndWait) {
  Limit({.tokens_per_minute = 100});
  QuotaReservation running = Take(80);
  QuotaTicket waiting = quota_->Enqueue(60);
  EXPECT_FALSE(waiting.TryReserve().ok());
  quota_->SetLimits({.tokens_per_minute = 50});
  EXPECT_EQ(waiting.TryReserve().status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(running.Extend(1).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(quota_->Levels().tokens->remaining, 0);
  quota_->SetLimits({.tokens_per_minute = 140});
  EXPECT_TRUE(waiting.TryReserve().ok());
}

TEST_F(TenantQuotaTest, ASeedCountsLikeUse) {
  Limit({.requests_per_minute = 10, .tokens_per_minute = 100, .tokens_per_day = 500});
  quota_->Seed({.requests_last_minute = 4, .tokens_last_minute = 30, .tokens_today = 450});
  EXPECT_EQ(quota_->Levels().requests->remaining, 6);
  EXPECT_EQ(quota_->Levels().tokens->remaining, 70);
  QuotaTicket ticket = quota_->Enqueue(51);
  EXPECT_FALSE(ticket.TryReserve().ok());
  EXPECT_EQ(ticket.refused_by(), "tokens_per_day");
}

TEST_F(TenantQuotaTest, TheSystemsClockRuns) {
  const QuotaClock clock = SystemQuotaClock();
  const int64_t steady_ms = clock.steady_ms();
  EXPECT_LE(steady_ms, clock.steady_ms());
  EXPECT_GT(clock.utc_ms(), 1'700'000'000'000);
}

}  // namespace
}  // namespace foretoken
