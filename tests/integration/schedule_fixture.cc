#include "integration/schedule_fixture.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "unit/tenancy/fake_runtime.h"

#if defined(FORETOKEN_THREAD_SANITIZER) || defined(FORETOKEN_ADDRESS_SANITIZER)
#include <sanitizer/common_interface_defs.h>
#endif

namespace foretoken {
namespace {

// No forward for so long: nothing runs, or what runs waits for its reader.
constexpr auto kStandstill = std::chrono::microseconds(300 * kSlowness);
constexpr auto kReaderPause = std::chrono::microseconds(200);

// The same failure does not come again within so many calls: it passes.
constexpr int64_t kCallsBetweenFaults = 8;

// The schedule that is being played, for a process that dies of it.
std::atomic<uint64_t> playing_seed = 0;

void NamePlayingSchedule() {
  std::array<char, 64> text{};
  const auto end =
      fmt::format_to_n(text.data(), text.size(), "died in schedule {}\n", playing_seed.load());
  (void)!write(STDERR_FILENO, text.data(), std::min(end.size, text.size()));
}

void NameScheduleOnDeath(uint64_t seed) {
  playing_seed = seed;
#if defined(FORETOKEN_THREAD_SANITIZER) || defined(FORETOKEN_ADDRESS_SANITIZER)
  __sanitizer_set_death_callback(NamePlayingSchedule);
#else
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE}) {
    std::signal(signal, [](int received) {
      NamePlayingSchedule();
      std::signal(received, SIG_DFL);
      std::raise(received);
    });
  }
#endif
}

// A run of a schedule: the clients, and those who cancel requests and remove tenants.
class Performance {
 public:
  Performance(const Schedule& schedule, FakeRuntime& runtime, StepClock& clock)
      : schedule_(schedule), runtime_(runtime), clock_(clock) {
    for (const ScheduledRequest& scheduled : schedule.requests) {
      clients_.push_back(std::make_unique<Client>(scheduled));
    }
  }

  void Run() {
    for (size_t i = 0; i < clients_.size(); ++i) {
      const ScheduledRequest& scheduled = schedule_.requests[i];
      At(
          scheduled.arrival_step, [this, i] { clients_[i]->Submit(*runtime_.manager); },
          [this, i] { clients_[i]->Read(); });
      if (scheduled.cancel_step) {
        At(
            *scheduled.cancel_step, [this, i] { clients_[i]->Cancel(); }, [] {});
      }
    }
    for (const TenantRemoval& removal : schedule_.removals) {
      At(
          removal.step, [] {}, [this, &removal] { Remove(removal); });
    }
    for (auto& [step, thread_body] : actions_) clock_.Announce(step);
    std::vector<std::thread> threads;
    threads.reserve(actions_.size());
    for (auto& [step, thread_body] : actions_) threads.emplace_back(thread_body);
    for (std::thread& thread : threads) thread.join();
  }

  const Outcome& outcome(size_t request) const { return clients_[request]->outcome(); }

 private:
  // What a thread does at a step, and what it does afterwards, for which no forward waits.
  void At(int64_t step, std::function<void()> action, std::function<void()> afterwards) {
    actions_.emplace_back(step, [this, step, action, afterwards] {
      clock_.AwaitTurn(step);
      action();
      clock_.Taken(step);
      afterwards();
    });
  }

  void Remove(const TenantRemoval& removal) {
    // The last owner of an engine waits for its thread.
    (void)runtime_.manager->RemoveTenant(removal.tenant);
    if (!removal.comes_back) return;
    for (const TenantConfig& tenant : schedule_.tenants) {
      if (tenant.name == removal.tenant) (void)runtime_.manager->AddTenant(tenant);
    }
  }

  const Schedule& schedule_;
  FakeRuntime& runtime_;
  StepClock& clock_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::pair<int64_t, std::function<void()>>> actions_;
};

// Several engines may use one draft model, hence the lock.
class FaultInjector {
 public:
  FaultInjector(const FaultPlan& plan, const FakeModelOptions& model, uint64_t seed)
      : plan_(plan), poison_(PoisonToken(model.vocabulary_size)), random_(seed) {}

