#ifndef FORETOKEN_INTEGRATION_SCHEDULE_JUDGE_H_
#define FORETOKEN_INTEGRATION_SCHEDULE_JUDGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "foretoken/generation.h"
#include "foretoken/status.h"
#include "integration/schedule_cases.h"
#include "integration/schedule_oracle.h"

namespace foretoken {

// What a client saw of its request.
struct Outcome {
  Status refusal;  // not OK: the request was not taken
  std::vector<GeneratedToken> tokens;
  std::string text;
  std::vector<FinishedEvent> finishes;  // exactly one, unless the stream was dropped
  bool events_after_finish = false;
  bool cancelled = false;  // somebody called Cancel
  bool dropped = false;
};

// What else may happen to a request than to be answered, whoever wants it to.
struct Allowance {
  bool refusal = false;  // its tenant is removed
  bool failure = false;  // without poison of its own
};

// OK when the outcome is what must come of the request, otherwise what is wrong with it.
Status JudgeOutcome(const Oracle& oracle, const ScheduledRequest& scheduled,
                    const Allowance& allowance, const Outcome& outcome);

// Counts over many requests, to show that they did what they are for.
struct Totals {
  int64_t requests = 0;
  int64_t exact = 0;  // answered whole, with the tokens they must have
  int64_t refused = 0;
  int64_t cancelled = 0;
  int64_t late = 0;  // past their deadline
  int64_t dropped = 0;
  int64_t failed = 0;
  int64_t tokens = 0;
  int64_t rounds = 0;
  int64_t accepted = 0;
  int64_t rejected = 0;
  int64_t predicted = 0;             // accepted of predictions
  int64_t cached_prompt_tokens = 0;  // reused
  int64_t drafting_failures = 0;     // requests warned of one
  int64_t target_forwards = 0;
  int64_t forks = 0;
  int64_t saves = 0;
  int64_t restores = 0;

  void Count(const Outcome& outcome);
  // The target's back end, at the end.
  void Count(const FakeControl& target);
  std::string ToString() const;
};

}  // namespace foretoken

#endif  // FORETOKEN_INTEGRATION_SCHEDULE_JUDGE_H_
