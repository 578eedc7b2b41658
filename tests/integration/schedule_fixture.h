#ifndef FORETOKEN_INTEGRATION_SCHEDULE_FIXTURE_H_
#define FORETOKEN_INTEGRATION_SCHEDULE_FIXTURE_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "foretoken/runtime_manager.h"
#include "integration/schedule_cases.h"
#include "integration/schedule_judge.h"
#include "integration/slowness.h"

namespace foretoken {

// A client with one request: hands it in, reads its stream and misbehaves as planned.
// One thread submits and reads, any may cancel. The request must outlive it.
class Client {
 public:
  explicit Client(const ScheduledRequest& scheduled) : scheduled_(scheduled) {}

  void Submit(RuntimeManager& manager);
  // To the end of the stream, or to where the plan drops it.
  void Read();
  // Does nothing before Submit and after Read.
  void Cancel();

  // Once Read has returned.
  const Outcome& outcome() const { return outcome_; }

 private:
  void ReadEvents();
  // False when the plan is to read no further.
  bool ObeyPlan(int32_t events);

  const ScheduledRequest& scheduled_;
  Outcome outcome_;
  std::mutex mutex_;  // held to replace stream_, and by Cancel
  std::unique_ptr<GenerationStream> stream_;
  bool cancelled_ = false;  // guarded by mutex_
};

// The clock of a schedule: forwards of the target. Clients act at the steps that their plans say,
// however fast the machine is, because a forward waits until they have.
// Any thread may call it.
class StepClock {
 public:
  // Announces an action; AwaitTurn and Taken will follow with the same step. Before the first Step.
  void Announce(int64_t step);
  // A forward begins. Called on the engine's thread, which must not be waited for by an action.
  void Step();
  // Waits for the step; if nothing runs any more, to be the first of those that still wait.
  void AwaitTurn(int64_t step);
  // The action is over, or, if it waits for the engine itself, is about to begin.
  void Taken(int64_t step);

 private:
  bool SomeoneIsDue() const { return !announced_.empty() && *announced_.begin() <= now_; }

  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t now_ = 0;
  std::multiset<int64_t> announced_;
};

// Which forwards of a target carried rows of which request, told apart by their prompts. Sees rows
// only: prompts that are reused from the cache and generations that are restored escape it.
// Any thread may call it.
class ForwardLog {
 public:
  // Numbers of forwards, from 1; 0: none yet.
  struct Presence {
    int64_t first_token = 0;  // with the last row of its prompt
    int64_t last = 0;         // with a row of it from there on
  };

  explicit ForwardLog(std::vector<std::vector<TokenId>> prompts)
      : prompts_(std::move(prompts)), presences_(prompts_.size()) {}

  // A forward begins. Returns its number.
  int64_t Note(std::span<const BatchRow> rows);
  // Does something while no forward begins. Returns the number of the last one.
  int64_t BetweenForwards(const std::function<void()>& action);
  Presence PresenceOf(size_t prompt) const;

 private:
  const std::vector<std::vector<TokenId>> prompts_;
  mutable std::mutex mutex_;
  std::vector<Presence> presences_;
  std::map<SequenceId, std::vector<TokenId>> sequences_;
  int64_t forwards_ = 0;
};

// Nothing here takes so long: it hangs. Generous, since machines are busy, or asleep for a while.
inline constexpr int32_t kHangingSeconds = 100;

// Ends the process, saying what it was about, unless destroyed within kHangingSeconds: a test that
// hangs must still name its seed.
class Watchdog {
 public:
  explicit Watchdog(std::string about);
  ~Watchdog();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

// Makes a model's back ends fail as planned and shows their forwards to `clock` (may be null).
// Before their first forward.
void PlanFaults(const FaultPlan& plan, const FakeModelOptions& model, uint64_t seed, bool is_target,
                StepClock* clock, FakeControl& control);

// Plays a schedule on a runtime of its own, every client on a thread of its own. Returns what went
// wrong, a line each.
std::vector<std::string> Play(const Schedule& schedule, Totals& totals);

}  // namespace foretoken

#endif  // FORETOKEN_INTEGRATION_SCHEDULE_FIXTURE_H_
