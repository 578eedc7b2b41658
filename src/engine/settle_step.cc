#include "engine/settle_step.h"

#include <algorithm>
#include <utility>

#include "engine/finish_request.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;

// A position of a prompt costs about half of one that is decoded: they come many at a time.
constexpr int64_t kPromptPositionsPerToken = 2;

void ChargeTenant(EngineState& state, const ActiveRequest& request, const RoundEntry& entry) {
  const int64_t tokens = entry.committed > 0 && entry.committed_rows == 1
                             ? entry.committed + (entry.drafted - entry.accepted)
                             : std::max<int64_t>(entry.committed_rows / kPromptPositionsPerToken, 1);
  state.fairness.Charge(request.tenant(), tokens);
}

void NoteTimes(ActiveRequest& request, const RoundEntry& entry, const RoundReport& report) {
  if (request.sink.tokens() == entry.committed) {
    request.prompt_us += report.target.forward_us;  // up to and with the first token
  } else {
    request.draft_us += report.draft_us;
    request.verify_us += report.target.forward_us;
    request.sample_us += report.judge_us;
  }
}

RequestPtr TakeRunning(EngineState& state, const ActiveRequest* request) {
  const auto found = std::find_if(state.running.begin(), state.running.end(),
                                  [&](const RequestPtr& r) { return r.get() == request; });
  RequestPtr taken = std::move(*found);
  state.running.erase(found);
  --state.tenants.at(taken->tenant()).running;
  return taken;
}

}  // namespace

void SettleStep(EngineState& state, const StepPlan& plan, std::span<const RoundEntry> entries,
                const RoundReport& report, Clock::time_point plan_start) {
  const Clock::time_point now = Clock::now();
  for (size_t i = 0; i < entries.size(); ++i) {
    const RoundEntry& entry = entries[i];
    ActiveRequest& request = *plan.requests[i].request;
    request.last_step = state.step;
    if (entry.draft_ran) request.last_draft_step = state.step;
    if (entry.committed_rows > 0) {
      ChargeTenant(state, request, entry);
      NoteTimes(request, entry, report);
    }
    request.sink.EndRound(now);
    // An aborted forward: those who were cancelled are ended as such, the others try again.
    if (entry.status.code() == StatusCode::kCancelled) continue;
    if (!entry.status.ok()) {
      FinishRequest(state, TakeRunning(state, &request), FinishReason::kError, entry.status);
    } else if (entry.finished) {
      FinishRequest(state, TakeRunning(state, &request), request.decoder->reason(), OkStatus());
    }
  }
}

}  // namespace foretoken
