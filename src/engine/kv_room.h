#ifndef FORETOKEN_ENGINE_KV_ROOM_H_
#define FORETOKEN_ENGINE_KV_ROOM_H_

#include <cstdint>

#include "engine/engine_state.h"

namespace foretoken {

// KV cells that are free or hold nothing but cached prefixes.
int32_t AvailableCells(const EngineState& state);

// Gives up cached prefixes, least recently used first, until `cells` KV cells are free. False, with
// nothing given up, when all of them would not be enough.
bool EvictForCells(EngineState& state, int32_t cells);
// The same for one sequence id.
bool EvictForSequence(EngineState& state);

// Makes `cells` free for requests that run now: gives up cached prefixes, then pauses requests, the
// youngest first; before all others those that are stalled, and never the oldest of those that can
// go on. True when they are free.
bool MakeRoomForRunning(EngineState& state, int32_t cells);

// Makes `cells` free for a request that is to run, and what those that run are about to need
// besides: gives up cached prefixes, then pauses requests that are stalled. One that would run
// alone gets what there is: somebody always goes on. False when it has to wait.
bool MakeRoomForWaiting(EngineState& state, int32_t cells);

// Takes a running request out of the batch and its cells away; its state goes to host memory where
// the bound allows it, and is computed again otherwise.
void PauseRequest(EngineState& state, size_t running_index);

// Lets paused requests run again, oldest first, as far as there is room. True when none is left
// but those whose readers are behind.
bool ResumePaused(EngineState& state);

// Cells that the running requests will need for the rest of their prompts.
int32_t PromisedCells(const EngineState& state);

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_KV_ROOM_H_