  Status BeforeTargetDecode(std::span<const BatchRow> rows) {
    std::lock_guard lock(mutex_);
    ++calls_;
    if (plan_.poison && std::any_of(rows.begin(), rows.end(),
                                    [this](const BatchRow& row) { return row.token == poison_; })) {
      return InternalError("injected poison");
    }
    if (calls_ - last_fault_ <= kCallsBetweenFaults || !random_.Chance(plan_.target_chance)) {
      return OkStatus();
    }
    last_fault_ = calls_;
    return ResourceExhaustedError("injected lack of room");
  }

  Status BeforeDraftDecode() {
    std::lock_guard lock(mutex_);
    return random_.Chance(plan_.draft_chance) ? InternalError("injected draft failure")
                                              : OkStatus();
  }

  Status BeforeCall(FakeCall call) {
    std::lock_guard lock(mutex_);
    if (call == FakeCall::kUseAdapter || !random_.Chance(plan_.state_chance)) return OkStatus();
    return random_.Chance(0.5) ? ResourceExhaustedError("injected lack of room for a state")
                               : InternalError("injected failure of a state");
  }

 private:
  const FaultPlan plan_;
  const TokenId poison_;
  std::mutex mutex_;
  Random random_;
  int64_t calls_ = 0;
  int64_t last_fault_ = -kCallsBetweenFaults;
};

