#ifndef FORETOKEN_ENGINE_FINISH_REQUEST_H_
#define FORETOKEN_ENGINE_FINISH_REQUEST_H_

#include "engine/engine_state.h"

namespace foretoken {

// Ends a request that was taken out of the state's lists: what it holds is given back or kept for
// reuse, then its last event is sent.
void FinishRequest(EngineState& state, RequestPtr request, FinishReason reason,
                   const Status& status);

// Ends those whose stream was cancelled, whose deadline is over, or whose reader has not read for
// too long, wherever they are. Returns when it should be called again at the latest.
ActiveRequest::Clock::time_point EndOverdueRequests(EngineState& state,
                                                    ActiveRequest::Clock::time_point now);

// Ends a tenant's requests, as cancelled.
void EndTenantRequests(EngineState& state, TenantKey tenant, const Status& status);

// Ends all requests, as cancelled.
void EndAllRequests(EngineState& state, const Status& status);

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_FINISH_REQUEST_H_
