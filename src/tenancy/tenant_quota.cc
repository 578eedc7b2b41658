#include "tenancy/tenant_quota.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace foretoken {
namespace {

constexpr int64_t kDayLengthMs = 86'400'000;
// When what is wanted is held by running requests, it may come back at any moment.
constexpr int64_t kSoonMs = 1000;

constexpr std::string_view kConcurrentRequests = "concurrent_requests";
constexpr std::string_view kRequestsPerMinute = "requests_per_minute";
constexpr std::string_view kTokensPerMinute = "tokens_per_minute";
constexpr std::string_view kTokensPerDay = "tokens_per_day";

template <typename Clock>
int64_t Milliseconds() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch())
      .count();
}

}  // namespace

QuotaClock SystemQuotaClock() {
  return {Milliseconds<std::chrono::steady_clock>, Milliseconds<std::chrono::system_clock>};
}

TenantQuota::TenantQuota(const QuotaLimits& limits, QuotaClock clock)
    : clock_(std::move(clock)), limits_(limits) {}

void TenantQuota::SetLimits(const QuotaLimits& limits) {
  MutexLock lock(mutex_);
  limits_ = limits;
}

void TenantQuota::Seed(const QuotaSeed& seed) {
  MutexLock lock(mutex_);
  const int64_t now_ms = Now();
  requests_.Add(seed.requests_last_minute, now_ms);
  tokens_.Add(seed.tokens_last_minute, now_ms);
  tokens_today_ += seed.tokens_today;
}

QuotaTicket TenantQuota::Enqueue(int64_t tokens) {
  MutexLock lock(mutex_);
  return {this, waiting_.insert(waiting_.end(), {std::max<int64_t>(0, tokens), false})};
}

QuotaLevels TenantQuota::Levels() {
  MutexLock lock(mutex_);
  const int64_t now_ms = Now();
  QuotaLevels levels;
  if (limits_.requests_per_minute > 0) {
    levels.requests = {limits_.requests_per_minute,
                       std::max<int64_t>(0, limits_.requests_per_minute - UsedRequests(now_ms)),
                       requests_.TimeOfAtMost(0, now_ms) - now_ms};
  }
  if (limits_.tokens_per_minute > 0) {
    const int64_t used = tokens_.Used(now_ms) + reserved_tokens_;
    const int64_t reset_ms =
        reserved_tokens_ > 0 ? QuotaWindow::kSpanMs : tokens_.TimeOfAtMost(0, now_ms) - now_ms;
    levels.tokens = {limits_.tokens_per_minute,
                     std::max<int64_t>(0, limits_.tokens_per_minute - used), reset_ms};
  }
  return levels;
}

int64_t TenantQuota::reserved_tokens() const {
  MutexLock lock(mutex_);
  return reserved_tokens_;
}

int64_t TenantQuota::running_requests() const {
  MutexLock lock(mutex_);
  return running_;
}

int64_t TenantQuota::waiting_requests() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(waiting_.size());
}

int64_t TenantQuota::Now() {
  const int64_t now_ms = clock_.steady_ms();
  const int64_t utc_ms = clock_.utc_ms();
  // A clock that is set back over midnight gives nobody the day a second time.
  if (utc_ms / kDayLengthMs > day_) {
    day_ = utc_ms / kDayLengthMs;
    tokens_today_ = 0;
  }
  day_left_ms_ = (day_ + 1) * kDayLengthMs - utc_ms;
  return now_ms;
}

int64_t TenantQuota::NowWithGrants() {
  const int64_t now_ms = Now();
  // Here and not when their owners ask: nobody waits for one before it that fits already.
  while (!waiting_.empty() && LimitAgainst(waiting_.front().tokens, now_ms).empty()) {
    reserved_tokens_ += waiting_.front().tokens;
    ++running_;
    waiting_.front().granted = true;
    granted_.splice(granted_.end(), waiting_, waiting_.begin());
  }
  return now_ms;
}

int64_t TenantQuota::UsedRequests(int64_t now_ms) {
  return requests_.Used(now_ms) + static_cast<int64_t>(granted_.size());
}

std::pair<int64_t, std::string_view> TenantQuota::FreeTokens(int64_t now_ms) {
  std::pair<int64_t, std::string_view> least = {std::numeric_limits<int64_t>::max(), {}};
  if (limits_.tokens_per_minute > 0) {
    least = {limits_.tokens_per_minute - tokens_.Used(now_ms) - reserved_tokens_, kTokensPerMinute};
  }
  if (limits_.tokens_per_day > 0) {
    const int64_t left = limits_.tokens_per_day - tokens_today_ - reserved_tokens_;
    if (left < least.first) least = {left, kTokensPerDay};
  }
  return least;
}

std::string_view TenantQuota::LimitAgainst(int64_t tokens, int64_t now_ms) {
  if (limits_.concurrent_requests > 0 && running_ >= limits_.concurrent_requests) {
    return kConcurrentRequests;
  }
  if (limits_.requests_per_minute > 0 && UsedRequests(now_ms) >= limits_.requests_per_minute) {
    return kRequestsPerMinute;
  }
  const auto [free, limit] = FreeTokens(now_ms);
  return tokens > free ? limit : std::string_view();
}

std::string_view TenantQuota::LimitBelow(int64_t tokens) const {
  if (limits_.tokens_per_minute > 0 && tokens > limits_.tokens_per_minute) return kTokensPerMinute;
  if (limits_.tokens_per_day > 0 && tokens > limits_.tokens_per_day) return kTokensPerDay;
  return {};
}

int64_t TenantQuota::ValueOf(std::string_view limit) const {
  if (limit == kConcurrentRequests) return limits_.concurrent_requests;
  if (limit == kRequestsPerMinute) return limits_.requests_per_minute;
  return limit == kTokensPerMinute ? limits_.tokens_per_minute : limits_.tokens_per_day;
}

