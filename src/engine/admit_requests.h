#ifndef FORETOKEN_ENGINE_ADMIT_REQUESTS_H_
#define FORETOKEN_ENGINE_ADMIT_REQUESTS_H_

#include "engine/engine_state.h"

namespace foretoken {

// Lets paused requests run again and waiting ones begin, as far as slots and KV cells allow, in
// fair order: the tenant that has been served least first, its oldest request first. A new
// request's prompt shares what is cached of earlier ones of its tenant. While a running request of
// the tenant still computes a beginning that a waiting one could share, that one waits for it.
// Requests that cannot begin are finished with their error.
void AdmitRequests(EngineState& state);

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_ADMIT_REQUESTS_H_
