#ifndef FORETOKEN_ENGINE_RUN_STEP_H_
#define FORETOKEN_ENGINE_RUN_STEP_H_

#include <optional>

#include "engine/engine_state.h"
#include "engine/mailbox.h"

namespace foretoken {

// Puts a submitted request into its tenant's queue.
void AddRequest(EngineState& state, RequestPtr request);

// One step: end what is overdue, admit, plan, one round of draft, verify and commit over all that
// take part, settle. Returns how long there is nothing to do unless something happens: absent when
// there is, Clock::time_point::max() when nothing is waited for.
std::optional<Mailbox::Clock::time_point> RunStep(EngineState& state);

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_RUN_STEP_H_
