// Many requests against one quota, in schedules drawn at random. The oracle is a plain list of what
// was used when, added up over every window.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "tenancy/quota_headers.h"
#include "tenancy/tenant_quota.h"
#include "unit/tenancy/quota_fixture.h"

namespace foretoken {
namespace {

constexpr int64_t kMinuteMs = 60'000;

struct Use {
  int64_t time_ms;
  int64_t amount;

  friend bool operator<(const Use& a, const Use& b) { return a.time_ms < b.time_ms; }
};

// The most that any 60 s have, wherever they begin.
int64_t BusiestMinute(std::vector<Use> uses) {
  std::stable_sort(uses.begin(), uses.end());
  int64_t most = 0;
  int64_t sum = 0;
  size_t first = 0;
  for (const Use& use : uses) {
    sum += use.amount;
    while (uses[first].time_ms <= use.time_ms - kMinuteMs) sum -= uses[first++].amount;
    most = std::max(most, sum);
  }
  return most;
}

int64_t BusiestDay(const std::vector<Use>& uses, int64_t utc_of_zero_ms) {
  std::map<int64_t, int64_t> days;
  for (const Use& use : uses) days[(use.time_ms + utc_of_zero_ms) / 86'400'000] += use.amount;
  int64_t most = 0;
  for (const auto& [day, sum] : days) most = std::max(most, sum);
  return most;
}

TEST(QuotaScheduleTest, TheOracleFindsTheBusiestMinute) {
  EXPECT_EQ(BusiestMinute({}), 0);
  EXPECT_EQ(BusiestMinute({{0, 5}, {60'000, 5}}), 5);
  EXPECT_EQ(BusiestMinute({{59'999, 5}, {0, 5}, {60'001, 4}}), 10);
}

// A client of one request after the other that does a random one of the things it may do next.
class RandomClient {
 public:
  RandomClient(TenantQuota& quota, FakeQuotaClock& clock, uint32_t seed)
      : quota_(quota), clock_(clock), random_(seed) {}

  void Step() {
    if (reservation_) {
      Run();
    } else if (ticket_) {
      TryToBegin();
    } else {
      ticket_.emplace(quota_.Enqueue(Draw(1, 60)));
    }
  }

  // Whether it holds a reservation, after asking for the one it waits for.
  bool TryToBegin() {
    if (!ticket_ || reservation_) return reservation_.has_value();
    const int64_t before_ms = clock_.steady_ms;
    Result<QuotaReservation> reservation = ticket_->TryReserve();
    if (reservation.ok()) {
      reservation_.emplace(*std::move(reservation));
      begun_.push_back({before_ms, 1});
      ticket_.reset();
    } else if (Draw(0, 50) == 0) {
      ticket_.reset();  // out of patience
    }
    return reservation_.has_value();
  }

  bool waiting() const { return ticket_.has_value(); }
  const std::vector<Use>& used() const { return used_; }
  const std::vector<Use>& begun() const { return begun_; }

 private:
  int64_t Draw(int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random_);
  }

  void Run() {
    const int64_t unspent = reservation_->unspent_tokens();
    // Computed now at the latest; it is said after that.
    const int64_t time_ms = clock_.steady_ms;
    switch (Draw(0, 4)) {
      case 0:
        if (const Result<int64_t> granted = reservation_->Extend(Draw(1, 40)); !granted.ok()) {
          reservation_->Settle(reservation_->spent_tokens());
          reservation_.reset();
        }
        break;
      case 1: {
        const int64_t more = Draw(0, unspent);
        used_.push_back({time_ms, more});
        reservation_->Settle(reservation_->spent_tokens() + more);
        reservation_.reset();
        break;
      }
      case 2:
        if (Draw(0, 9) == 0) reservation_.reset();  // failed
        break;
      default: {
        const int64_t spent = Draw(0, unspent);
        used_.push_back({time_ms, spent});
        reservation_->Spend(spent);
      }
    }
  }

  TenantQuota& quota_;
  FakeQuotaClock& clock_;
  std::mt19937 random_;
  std::optional<QuotaTicket> ticket_;
  std::optional<QuotaReservation> reservation_;
  std::vector<Use> used_;
  std::vector<Use> begun_;
};

void ExpectWithinLimits(const std::vector<std::unique_ptr<RandomClient>>& clients,
                        const QuotaLimits& limits, int64_t utc_of_zero_ms) {
  std::vector<Use> used;
  std::vector<Use> begun;
  for (const auto& client : clients) {
    used.insert(used.end(), client->used().begin(), client->used().end());
    begun.insert(begun.end(), client->begun().begin(), client->begun().end());
  }
  EXPECT_LE(BusiestMinute(used), limits.tokens_per_minute);
  EXPECT_LE(BusiestMinute(begun), limits.requests_per_minute);
  EXPECT_LE(BusiestDay(used, utc_of_zero_ms), limits.tokens_per_day);
}

TEST(QuotaScheduleTest, NoScheduleHasOneTokenTooMany) {
  bool minute_met = false;
  bool day_met = false;
  for (uint32_t schedule = 0; schedule < 3000; ++schedule) {
    SCOPED_TRACE("schedule " + std::to_string(schedule));
    std::mt19937 random(schedule);
    const auto below = [&random](int64_t end) { return static_cast<int64_t>(random()) % end; };
    FakeQuotaClock clock;
    // Some minutes before midnight.
    clock.utc_ms += 86'400'000 - 3'600'000 - below(600'000);
    const QuotaLimits limits = {.requests_per_minute = 1 + below(30),
                                .tokens_per_minute = 60 + below(300),
                                .tokens_per_day = 60 + below(3000),
                                .concurrent_requests = 1 + below(8)};
    {
      TenantQuota quota(limits, clock.Get());
      std::vector<std::unique_ptr<RandomClient>> clients;
      std::vector<RandomClient*> queue;  // of those that wait, in order
      for (int i = 0; i < 10; ++i) {
        clients.push_back(std::make_unique<RandomClient>(quota, clock, random()));
      }
      for (int step = 0; step < 400; ++step) {
        clock.Advance(below(4) == 0 ? below(8000) : 0);
        RandomClient* client = clients[random() % clients.size()].get();
        const bool waited = client->waiting();
        client->Step();
        if (!waited && client->waiting()) queue.push_back(client);
        ASSERT_LE(quota.running_requests(), limits.concurrent_requests);
        if (!waited || client->waiting()) continue;
        const auto place = std::find(queue.begin(), queue.end(), client);
        if (client->TryToBegin()) {
          // Whoever came before one that is let in is let in too.
          for (auto other = queue.begin(); other != place; ++other) {
            ASSERT_TRUE((*other)->TryToBegin());
          }
          queue.erase(queue.begin(), place + 1);
        } else {
          queue.erase(place);
        }
      }
      const int64_t utc_of_zero_ms = clock.utc_ms - clock.steady_ms;
      ExpectWithinLimits(clients, limits, utc_of_zero_ms);
      std::vector<Use> used;
      for (const auto& c : clients) used.insert(used.end(), c->used().begin(), c->used().end());
      minute_met |= BusiestMinute(used) == limits.tokens_per_minute;
      day_met |= BusiestDay(used, utc_of_zero_ms) == limits.tokens_per_day;
      clients.clear();
      EXPECT_EQ(quota.reserved_tokens(), 0);
      EXPECT_EQ(quota.running_requests(), 0);
      EXPECT_EQ(quota.waiting_requests(), 0);
    }
    if (HasFailure()) return;
  }
  // The limits were reached to the token, so the test can fail.
  EXPECT_TRUE(minute_met);
  EXPECT_TRUE(day_met);
}

TEST(QuotaScheduleTest, NorWithThreads) {
  constexpr QuotaLimits kLimits = {.requests_per_minute = 200,
                                   .tokens_per_minute = 2000,
                                   .tokens_per_day = 50'000,
                                   .concurrent_requests = 6};
  for (uint32_t schedule = 0; schedule < 20; ++schedule) {
    SCOPED_TRACE("schedule " + std::to_string(schedule));
    FakeQuotaClock clock;
    TenantQuota quota(kLimits, clock.Get());
    std::vector<std::unique_ptr<RandomClient>> clients;
    for (uint32_t i = 0; i < 8; ++i) {
      clients.push_back(std::make_unique<RandomClient>(quota, clock, schedule * 100 + i));
    }
    std::atomic<int> running = 4;
    std::vector<std::thread> threads;
    for (size_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        for (int step = 0; step < 4000; ++step) clients[thread * 2 + (step & 1)]->Step();
        --running;
      });
    }
    std::mt19937 random(schedule);
    while (running > 0) {
      // One day of UTC, and not so long that it is two of the oracle's.
      if (clock.steady_ms < 80'000'000) clock.steady_ms += 1 + static_cast<int64_t>(random() % 200);
      std::this_thread::yield();
    }
    for (std::thread& thread : threads) thread.join();
    ExpectWithinLimits(clients, kLimits, /*utc_of_zero_ms=*/0);
    clients.clear();
    EXPECT_EQ(quota.reserved_tokens(), 0);
    EXPECT_EQ(quota.running_requests(), 0);
    EXPECT_EQ(quota.waiting_requests(), 0);
  }
}

// Clients that wait up to five seconds for their turn, then obey Retry-After, played in time that
// passes only from one event to the next.
class ClientSimulation {
 public:
  ClientSimulation(TenantQuota& quota, FakeQuotaClock& clock) : quota_(quota), clock_(clock) {}

  void AddClient() {
    const size_t client = clients_.size();
    clients_.emplace_back();
    At(static_cast<int64_t>(random_() % 1000), [this, client] { Ask(client); });
  }

  void Run(int64_t duration_ms) {
    const int64_t end_ms = clock_.steady_ms + duration_ms;
    while (!events_.empty() && events_.top().time_ms <= end_ms) {
      Event event = events_.top();
      events_.pop();
      clock_.Advance(event.time_ms - clock_.steady_ms);
      event.action();
    }
    clients_.clear();
  }

  const std::vector<Use>& used() const { return used_; }

 private:
  struct Client {
    std::optional<QuotaTicket> ticket;
    std::optional<QuotaReservation> reservation;
    int64_t asked_ms = 0;
    int64_t prompt_tokens = 0;
    int64_t answer_tokens = 0;  // that are still to come
  };
  struct Event {
    int64_t time_ms;
    uint64_t number;  // of one time, those planned first come first
    std::function<void()> action;

    bool operator<(const Event& other) const {
      return std::tie(other.time_ms, other.number) < std::tie(time_ms, number);
    }
  };

  void At(int64_t after_ms, std::function<void()> action) {
    events_.push({clock_.steady_ms + after_ms, ++planned_, std::move(action)});
  }

  void Ask(size_t client) {
    Client& c = clients_[client];
    c.prompt_tokens = 20 + static_cast<int64_t>(random_() % 180);
    c.answer_tokens = 1 + static_cast<int64_t>(random_() % 250);
    c.asked_ms = clock_.steady_ms;
    // What the client allows is more than it needs, as in life.
    c.ticket.emplace(quota_.Enqueue(c.prompt_tokens + 64));
    Wait(client);
  }

  void Wait(size_t client) {
    Client& c = clients_[client];
    Result<QuotaReservation> reservation = c.ticket->TryReserve();
    if (reservation.ok()) {
      c.reservation.emplace(*std::move(reservation));
      c.ticket.reset();
      At(200, [this, client] { Prompt(client); });
    } else if (clock_.steady_ms - c.asked_ms < 5000) {
      At(100, [this, client] { Wait(client); });
    } else {
      const int64_t seconds = std::stoll(RetryAfterSeconds(c.ticket->RetryAfterMs()));
      c.ticket.reset();
      At(seconds * 1000, [this, client] { Ask(client); });
    }
  }

  void Prompt(size_t client) {
    Spend(client, clients_[client].prompt_tokens);
    At(40, [this, client] { Decode(client); });
  }

  void Decode(size_t client) {
    Client& c = clients_[client];
    int64_t tokens = std::min<int64_t>(4, c.answer_tokens);
    if (c.reservation->unspent_tokens() < tokens) (void)c.reservation->Extend(64);
    tokens = std::min(tokens, c.reservation->unspent_tokens());
    Spend(client, tokens);
    c.answer_tokens -= tokens;
    if (c.answer_tokens > 0 && tokens > 0) {
      At(40, [this, client] { Decode(client); });
      return;
    }
    c.reservation->Settle(c.reservation->spent_tokens());
    c.reservation.reset();
    At(10, [this, client] { Ask(client); });
  }

  void Spend(size_t client, int64_t tokens) {
    clients_[client].reservation->Spend(tokens);
    used_.push_back({clock_.steady_ms, tokens});
  }

  TenantQuota& quota_;
  FakeQuotaClock& clock_;
  std::mt19937 random_{7};
  std::vector<Client> clients_;
  std::priority_queue<Event> events_;
  uint64_t planned_ = 0;
  std::vector<Use> used_;
};

TEST(QuotaScheduleTest, AThousandClientsUseNearlyAllOfTheirQuotaAndNeverMore) {
  for (const int64_t limit : {10'000, 200'000}) {
    SCOPED_TRACE(limit);
    FakeQuotaClock clock;
    TenantQuota quota({.tokens_per_minute = limit}, clock.Get());
    ClientSimulation simulation(quota, clock);
    for (int i = 0; i < 1000; ++i) simulation.AddClient();
    constexpr int64_t kMinutes = 3;
    simulation.Run(kMinutes * kMinuteMs);
    int64_t used = 0;
    for (const Use& use : simulation.used()) used += use.amount;
    EXPECT_LE(BusiestMinute(simulation.used()), limit);
    EXPECT_GE(used, kMinutes * limit * 95 / 100);
    RecordProperty("used_permille_" + std::to_string(limit),
                   std::to_string(used * 1000 / (kMinutes * limit)));
    EXPECT_EQ(quota.reserved_tokens(), 0);
    EXPECT_EQ(quota.running_requests(), 0);
  }
}

}  // namespace
}  // namespace foretoken
