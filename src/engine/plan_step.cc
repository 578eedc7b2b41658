#include "engine/plan_step.h"

#include <algorithm>
#include <limits>
#include <map>
#include <vector>

#include "engine/adapter_turn.h"
#include "engine/kv_room.h"

namespace foretoken {
namespace {

// A tenant that is this many tokens ahead of another gets no more than its fair share of a step.
constexpr int64_t kSlackTokens = 8;
// A tenant that is ahead may still take what costs those behind no more than this, as long as they
// have nothing that waits.
constexpr double kFreeRideSlowdown = 1.1;
// A part of a prompt is at least this long, whatever it costs: it has to get on.
constexpr int32_t kMinPrefillRows = 4;
// Without anyone to hold up, a step takes about this long at most, so that who comes in between
// does not wait longer; but at least so many rows, below which a batch is inefficient.
constexpr double kMaxPrefillUs = 400'000;
constexpr int32_t kMinLonePrefillRows = 64;

using Requests = std::vector<ActiveRequest*>;

bool IsDecoding(const ActiveRequest& request) {
  return request.decoder->missing_tokens() == 1;
}

// The least recently served first, then the oldest.
void SortByTurn(Requests& requests) {
  std::sort(requests.begin(), requests.end(), [](const ActiveRequest* a, const ActiveRequest* b) {
    return a->last_step != b->last_step ? a->last_step < b->last_step : a->arrival < b->arrival;
  });
}

double TargetUs(const EngineState& state, size_t rows) {
  return state.budget.target_cost().Predict(static_cast<int32_t>(rows)).us;
}

// How many of its requests each tenant may always decode with: as many as leave every tenant the
// same share by weight, at least one.
int32_t FairRows(double level, double weight, size_t requests) {
  return std::clamp(static_cast<int32_t>(level * weight), 1, static_cast<int32_t>(requests));
}

Requests SelectDecoding(const EngineState& state, const Requests& decoding) {
  std::map<TenantKey, Requests> by_tenant;
  for (ActiveRequest* request : decoding) by_tenant[request->tenant()].push_back(request);
  if (by_tenant.size() < 2) return decoding;

  double level = std::numeric_limits<double>::infinity();
  for (const auto& [key, requests] : by_tenant) {
    level =
        std::min(level, static_cast<double>(requests.size()) / requests[0]->request.tenant->weight);
  }
  Requests selected;
  Requests beyond_share;
  bool behind_has_waiting = false;
  for (auto& [key, requests] : by_tenant) {
    const double weight = requests[0]->request.tenant->weight;
    if (!state.fairness.IsAhead(key, kSlackTokens)) {
      selected.insert(selected.end(), requests.begin(), requests.end());
      behind_has_waiting |= !state.tenants.at(key).waiting.empty();
      continue;
    }
    SortByTurn(requests);
    const auto fair = requests.begin() + FairRows(level, weight, requests.size());
    selected.insert(selected.end(), requests.begin(), fair);
    beyond_share.insert(beyond_share.end(), fair, requests.end());
  }
  if (behind_has_waiting) return selected;
  SortByTurn(beyond_share);
  const double limit_us = kFreeRideSlowdown * TargetUs(state, selected.size());
  for (ActiveRequest* request : beyond_share) {
    if (TargetUs(state, selected.size() + 1) > limit_us) break;
    selected.push_back(request);
  }
  return selected;
}

// The most rows of prompts that a step of `decoding` rows may carry.
int32_t PrefillRowLimit(const EngineState& state, size_t decoding) {
  const int32_t room = state.backend.description().max_batch_rows - static_cast<int32_t>(decoding);
  const double limit_us = decoding > 0
                              ? state.options.runtime.prefill_slowdown * TargetUs(state, decoding)
                              : kMaxPrefillUs;
  const int32_t least = std::min(room, decoding > 0 ? kMinPrefillRows : kMinLonePrefillRows);
  // The curve rises, on the whole: the last row count that is cheap enough, by halving.
  int32_t low = least;
  int32_t high = room;
  while (low < high) {
    const int32_t middle = low + (high - low + 1) / 2;
    if (TargetUs(state, decoding + static_cast<size_t>(middle)) <= limit_us) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// A tenant whose requests all wait for their readers is not one that others should wait for; but
// only one whose readers have let it wait for long has no work.
void NoteWhoCanGoOn(EngineState& state, const Requests& ready) {
  for (const auto& [key, queue] : state.tenants) {
    const auto is_own = [&key = key](const auto& request) { return request->tenant() == key; };
    if (queue.running == 0 || std::any_of(ready.begin(), ready.end(), is_own)) {
      state.fairness.Join(key, queue.tenant->weight);
      continue;
    }
    const auto now = ActiveRequest::Clock::now();
    const bool soon_goes_on = std::any_of(
        state.running.begin(), state.running.end(),
        [&](const RequestPtr& request) { return is_own(request) && !request->IsStalled(now); });
    if (soon_goes_on) {
      state.fairness.Wait(key);
    } else {
      state.fairness.Leave(key);
    }
  }
}

// One that may have made a shared forward fail runs alone.
void KeepSuspect(Requests& ready) {
  const auto suspect = std::find_if(ready.begin(), ready.end(),
                                    [](const ActiveRequest* r) { return r->is_suspect; });
  if (suspect != ready.end()) ready = {*suspect};
}

// Cells that a step of these requests can make use of.
int32_t CellsWanted(const Requests& requests, int32_t max_batch_rows) {
  int32_t cells = 0;
  for (const ActiveRequest* request : requests) {
    cells += request->decoder->missing_tokens() + request->decoder->MaxDraftTokens();
  }
  return std::min(cells, max_batch_rows);
}

}  // namespace

StepPlan PlanStep(EngineState& state) {
  const BackendDescription& limits = state.backend.description();
  StepPlan plan;
  Requests ready;
  const auto collect = [&] {
    ready.clear();
    for (const RequestPtr& request : state.running) {
      if (request->sink.channel().HasRoom()) ready.push_back(request.get());
    }
  };
  collect();
  NoteWhoCanGoOn(state, ready);
  KeepSuspect(ready);
  if (ready.empty()) return plan;
  // One cell for each request that runs; pausing changes who does.
  MakeRoomForRunning(state, static_cast<int32_t>(ready.size()));
  collect();
  KeepSuspect(ready);
  // Prompts and drafts take what can be had without pausing anyone.
  EvictForCells(state, std::min(CellsWanted(ready, limits.max_batch_rows), AvailableCells(state)));
  plan.adapter = ChooseAdapter(state, ready);
  std::erase_if(ready, [&](const ActiveRequest* r) { return r->adapter() != plan.adapter; });

  Requests decoding;
  Requests prefilling;
  for (ActiveRequest* request : ready) {
    (IsDecoding(*request) ? decoding : prefilling).push_back(request);
  }
  decoding = SelectDecoding(state, decoding);
  SortByTurn(decoding);
  const auto most = static_cast<size_t>(std::min(limits.max_batch_rows, limits.max_logits_rows));
  if (decoding.size() > most) decoding.resize(most);

  int32_t free_cells = state.sequences.free_cells();
  int32_t rows = 0;
  int32_t logits_rows = 0;
  const auto take = [&](ActiveRequest* request, int32_t committed_rows, bool wants_logits) {
    plan.requests.push_back({request, committed_rows});
    rows += committed_rows;
    free_cells -= committed_rows;
    logits_rows += wants_logits ? 1 : 0;
  };
  for (ActiveRequest* request : decoding) {
    if (free_cells > 0) take(request, 1, true);
  }
  plan.decoding = static_cast<int32_t>(plan.requests.size());

  std::sort(prefilling.begin(), prefilling.end(), [&](ActiveRequest* a, ActiveRequest* b) {
    const double a_served = state.fairness.Counter(a->tenant());
    const double b_served = state.fairness.Counter(b->tenant());
    return a_served != b_served ? a_served < b_served : a->arrival < b->arrival;
  });
  int32_t prefill_rows = prefilling.empty() ? 0 : PrefillRowLimit(state, plan.requests.size());
  for (ActiveRequest* request : prefilling) {
    const int32_t missing = request->decoder->missing_tokens();
    const int32_t chunk = std::min({missing, prefill_rows, free_cells});
    if (chunk <= 0 || logits_rows >= limits.max_logits_rows) break;
    take(request, chunk, chunk == missing);
    prefill_rows -= chunk;
  }
  plan.max_draft_rows = std::max(
      std::min({limits.max_batch_rows - rows, limits.max_logits_rows - logits_rows, free_cells}),
      0);
  return plan;
}

}  // namespace foretoken
