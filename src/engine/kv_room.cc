#include "engine/kv_room.h"

#include <algorithm>
#include <utility>

namespace foretoken {
namespace {

// Saves the cached tokens of a request. Without a saved state it will compute them again.
void SaveState(EngineState& state, ActiveRequest& request) {
  CachedSequence& cache = request.cache();
  if (cache.sequence() == nullptr || cache.cached_tokens() == 0) return;
  auto bytes = cache.sequence()->Save();
  if (!bytes.ok()) return;
  auto reservation = state.saved_bytes.Reserve(static_cast<int64_t>(bytes->size()));
  if (!reservation.ok()) return;
  request.saved = SavedState{.bytes = std::move(*bytes),
                             .tokens = cache.cached_tokens(),
                             .reservation = std::move(*reservation)};
}

// False when there is no saved state, or it cannot be had back.
bool RestoreState(EngineState& state, ActiveRequest& request) {
  if (!request.saved) return false;
  const SavedState saved = std::move(*request.saved);
  request.saved.reset();
  auto sequence = state.sequences.Acquire();
  if (!sequence.ok() || !sequence->Restore(saved.bytes, saved.tokens).ok()) return false;
  request.cache().Adopt(std::move(*sequence),
                        std::span(request.session().tokens).first(
                            static_cast<size_t>(saved.tokens)));
  return true;
}

// Cells that a paused request takes when it comes back.
int32_t CellsToResume(const ActiveRequest& request) {
  return static_cast<int32_t>(request.decoder->session().tokens.size());
}

}  // namespace

bool EvictForCells(EngineState& state, int32_t cells) {
  while (state.sequences.free_cells() < cells) {
    if (!state.prefixes.EvictLeastRecentlyUsed()) return false;
  }
  return true;
}

bool EvictForSequence(EngineState& state) {
  while (state.sequences.free_ids() == 0) {
    if (!state.prefixes.EvictLeastRecentlyUsed()) return false;
  }
  return true;
}

bool MakeRoomForRunning(EngineState& state, int32_t cells) {
  while (!EvictForCells(state, cells)) {
    if (state.running.size() < 2) return false;
    const auto youngest =
        std::max_element(state.running.begin(), state.running.end(),
                         [](const RequestPtr& a, const RequestPtr& b) {
                           return a->arrival < b->arrival;
                         });
    PauseRequest(state, static_cast<size_t>(youngest - state.running.begin()));
  }
  return true;
}

void PauseRequest(EngineState& state, size_t running_index) {
  RequestPtr request = std::move(state.running[running_index]);
  state.running.erase(state.running.begin() + static_cast<std::ptrdiff_t>(running_index));
  SaveState(state, *request);
  request->cache().Release();
  state.metrics.RecordPreempted(request->tenant());
  if (DraftModelWrapper* draft = request->decoder->draft_model()) draft->cache().Release();
  TenantQueue& queue = state.tenants.at(request->tenant());
  --queue.running;
  ++queue.paused;
  const auto place = std::upper_bound(
      state.paused.begin(), state.paused.end(), request,
      [](const RequestPtr& a, const RequestPtr& b) { return a->arrival < b->arrival; });
  state.paused.insert(place, std::move(request));
}

bool ResumePaused(EngineState& state) {
  while (!state.paused.empty()) {
    const int32_t growth = kGrowthCells * static_cast<int32_t>(state.running.size());
    const int32_t wanted =
        CellsToResume(*state.paused.front()) + growth + PromisedCells(state);
    // A request that runs alone gets whatever there is: one always goes on.
    if (!state.running.empty() &&
        (static_cast<int32_t>(state.running.size()) >= state.options.runtime.max_running ||
         !EvictForCells(state, wanted))) {
      return false;
    }
    if (state.running.empty()) EvictForCells(state, CellsToResume(*state.paused.front()));
    if (!EvictForSequence(state)) return false;
    RequestPtr request = std::move(state.paused.front());
    state.paused.erase(state.paused.begin());
    const bool restored = RestoreState(state, *request);
    state.metrics.RecordResumed(request->tenant(), restored);
    TenantQueue& queue = state.tenants.at(request->tenant());
    --queue.paused;
    ++queue.running;
    state.running.push_back(std::move(request));
  }
  return true;
}

int32_t PromisedCells(const EngineState& state) {
  int32_t cells = 0;
  for (const RequestPtr& request : state.running) {
    cells += request->decoder->missing_tokens();
  }
  return cells;
}

}  // namespace foretoken
