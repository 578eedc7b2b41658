#ifndef FORETOKEN_ENGINE_ADAPTER_TURN_H_
#define FORETOKEN_ENGINE_ADAPTER_TURN_H_

#include <vector>

#include "engine/engine_state.h"

namespace foretoken {

// Which adapter the next step serves: a step has one. The one of now is kept while its requests
// are the only ones or its turn is not over; then comes the one whose requests have waited longest.
AdapterPtr ChooseAdapter(const EngineState& state, const std::vector<ActiveRequest*>& ready);

// Makes the target's next forwards run with `adapter`.
Status UseAdapter(EngineState& state, const AdapterPtr& adapter);

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_ADAPTER_TURN_H_
