// An engine under random load for minutes: cancels, dropped streams, readers that pause, failures
// below it, tenants that come and go. Every answer is checked against the oracle; resident memory
// must stay flat after a warm-up, and nothing may be left at the end.
//
// Usage: foretoken_engine_soak [SECONDS [SEED]]. 600 seconds by default.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "integration/schedule_fixture.h"
#include "unit/tenancy/fake_runtime.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int32_t kClients = 12;
constexpr int32_t kRequests = 500;  // different ones
constexpr size_t kShownFaults = 20;
constexpr auto kReportInterval = seconds(10);
constexpr double kMemoryGrowth = 1.02;

int64_t ResidentBytes() {
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

// The load on one runtime, and what has gone wrong so far.
// Run once; its threads are its own.
class Soak {
 public:
  Soak(uint64_t seed, seconds duration)
      : schedule_(LongSchedule(seed, kRequests)),
        oracles_(MakeOracles(schedule_)),
        runtime_(schedule_.runtime, schedule_.models),
        duration_(duration),
        running_(kClients) {}

  // The process's exit status.
  int Run() {
    uint64_t seed = schedule_.seed;
    for (const auto& [path, model] : schedule_.models) {
      PlanFaults(schedule_.faults, model, ++seed, IsTarget(path), nullptr,
                 *runtime_.controls[path]);
    }
    for (const TenantConfig& tenant : schedule_.tenants) {
      const auto added = runtime_.manager->AddTenant(tenant);
      if (!added.ok()) AddFault(added.status().ToString());
    }
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kClients; ++i) threads.emplace_back([this, i] { BeClient(i); });
    threads.emplace_back([this] { CancelAtRandom(); });
    threads.emplace_back([this] { ReplaceTenants(); });
    Watch();
    over_ = true;
    for (std::thread& thread : threads) thread.join();
    runtime_.manager.reset();
    for (const auto& [path, control] : runtime_.controls) {
      if (control->cells_in_use == 0 && control->live_backends == 0) continue;
      AddFault(fmt::format("{}: {} cells and {} back ends are left", path,
                           control->cells_in_use.load(), control->live_backends.load()));
    }
    fmt::print("{}\n{} faults\n", SoFar().ToString(), faults_);
    return faults_ == 0 ? 0 : 1;
  }

 private:
  void AddFault(const std::string& fault) {
    const std::lock_guard lock(mutex_);
    if (static_cast<size_t>(faults_++) < kShownFaults) fmt::print("FAULT {}\n", fault);
  }

  Totals SoFar() {
    const std::lock_guard lock(mutex_);
    Totals totals = totals_;
    for (const auto& [path, control] : runtime_.controls) {
      if (IsTarget(path)) totals.Count(*control);
    }
    return totals;
  }

  Random RandomFor(uint64_t thread) const { return Random(schedule_.seed * 1000 + thread); }

  // Tenants of odd number come and go.
  bool ComesAndGoes(const std::string& tenant) const { return (tenant.back() - '0') % 2 == 1; }

  void BeClient(size_t number) {
    Random random = RandomFor(number);
    while (!over_) {
      const ScheduledRequest& scheduled = random.Pick(schedule_.requests);
      const auto client = std::make_shared<Client>(scheduled);
      client->Submit(*runtime_.manager);
      SetRunning(number, client);
      client->Read();
      SetRunning(number, nullptr);
      const Allowance allowance{.refusal = ComesAndGoes(scheduled.tenant),
                                .failure = !scheduled.same_tokens};
      const TenantConfig& tenant = schedule_.FindTenant(scheduled.tenant);
      const Status verdict = JudgeOutcome(oracles_.at(tenant.target.path), tenant, scheduled,
                                          allowance, client->outcome());
      if (!verdict.ok()) AddFault(verdict.message() + " (" + Describe(scheduled) + ")");
      const std::lock_guard lock(mutex_);
      totals_.Count(client->outcome());
    }
  }

  void SetRunning(size_t number, std::shared_ptr<Client> client) {
    const std::lock_guard lock(mutex_);
    running_[number] = std::move(client);
  }

  void CancelAtRandom() {
    Random random = RandomFor(kClients);
    while (!over_) {
      std::this_thread::sleep_for(milliseconds(random.Int(0, 3)));
      std::shared_ptr<Client> client;
      {
        const std::lock_guard lock(mutex_);
        client = random.Pick(running_);
      }
      if (client) client->Cancel();
    }
  }

  void ReplaceTenants() {
    Random random = RandomFor(kClients + 1);
    while (!over_) {
      std::this_thread::sleep_for(milliseconds(random.Int(1, 50)));
      const TenantConfig& tenant = random.Pick(schedule_.tenants);
      if (!ComesAndGoes(tenant.name)) continue;
      const Status removed = runtime_.manager->RemoveTenant(tenant.name);
      std::this_thread::sleep_for(milliseconds(random.Int(0, 3)));
      const Status added = runtime_.manager->AddTenant(tenant).status();
      for (const Status& status : {removed, added}) {
        if (!status.ok()) AddFault(status.ToString());
      }
    }
  }

  // Until the time is over: prints a line now and then, looks for standstill and for growth.
  void Watch() {
    const Clock::time_point start = Clock::now();
    const Clock::duration warm_up = std::min<Clock::duration>(duration_ / 4, seconds(60));
    Clock::time_point report_at = start + kReportInterval;
    Clock::time_point progress_at = start;
    int64_t requests = 0;
    int64_t warm_bytes = 0;
    int64_t most_bytes = 0;
    for (Clock::time_point now = start; now < start + duration_; now = Clock::now()) {
      std::this_thread::sleep_for(milliseconds(250));
      const Totals totals = SoFar();
      if (totals.requests > requests) progress_at = now;
      requests = totals.requests;
      if (now - progress_at > seconds(kHangingSeconds)) {
        fmt::print("hangs: {}\n", totals.ToString());
        std::fflush(stdout);
        std::abort();
      }
      int64_t& peak = now - start < warm_up ? warm_bytes : most_bytes;
      peak = std::max(peak, ResidentBytes());
      if (now < report_at) continue;
      report_at += kReportInterval;
      fmt::print("{:4} s  {:.1f} MiB resident, {} cells in use, {}\n",
                 std::chrono::duration_cast<seconds>(now - start).count(),
                 static_cast<double>(ResidentBytes()) / (1 << 20),
                 runtime_.controls[kTargetPath]->cells_in_use.load(), totals.ToString());
      std::fflush(stdout);
    }
    const double growth = static_cast<double>(most_bytes) / static_cast<double>(warm_bytes);
    fmt::print("resident memory after the warm-up: at most {:.4f} of that before\n", growth);
    if (kSlowness == 1 && growth > kMemoryGrowth) AddFault("resident memory grows");
  }

  const Schedule schedule_;
  const std::map<std::string, Oracle> oracles_;  // by path of the target
  FakeRuntime runtime_;
  const seconds duration_;
  std::atomic<bool> over_ = false;

  std::mutex mutex_;  // of what follows
  std::vector<std::shared_ptr<Client>> running_;
  Totals totals_;
  int64_t faults_ = 0;
};

}  // namespace
}  // namespace foretoken

int main(int argc, char** argv) {
  // One arena: otherwise resident memory depends on which thread allocates when.
  mallopt(M_ARENA_MAX, 1);
  const long duration = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 600;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  if (duration <= 0) {
    fmt::print(stderr, "Usage: {} [SECONDS [SEED]]\n", argv[0]);
    return 2;
  }
  return foretoken::Soak(seed, std::chrono::seconds(duration)).Run();
}
