#include "model/device_arbiter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

using std::chrono::microseconds;
using ClientId = DeviceOrder::ClientId;
using Duration = DeviceOrder::Duration;
using Time = DeviceOrder::Time;

constexpr Duration kPatience = microseconds(2000);

// A client that runs one forward after the other.
struct Load {
  Duration forward;
  Duration gap;              // from a forward's end to the next wish
  Time from{};               // of the first wish
  Time until = Time::max();  // after which it wishes no more
};

struct Outcome {
  std::vector<Duration> used;     // of the device, by client
  std::vector<Duration> longest;  // wait of each
  Duration wasted{};              // device free while somebody waited
};

// Runs clients against the order on a clock of its own.
Outcome Simulate(const std::vector<Load>& loads, Duration length) {
  DeviceOrder order(kPatience);
  Outcome outcome{std::vector<Duration>(loads.size()), std::vector<Duration>(loads.size())};
  std::vector<ClientId> ids;
  std::vector<Time> wishes;  // Time::max(): waits or runs
  std::vector<Time> waits_since(loads.size());
  for (const Load& load : loads) {
    ids.push_back(order.Add());
    wishes.push_back(load.from);
  }
  std::vector<bool> waits(loads.size(), false);
  size_t running = loads.size();
  Time ends = Time::max();
  Time now{};
  while (now < Time{} + length) {
    for (size_t i = 0; i < loads.size(); ++i) {
      if (wishes[i] > now) continue;
      wishes[i] = Time::max();
      if (now >= loads[i].until) continue;
      order.Arrive(ids[i], now);
      waits[i] = true;
      waits_since[i] = now;
    }
    if (running < loads.size() && ends <= now) {
      order.Finish(ids[running], now);
      outcome.used[running] += loads[running].forward;
      wishes[running] = now + loads[running].gap;
      running = loads.size();
      ends = Time::max();
      continue;  // a gap of nothing
    }
    if (const auto next = order.Next(now)) {
      const auto i = static_cast<size_t>(std::find(ids.begin(), ids.end(), *next) - ids.begin());
      EXPECT_TRUE(waits[i]);
      EXPECT_EQ(running, loads.size());
      for (size_t j = 0; j < loads.size(); ++j) {
        EXPECT_TRUE(!waits[j] || order.used(ids[i]) <= order.used(ids[j]));
      }
      order.Start(*next, now);
      waits[i] = false;
      outcome.longest[i] = std::max(outcome.longest[i], now - waits_since[i]);
      running = i;
      ends = now + loads[i].forward;
    }
    // On to whatever happens next.
    Time then = std::min(ends, *std::min_element(wishes.begin(), wishes.end()));
    const bool somebody_waits = std::find(waits.begin(), waits.end(), true) != waits.end();
    if (running == loads.size() && somebody_waits) {
      EXPECT_LT(now, order.kept_until()) << "free, not kept, and somebody waits";
      then = std::min(then, order.kept_until());
      outcome.wasted += then - now;
    }
    if (then == Time::max()) break;
    now = then;
  }
  return outcome;
}

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

TEST(DeviceOrderTest, ShortAndLongForwardsGetTheSameTime) {
  for (const int64_t gap_us : {0, 100, 1900}) {
    const auto outcome = Simulate(
        {{microseconds(100000), microseconds(gap_us)}, {microseconds(5000), microseconds(gap_us)}},
        std::chrono::seconds(20));
    EXPECT_NEAR(Seconds(outcome.used[0]), Seconds(outcome.used[1]), 0.21) << gap_us;
    EXPECT_GT(Seconds(outcome.used[0]), gap_us < 1000 ? 9.5 : 8.0) << gap_us;
  }
}

TEST(DeviceOrderTest, IdlingSavesNothingUp) {
  // The second is away for five seconds; then both want all they can get.
  const auto outcome =
      Simulate({{microseconds(10000), microseconds(0)},
                {microseconds(10000), microseconds(0), Time{} + std::chrono::seconds(5)}},
               std::chrono::seconds(9));
  EXPECT_NEAR(Seconds(outcome.used[0]), 7, 0.05);
  EXPECT_NEAR(Seconds(outcome.used[1]), 2, 0.05);
  EXPECT_LE(outcome.longest[0], microseconds(30000));
}

