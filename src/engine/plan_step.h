#ifndef FORETOKEN_ENGINE_PLAN_STEP_H_
#define FORETOKEN_ENGINE_PLAN_STEP_H_

#include <cstdint>
#include <vector>

#include "engine/engine_state.h"

namespace foretoken {

// A running request's part in a step.
struct PlannedRequest {
  ActiveRequest* request = nullptr;
  // Of the committed tokens that are missing in the cache: 1 while decoding, a chunk of the prompt
  // before.
  int32_t committed_rows = 1;
};

struct StepPlan {
  std::vector<PlannedRequest> requests;
  int32_t decoding = 0;        // of them, those past their prompt
  int32_t max_draft_rows = 0;  // that the batch, the logits and the KV cache have room for
  AdapterPtr adapter;
};

// Chooses who takes part in the next step, and with how many rows.
//
// All requests that decode take part, but for those whose reader is behind, those of another
// adapter, and, where several tenants decode, those that a tenant has beyond its fair share while
// it is ahead of the others. Prompts fill the step up to where it would take prefill_slowdown times
// as long as without them, the least served tenant first. Pauses the youngest requests where the
// KV cache has no room for one more token of each.
StepPlan PlanStep(EngineState& state);

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_PLAN_STEP_H_
