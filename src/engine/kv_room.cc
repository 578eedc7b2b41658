#include "engine/kv_room.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <utility>

namespace foretoken {
namespace {

using Clock = ActiveRequest::Clock;

// What each running request is expected to grow by before another one is let in.
constexpr int32_t kGrowthCells = 32;

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

// Gives a paused request its sequence again: with the saved state, or empty where there is none or
// it cannot be had back. Whether it was.
bool RestoreState(EngineState& state, ActiveRequest& request) {
  const std::optional<SavedState> saved = std::exchange(request.saved, std::nullopt);
  auto sequence = state.sequences.Acquire();
  if (!sequence.ok()) return false;
  const bool restored = saved && sequence->Restore(saved->bytes, saved->tokens).ok();
  const std::span<const TokenId> tokens = request.session().tokens;
  request.cache().Adopt(std::move(*sequence),
                        tokens.first(restored ? static_cast<size_t>(saved->tokens) : 0));
  return restored;
}

// Pauses the youngest of the running requests that `may_be` is true of. False when there is none.
template <typename Predicate>
bool PauseYoungest(EngineState& state, const Predicate& may_be) {
  std::optional<size_t> youngest;
  for (size_t i = 0; i < state.running.size(); ++i) {
    if (may_be(*state.running[i]) &&
        (!youngest || state.running[i]->arrival > state.running[*youngest]->arrival)) {
      youngest = i;
    }
  }
  if (youngest) PauseRequest(state, *youngest);
  return youngest.has_value();
}

bool PauseYoungestStalled(EngineState& state, Clock::time_point now) {
  return PauseYoungest(state, [now](const ActiveRequest& r) { return r.IsStalled(now); });
}

}  // namespace

int32_t AvailableCells(const EngineState& state) {
  return state.sequences.free_cells() + state.prefixes.ExclusiveCells();
}

bool EvictForCells(EngineState& state, int32_t cells) {
  if (state.sequences.free_cells() >= cells) return true;
  if (AvailableCells(state) < cells) return false;
  while (state.sequences.free_cells() < cells && state.prefixes.EvictLeastRecentlyUsed()) {
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
  const auto can_go_on = [](const ActiveRequest& r) { return r.sink.channel().HasRoom(); };
  const Clock::time_point now = Clock::now();
  while (!EvictForCells(state, cells)) {
    if (PauseYoungestStalled(state, now)) continue;
    const auto going_on = std::count_if(state.running.begin(), state.running.end(),
                                        [&](const RequestPtr& r) { return can_go_on(*r); });
    const bool paused = going_on > 1 ? PauseYoungest(state, can_go_on)
                                     : PauseYoungest(state, std::not_fn(can_go_on));
    if (!paused) return false;
  }
  return true;
}

bool MakeRoomForWaiting(EngineState& state, int32_t cells) {
  const Clock::time_point now = Clock::now();
  while (!state.running.empty()) {
    const int32_t growth = kGrowthCells * static_cast<int32_t>(state.running.size());
    if (EvictForCells(state, cells + growth + PromisedCells(state))) return true;
    if (!PauseYoungestStalled(state, now)) return false;
  }
  EvictForCells(state, std::min(cells, AvailableCells(state)));
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
  const auto next = [&state] {
    return std::find_if(state.paused.begin(), state.paused.end(),
                        [](const RequestPtr& r) { return r->sink.channel().HasRoom(); });
  };
  for (auto place = next(); place != state.paused.end(); place = next()) {
    const ActiveRequest* oldest = place->get();
    if (!state.running.empty() &&
        static_cast<int32_t>(state.running.size()) >= state.options.runtime.max_running) {
      return false;
    }
    const auto tokens = static_cast<int32_t>(oldest->decoder->session().tokens.size());
    if (!MakeRoomForWaiting(state, tokens) || !EvictForSequence(state)) return false;
    // Others may have been paused for it.
    place = std::find_if(state.paused.begin(), state.paused.end(),
                         [oldest](const RequestPtr& r) { return r.get() == oldest; });
    RequestPtr request = std::move(*place);
    state.paused.erase(place);
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