bool WaitUntilEmpty(const FakeRuntime& runtime) {
  for (int32_t i = 0; i < 1000; ++i) {
    const bool empty =
        std::all_of(runtime.controls.begin(), runtime.controls.end(),
                    [](const auto& entry) { return entry.second->cells_in_use == 0; });
    if (empty) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

}  // namespace

void Client::Submit(RuntimeManager& manager) {
  auto stream = manager.GenerateStream(scheduled_.tenant, scheduled_.request);
  std::lock_guard lock(mutex_);
  outcome_.refusal = stream.status();
  if (!stream.ok()) return;
  stream_ = std::move(*stream);
  cancelled_ = scheduled_.reader.cancel_after == 0;
  if (cancelled_) stream_->Cancel();
}

void Client::Read() {
  outcome_.dropped = stream_ && scheduled_.reader.drop_after == 0;
  if (stream_ && !outcome_.dropped) ReadEvents();
  std::lock_guard lock(mutex_);
  stream_.reset();
  outcome_.cancelled = cancelled_;
}

void Client::ReadEvents() {
  for (int32_t events = 1; true; ++events) {
    std::optional<StreamEvent> event = stream_->Next();
    if (!event) return;
    outcome_.events_after_finish = outcome_.events_after_finish || !outcome_.finishes.empty();
    if (auto* finished = std::get_if<FinishedEvent>(&*event)) {
      outcome_.finishes.push_back(std::move(*finished));
      continue;
    }
    auto& round = std::get<TokensEvent>(*event);
    outcome_.text += round.text;
    std::move(round.tokens.begin(), round.tokens.end(), std::back_inserter(outcome_.tokens));
    if (!ObeyPlan(events)) return;
  }
}

bool Client::ObeyPlan(int32_t events) {
  const ReaderPlan& plan = scheduled_.reader;
  if (plan.pause_every && events % *plan.pause_every == 0) {
    std::this_thread::sleep_for(kReaderPause);
  }
  if (plan.cancel_after == events) Cancel();
  outcome_.dropped = plan.drop_after == events;
  return !outcome_.dropped;
}

void Client::Cancel() {
  std::lock_guard lock(mutex_);
  if (!stream_) return;
  cancelled_ = true;
  stream_->Cancel();
}

void StepClock::Announce(int64_t step) {
  std::lock_guard lock(mutex_);
  announced_.insert(step);
}

void StepClock::Step() {
  std::unique_lock lock(mutex_);
  ++now_;
  if (!SomeoneIsDue()) return;
  changed_.notify_all();
  changed_.wait(lock, [this] { return !SomeoneIsDue(); });
}

void StepClock::AwaitTurn(int64_t step) {
  std::unique_lock lock(mutex_);
  while (now_ < step) {
    const int64_t before = now_;
    if (changed_.wait_for(lock, kStandstill, [&] { return now_ >= step; })) return;
    if (now_ == before && *announced_.begin() == step) now_ = step;
  }
}

void StepClock::Taken(int64_t step) {
  std::lock_guard lock(mutex_);
  announced_.erase(announced_.find(step));
  changed_.notify_all();
}

int64_t ForwardLog::Note(std::span<const BatchRow> rows) {
  const std::lock_guard lock(mutex_);
  ++forwards_;
  for (const BatchRow& row : rows) {
    std::vector<TokenId>& tokens = sequences_[row.sequences.front()];
    tokens.resize(static_cast<size_t>(row.position));
    tokens.push_back(row.token);
    for (size_t i = 0; i < prompts_.size(); ++i) {
      const std::vector<TokenId>& prompt = prompts_[i];
      if (tokens.size() < prompt.size() ||
          !std::equal(prompt.begin(), prompt.end(), tokens.begin())) {
        continue;
      }
      if (tokens.size() == prompt.size()) presences_[i].first_token = forwards_;
      presences_[i].last = forwards_;
    }
  }
  return forwards_;
}

int64_t ForwardLog::BetweenForwards(const std::function<void()>& action) {
  const std::lock_guard lock(mutex_);
  action();
  return forwards_;
}

ForwardLog::Presence ForwardLog::PresenceOf(size_t prompt) const {
  const std::lock_guard lock(mutex_);
  return presences_[prompt];
}

Watchdog::Watchdog(std::string about)
    : thread_([this, about = std::move(about)] {
        std::unique_lock lock(mutex_);
        if (changed_.wait_for(lock, std::chrono::seconds(kHangingSeconds),
                              [this] { return done_; })) {
          return;
        }
        fmt::print(stderr, "{} hangs\n", about);
        std::fflush(stderr);
        std::abort();
      }) {}

Watchdog::~Watchdog() {
  {
    std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void PlanFaults(const FaultPlan& plan, const FakeModelOptions& model, uint64_t seed, bool is_target,
                StepClock* clock, FakeControl& control) {
  const auto injector = std::make_shared<FaultInjector>(plan, model, seed);
  control.failed_decode_leaves_rows = seed % 2 == 0;
  control.before_decode = [injector, is_target, clock](int64_t, std::span<const BatchRow> rows) {
    if (clock != nullptr) clock->Step();
    return is_target ? injector->BeforeTargetDecode(rows) : injector->BeforeDraftDecode();
  };
  control.before_call = [injector](FakeCall call) { return injector->BeforeCall(call); };
}

std::vector<std::string> Play(const Schedule& schedule, Totals& totals) {
  NameScheduleOnDeath(schedule.seed);
  const Watchdog watchdog(fmt::format("schedule {}", schedule.seed));
  std::vector<std::string> faults;
  FakeRuntime runtime(schedule.runtime, schedule.models);
  StepClock clock;
  uint64_t fault_seed = schedule.seed;
  for (const auto& [path, model] : schedule.models) {
    const bool is_target = IsTarget(path);
    PlanFaults(schedule.faults, model, ++fault_seed, is_target, is_target ? &clock : nullptr,
               *runtime.controls[path]);
  }
  for (const TenantConfig& tenant : schedule.tenants) {
    const auto added = runtime.manager->AddTenant(tenant);
    if (!added.ok()) faults.push_back(added.status().ToString());
  }
  Performance performance(schedule, runtime, clock);
  performance.Run();

  const std::map<std::string, Oracle> oracles = MakeOracles(schedule);
  for (size_t i = 0; i < schedule.requests.size(); ++i) {
    const ScheduledRequest& scheduled = schedule.requests[i];
    const Allowance allowance{.refusal = schedule.Removes(scheduled.tenant),
                              .failure = schedule.faults.poison && !scheduled.same_tokens};
    const TenantConfig& tenant = schedule.FindTenant(scheduled.tenant);
    const Status verdict = JudgeOutcome(oracles.at(tenant.target.path), tenant, scheduled,
                                        allowance, performance.outcome(i));
    if (!verdict.ok()) {
      faults.push_back(
          fmt::format("request {}: {} ({})", i, verdict.message(), Describe(scheduled)));
    }
    totals.Count(performance.outcome(i));
  }
  for (const auto& [path, control] : runtime.controls) {
    if (IsTarget(path)) totals.Count(*control);
  }

  if (!schedule.runtime.prefix_reuse && !WaitUntilEmpty(runtime)) {
    faults.push_back("cells are in use although nothing runs and nothing is kept for reuse");
  }
  runtime.manager.reset();
  for (const auto& [path, control] : runtime.controls) {
    if (control->cells_in_use == 0 && control->live_backends == 0) continue;
    faults.push_back(fmt::format("{}: {} cells and {} back ends are left", path,
                                 control->cells_in_use.load(), control->live_backends.load()));
  }
  return faults;
}

}  // namespace foretoken
