#ifndef FORETOKEN_ENGINE_SETTLE_STEP_H_
#define FORETOKEN_ENGINE_SETTLE_STEP_H_

#include <chrono>
#include <span>

#include "engine/engine_state.h"
#include "engine/plan_step.h"
#include "speculative/decode_round.h"

namespace foretoken {

// When a step's parts began and ended.
struct StepTimes {
  std::chrono::steady_clock::time_point plan_start;
  std::chrono::steady_clock::time_point round_start;
  std::chrono::steady_clock::time_point round_end;
};

// What follows a round: events to the readers, charges to the tenants, figures to the metrics, and
// the end of those that are through or have failed.
void SettleStep(EngineState& state, const StepPlan& plan, std::span<const RoundEntry> entries,
                const RoundReport& report, const StepTimes& times);

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_SETTLE_STEP_H_