TEST(DeviceOrderTest, ComingAndGoingSavesNothingUpEither) {
  // Idle for longer than the patience after every forward: served at once, owed nothing.
  const auto outcome =
      Simulate({{microseconds(10000), microseconds(0)}, {microseconds(1000), microseconds(50000)}},
               std::chrono::seconds(10));
  EXPECT_LE(outcome.longest[0], microseconds(1000) + kPatience);
  EXPECT_LE(outcome.longest[1], microseconds(10000));
}

TEST(DeviceOrderTest, OneAloneNeverWaits) {
  const auto outcome = Simulate({{microseconds(700), microseconds(50)}}, std::chrono::seconds(1));
  EXPECT_EQ(outcome.longest[0], Duration{});
  EXPECT_EQ(outcome.wasted, Duration{});
}

TEST(DeviceOrderTest, RandomLoadsShareFairlyAndNobodyStarves) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::minstd_rand random(seed + 1);
    auto below = [&random](uint32_t n) { return static_cast<int64_t>(random() % n); };
    std::vector<Load> loads(2 + static_cast<size_t>(below(4)));
    Duration all_forwards{};
    for (Load& load : loads) {
      load.forward = microseconds(1 + below(20000));
      load.gap = microseconds(below(1999));
      load.from = Time{} + microseconds(below(10000));
      all_forwards += load.forward;
    }
    const auto outcome = Simulate(loads, std::chrono::seconds(20));
    const auto [least, most] = std::minmax_element(outcome.used.begin(), outcome.used.end());
    const Duration longest_forward =
        std::max_element(loads.begin(), loads.end(), [](const Load& a, const Load& b) {
          return a.forward < b.forward;
        })->forward;
    // All come back within the patience, so nobody is more than a forward ahead of another.
    EXPECT_LE(*most - *least, longest_forward + microseconds(20000)) << "seed " << seed;
    EXPECT_GT(*least, Duration{}) << "seed " << seed;
  }
}

TEST(DeviceOrderTest, ARemovedClientKeepsNobodyWaiting) {
  DeviceOrder order(kPatience);
  const ClientId first = order.Add();
  const ClientId second = order.Add();
  order.Arrive(second, Time{});
  order.Start(second, Time{});
  order.Finish(second, Time{} + microseconds(100));
  order.Arrive(second, Time{} + microseconds(5000));
  order.Start(second, Time{} + microseconds(5000));
  order.Arrive(first, Time{} + microseconds(5001));
  order.Finish(second, Time{} + microseconds(5002));
  EXPECT_EQ(order.Next(Time{} + microseconds(5002)), first);
  order.Start(first, Time{} + microseconds(5002));
  order.Arrive(second, Time{} + microseconds(5003));
  order.Finish(first, Time{} + microseconds(5003));
  EXPECT_EQ(order.Next(Time{} + microseconds(5003)), std::nullopt) << "kept for the first";
  order.Remove(first);
  EXPECT_EQ(order.Next(Time{} + microseconds(5003)), second);
}

TEST(DeviceArbiterTest, OneTurnAtATimeAndEverybodyGetsAll) {
  DeviceArbiter arbiter;
  constexpr int kTurns = 300;
  int inside = 0;  // guarded by the turns alone
  int64_t turns = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto client = arbiter.NewClient();
      for (int turn = 0; turn < kTurns; ++turn) {
        DeviceTurn held(*client);
        EXPECT_EQ(++inside, 1);
        ++turns;
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(turns, 4 * kTurns);
}

TEST(DeviceArbiterTest, BackEndsOfTwoEnginesTakeTurns) {
  DeviceArbiter arbiter;
  std::atomic<int> inside{0};
  const auto model = NewFakeModel({.decode_time = [&](int32_t) {
    EXPECT_EQ(++inside, 1);
    std::this_thread::yield();
    --inside;
    return microseconds(50);
  }});
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      const auto backend = model->NewBackend({.device = arbiter.NewClient()}).value();
      for (int32_t position = 0; position < 40; ++position) {
        const BatchRow row{.token = 1, .position = position, .sequences = {SequenceId{0}}};
        EXPECT_TRUE(backend->Decode({&row, 1}).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace foretoken
