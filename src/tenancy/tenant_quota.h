#ifndef FORETOKEN_TENANCY_TENANT_QUOTA_H_
#define FORETOKEN_TENANCY_TENANT_QUOTA_H_

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string_view>
#include <utility>

#include "base/mutex.h"
#include "foretoken/status.h"
#include "tenancy/quota_limits.h"
#include "tenancy/quota_window.h"

namespace foretoken {

class QuotaReservation;
class QuotaTicket;

struct QuotaClock {
  std::function<int64_t()> steady_ms;  // for windows: never goes back
  std::function<int64_t()> utc_ms;     // for days: milliseconds since 1970
};
QuotaClock SystemQuotaClock();

// What was used before this process began, so that a restart forgets no quota.
struct QuotaSeed {
  int64_t requests_last_minute = 0;
  int64_t tokens_last_minute = 0;
  int64_t tokens_today = 0;
};

// One limit as clients are told of it.
struct QuotaLevel {
  int64_t limit = 0;
  int64_t remaining = 0;
  int64_t reset_ms = 0;  // from now until all of it remains, if nothing more is used

  friend bool operator==(const QuotaLevel&, const QuotaLevel&) = default;
};

// Absent: no limit.
struct QuotaLevels {
  std::optional<QuotaLevel> requests;  // requests_per_minute
  std::optional<QuotaLevel> tokens;    // tokens_per_minute
};

// A tenant's limits, exact under concurrency: what is reserved counts until it is spent or given
// back, and what was spent counts for 60 s and for its day. So no 60 s and no day see more than the
// limit, by the times at which tokens are computed. Requests that wait go in the order they came.
// Any thread may call it. It must outlive its tickets and reservations.
class TenantQuota {
 public:
  explicit TenantQuota(const QuotaLimits& limits, QuotaClock clock = SystemQuotaClock());
  TenantQuota(const TenantQuota&) = delete;
  TenantQuota& operator=(const TenantQuota&) = delete;

  // From now on; what is reserved stays.
  void SetLimits(const QuotaLimits& limits);
  // Adds what was used before to what is counted.
  void Seed(const QuotaSeed& seed);

  // A place at the end of the queue for a request that needs this many tokens to begin: its prompt
  // and the first part of its answer.
  QuotaTicket Enqueue(int64_t tokens);

  QuotaLevels Levels();

  // All 0 when nothing runs or waits.
  int64_t reserved_tokens() const;
  int64_t running_requests() const;
  int64_t waiting_requests() const;

 private:
  friend class QuotaReservation;
  friend class QuotaTicket;

  struct Waiter {
    int64_t tokens = 0;
    bool granted = false;
  };
  using Place = std::list<Waiter>::iterator;

  // The steady time. Begins a new day where there is one.
  int64_t Now() FORETOKEN_REQUIRES(mutex_);
  // The same, and lets in those at the front of the queue that fit.
  int64_t NowWithGrants() FORETOKEN_REQUIRES(mutex_);
  // The limit that keeps a request of `tokens` from beginning; empty: none.
  std::string_view LimitAgainst(int64_t tokens, int64_t now_ms) FORETOKEN_REQUIRES(mutex_);
  // The same for a request alone, with nothing used.
  std::string_view LimitBelow(int64_t tokens) const FORETOKEN_REQUIRES(mutex_);
  // Of the last minute; those that are granted begin when they are fetched, and count already.
  int64_t UsedRequests(int64_t now_ms) FORETOKEN_REQUIRES(mutex_);
  // How many tokens may be reserved now, and the limit that sets it.
  std::pair<int64_t, std::string_view> FreeTokens(int64_t now_ms) FORETOKEN_REQUIRES(mutex_);
  int64_t ValueOf(std::string_view limit) const FORETOKEN_REQUIRES(mutex_);
  void Spend(int64_t tokens, int64_t now_ms) FORETOKEN_REQUIRES(mutex_);

  const QuotaClock clock_;
  mutable Mutex mutex_;
  QuotaLimits limits_ FORETOKEN_GUARDED_BY(mutex_);
  QuotaWindow requests_ FORETOKEN_GUARDED_BY(mutex_);
  QuotaWindow tokens_ FORETOKEN_GUARDED_BY(mutex_);
  int64_t day_ FORETOKEN_GUARDED_BY(mutex_) = 0;  // since 1970
  int64_t day_left_ms_ FORETOKEN_GUARDED_BY(mutex_) = 0;
  int64_t tokens_today_ FORETOKEN_GUARDED_BY(mutex_) = 0;
  int64_t reserved_tokens_ FORETOKEN_GUARDED_BY(mutex_) = 0;
  int64_t running_ FORETOKEN_GUARDED_BY(mutex_) = 0;  // with those that are granted
  std::list<Waiter> waiting_ FORETOKEN_GUARDED_BY(mutex_);
  std::list<Waiter> granted_ FORETOKEN_GUARDED_BY(mutex_);  // and not fetched yet
};

// What a running request may still use, and its place among those that run at a time. Dropped, it
// gives back what was not spent. Move-only; one thread at a time.
class QuotaReservation {
 public:
  QuotaReservation() = default;
  QuotaReservation(QuotaReservation&& other) noexcept { *this = std::move(other); }
  QuotaReservation& operator=(QuotaReservation&& other) noexcept;
  ~QuotaReservation() { Reset(); }

  // More tokens, before any request that waits: as many of `more` as fit, at least one; the number.
  // RESOURCE_EXHAUSTED when none fits: then refused_by() names the limit.
  Result<int64_t> Extend(int64_t more);
  // Says that this many of the reserved tokens are computed now. The sooner it is said, the sooner
  // they leave the window.
  void Spend(int64_t tokens);
  // The end: of all tokens of the request this many were used, those spent before included.
  void Settle(int64_t used_tokens);
  // The end without any more use.
  void Reset();

  int64_t unspent_tokens() const { return unspent_tokens_; }
  int64_t spent_tokens() const { return spent_tokens_; }
  // The limit that the last Extend met, as QuotaLimits calls it; empty: none.
  std::string_view refused_by() const { return refused_by_; }

 private:
  friend class QuotaTicket;
  QuotaReservation(TenantQuota* quota, int64_t tokens) : quota_(quota), unspent_tokens_(tokens) {}

  TenantQuota* quota_ = nullptr;
  int64_t unspent_tokens_ = 0;
  int64_t spent_tokens_ = 0;
  std::string_view refused_by_;
};

// A request's place in its tenant's queue; dropped, it leaves the queue. Move-only; one thread at a
// time.
class QuotaTicket {
 public:
  QuotaTicket(QuotaTicket&& other) noexcept;
  QuotaTicket& operator=(QuotaTicket&& other) = delete;
  ~QuotaTicket();

  // The reservation, once: the ticket has no place any more then. RESOURCE_EXHAUSTED while it does
  // not fit or others wait before it: ask again, some 20 ms later. INVALID_ARGUMENT when it is more
  // than a limit allows at all. Both name the limit, and refused_by() does.
  Result<QuotaReservation> TryReserve();
  // How long until it can fit, if those before it take what they ask for: to the millisecond where
  // a window or a day has to pass; a second where it needs what running requests hold.
  int64_t RetryAfterMs();
  std::string_view refused_by() const { return refused_by_; }

 private:
  friend class TenantQuota;
  QuotaTicket(TenantQuota* quota, TenantQuota::Place place) : quota_(quota), place_(place) {}

  TenantQuota* quota_;
  TenantQuota::Place place_;
  std::string_view refused_by_;
};

}  // namespace foretoken

#endif  // FORETOKEN_TENANCY_TENANT_QUOTA_H_
