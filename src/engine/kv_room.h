#ifndef FORETOKEN_ENGINE_KV_ROOM_H_
#define FORETOKEN_ENGINE_KV_ROOM_H_

#include <cstdint>

#include "engine/engine_state.h"

namespace foretoken {

// Gives up cached prefixes, least recently used first, until `cells` KV cells are free or nothing
// is cached. True when they are free.
bool EvictForCells(EngineState& state, int32_t cells);
// The same for one sequence id.
bool EvictForSequence(EngineState& state);

// Makes `cells` free for requests that run now: gives up cached prefixes, then pauses the youngest
// running requests, but never the oldest. True when they are free.
bool MakeRoomForRunning(EngineState& state, int32_t cells);

// Takes a running request out of the batch and its cells away; its state goes to host memory where
// the bound allows it, and is computed again otherwise.
void PauseRequest(EngineState& state, size_t running_index);

// Lets paused requests run again, oldest first, as far as there is room. True when none is left.
bool ResumePaused(EngineState& state);

// Cells that the running requests will need for the rest of their prompts.
int32_t PromisedCells(const EngineState& state);

// What each running request is expected to grow by before another one is let in.
inline constexpr int32_t kGrowthCells = 32;

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_KV_ROOM_H_
