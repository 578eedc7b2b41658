#include "engine/run_step.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/adapter_turn.h"
#include "engine/admit_requests.h"
#include "engine/finish_request.h"
#include "engine/plan_step.h"
#include "engine/settle_step.h"
#include "speculative/decode_round.h"

namespace foretoken {
namespace {

using Clock = Mailbox::Clock;

// Tokens of prompts that draft models may catch up on in one step, in all.
constexpr int32_t kMaxCatchUpRows = 64;

// Tells the metrics what each tenant has, and drops those that have nothing.
void UpdateTenants(EngineState& state) {
  std::erase_if(state.tenants, [&](const auto& entry) {
    const auto& [key, queue] = entry;
    state.metrics.SetOccupancy(key, {.queued = static_cast<int32_t>(queue.waiting.size()),
                                     .running = queue.running,
                                     .paused = queue.paused});
    if (queue.has_work()) return false;
    state.fairness.Leave(key);
    return true;
  });
}

std::vector<RoundEntry> EntriesOf(const StepPlan& plan) {
  std::vector<RoundEntry> entries;
  entries.reserve(plan.requests.size());
  for (const PlannedRequest& planned : plan.requests) {
    ActiveRequest& request = *planned.request;
    TenantState& tenant = *request.request.tenant;
    entries.push_back(
        {.decoder = &*request.decoder,
         .sink = &request.sink,
         .acceptance = &tenant.acceptance,
         .tenant = static_cast<uint64_t>(tenant.key),
         .weight = tenant.weight,
         .draft_cost_id = request.request.draft ? request.request.draft->cost_id() : 0,
         .max_committed_rows = planned.committed_rows});
  }
  return entries;
}

// Runs the round, with the streams it works for watched so that it ends when nobody wants it.
RoundReport RunRound(EngineState& state, const StepPlan& plan, std::vector<RoundEntry>& entries) {
  AbortWatch::Flags flags;
  for (const PlannedRequest& planned : plan.requests) {
    flags.push_back(&planned.request->sink.channel().cancelled());
  }
  state.watch.Watch(&flags);
  RoundReport report = DecodeRound(entries, {.budget = state.budget,
                                             .workers = state.workers,
                                             .max_draft_rows = plan.max_draft_rows,
                                             .max_catch_up_rows = kMaxCatchUpRows});
  state.watch.Watch(nullptr);
  return report;
}

}  // namespace

void AddRequest(EngineState& state, RequestPtr request) {
  request->arrival = state.next_arrival++;
  const TenantKey key = request->tenant();
  TenantQueue& queue = state.tenants[key];
  queue.tenant = request->request.tenant;
  queue.waiting.push_back(std::move(request));
  state.metrics.RecordSubmitted(key);
  state.fairness.Join(key, queue.tenant->weight);
}

std::optional<Clock::time_point> RunStep(EngineState& state) {
  StepTimes times{.plan_start = Clock::now()};
  const Clock::time_point next_overdue = EndOverdueRequests(state, times.plan_start);
  AdmitRequests(state);
  UpdateTenants(state);
  const StepPlan plan = PlanStep(state);
  if (plan.requests.empty()) return next_overdue;
  ++state.step;
  std::vector<RoundEntry> entries = EntriesOf(plan);
  RoundReport report;
  times.round_start = Clock::now();
  if (const Status adapted = UseAdapter(state, plan.adapter); adapted.ok()) {
    report = RunRound(state, plan, entries);
  } else {
    for (RoundEntry& entry : entries) entry.status = adapted;
  }
  times.round_end = Clock::now();
  SettleStep(state, plan, entries, report, times);
  UpdateTenants(state);
  return std::nullopt;
}

}  // namespace foretoken