void TenantQuota::Spend(int64_t tokens, int64_t now_ms) {
  tokens_.Add(tokens, now_ms);
  tokens_today_ += tokens;
}

QuotaReservation& QuotaReservation::operator=(QuotaReservation&& other) noexcept {
  if (this != &other) {
    Reset();
    quota_ = std::exchange(other.quota_, nullptr);
    unspent_tokens_ = std::exchange(other.unspent_tokens_, 0);
    spent_tokens_ = other.spent_tokens_;
    refused_by_ = other.refused_by_;
  }
  return *this;
}

Result<int64_t> QuotaReservation::Extend(int64_t more) {
  if (quota_ == nullptr) return FailedPreconditionError("the reservation of quota has ended");
  TenantQuota& quota = *quota_;
  MutexLock lock(quota.mutex_);
  const auto [free, limit] = quota.FreeTokens(quota.Now());
  refused_by_ = free < 1 ? limit : std::string_view();
  if (free < 1) {
    return ResourceExhaustedError(fmt::format("{} of {} is used up", limit, quota.ValueOf(limit)));
  }
  const int64_t granted = std::min(more, free);
  quota.reserved_tokens_ += granted;
  unspent_tokens_ += granted;
  return granted;
}

void QuotaReservation::Spend(int64_t tokens) {
  if (quota_ == nullptr) return;
  MutexLock lock(quota_->mutex_);
  const int64_t now_ms = quota_->Now();
  // More than was reserved would be its user's fault; it was used all the same, and counts.
  const int64_t reserved = std::min(tokens, unspent_tokens_);
  unspent_tokens_ -= reserved;
  quota_->reserved_tokens_ -= reserved;
  spent_tokens_ += tokens;
  quota_->Spend(tokens, now_ms);
}

void QuotaReservation::Settle(int64_t used_tokens) {
  if (used_tokens > spent_tokens_) Spend(used_tokens - spent_tokens_);
  Reset();
}

void QuotaReservation::Reset() {
  if (quota_ == nullptr) return;
  {
    MutexLock lock(quota_->mutex_);
    quota_->reserved_tokens_ -= unspent_tokens_;
    --quota_->running_;
  }
  unspent_tokens_ = 0;
  quota_ = nullptr;
}

QuotaTicket::QuotaTicket(QuotaTicket&& other) noexcept
    : quota_(std::exchange(other.quota_, nullptr)),
      place_(other.place_),
      refused_by_(other.refused_by_) {}

QuotaTicket::~QuotaTicket() {
  if (quota_ == nullptr) return;
  MutexLock lock(quota_->mutex_);
  if (!place_->granted) {
    quota_->waiting_.erase(place_);
    return;
  }
  quota_->reserved_tokens_ -= place_->tokens;
  --quota_->running_;
  quota_->granted_.erase(place_);
}

Result<QuotaReservation> QuotaTicket::TryReserve() {
  if (quota_ == nullptr) return FailedPreconditionError("the ticket was used");
  TenantQuota& quota = *quota_;
  MutexLock lock(quota.mutex_);
  const int64_t now_ms = quota.NowWithGrants();
  const int64_t tokens = place_->tokens;
  if (place_->granted) {
    quota.granted_.erase(place_);
    quota.requests_.Add(1, now_ms);
    quota_ = nullptr;
    return QuotaReservation(&quota, tokens);
  }
  if (refused_by_ = quota.LimitBelow(tokens); !refused_by_.empty()) {
    return InvalidArgumentError(fmt::format(
        "the request needs {} tokens to begin (its prompt and the first of its answer), "
        "more than {} of {} ever allows",
        tokens, refused_by_, quota.ValueOf(refused_by_)));
  }
  // Its own, or else that of the first in the queue, which did not fit just now.
  refused_by_ = quota.LimitAgainst(tokens, now_ms);
  if (refused_by_.empty()) {
    refused_by_ = quota.LimitAgainst(quota.waiting_.front().tokens, now_ms);
  }
  return ResourceExhaustedError(
      fmt::format("{} of {} is used up for now", refused_by_, quota.ValueOf(refused_by_)));
}

int64_t QuotaTicket::RetryAfterMs() {
  if (quota_ == nullptr) return 0;
  TenantQuota& quota = *quota_;
  MutexLock lock(quota.mutex_);
  const int64_t now_ms = quota.NowWithGrants();
  if (place_->granted) return 0;
  int64_t requests = 0;  // up to this one and with it
  int64_t tokens = 0;
  for (auto place = quota.waiting_.begin(); requests == 0 || std::prev(place) != place_; ++place) {
    ++requests;
    tokens += place->tokens;
  }
  const QuotaLimits limits = quota.limits_;
  int64_t time_ms = now_ms;
  if (limits.requests_per_minute > 0) {
    requests += static_cast<int64_t>(quota.granted_.size());
    const int64_t others = std::max<int64_t>(0, limits.requests_per_minute - requests);
    time_ms = std::max(time_ms, quota.requests_.TimeOfAtMost(others, now_ms));
  }
  if (limits.tokens_per_minute > 0) {
    const int64_t others = std::max<int64_t>(0, limits.tokens_per_minute - tokens);
    time_ms = std::max(time_ms, quota.tokens_.TimeOfAtMost(others, now_ms));
  }
  if (limits.tokens_per_day > 0 && quota.tokens_today_ + place_->tokens > limits.tokens_per_day) {
    time_ms = std::max(time_ms, now_ms + quota.day_left_ms_);
  }
  return time_ms > now_ms ? time_ms - now_ms : kSoonMs;
}

}  // namespace foretoken
