#include "engine/settle_step.h"

#include <algorithm>
#include <utility>

#include "engine/finish_request.h"
#include "engine/kv_room.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;

// A position of a prompt costs about half of one that is decoded: they come many at a time.
constexpr int64_t kPromptPositionsPerToken = 2;
constexpr int32_t kMaxStarvedSteps = 8;

void ChargeTenant(EngineState& state, const ActiveRequest& request, const RoundEntry& entry) {
  const int64_t tokens =
      entry.committed > 0 && entry.committed_rows == 1
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

// Whether a failure may pass. An aborted forward: who was cancelled is ended as such, the others go
// on. No room, against what our ledger says: perhaps when more is free.
bool MayTryAgain(EngineState& state, ActiveRequest& request, const Status& failure) {
  if (failure.code() == StatusCode::kCancelled) return true;
  if (failure.code() == StatusCode::kUnavailable) {
    request.is_suspect = true;
    return true;
  }
  if (failure.code() != StatusCode::kResourceExhausted) return false;
  EvictForCells(state, AvailableCells(state));
  return ++request.starved_steps < kMaxStarvedSteps;
}

RequestPtr TakeRunning(EngineState& state, const ActiveRequest* request) {
  const auto found = std::find_if(state.running.begin(), state.running.end(),
                                  [&](const RequestPtr& r) { return r.get() == request; });
  RequestPtr taken = std::move(*found);
  state.running.erase(found);
  --state.tenants.at(taken->tenant()).running;
  return taken;
}

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

int64_t Microseconds(Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

void RecordRound(EngineState& state, const ActiveRequest& request, const RoundEntry& entry) {
  state.metrics.RecordRound(request.tenant(), {.source = entry.source,
                                               .no_draft = entry.no_draft,
                                               .verified = entry.drafted,
                                               .drafted = entry.counted,
                                               .accepted = entry.accepted,
                                               .committed = entry.committed,
                                               .bonus = entry.bonus,
                                               .expected_accepted = entry.expected_accepted});
}

// Keeps a beginning that an operator made public, once a prompt has been run past it.
void PublishPrefix(EngineState& state, ActiveRequest& request, int32_t committed_rows) {
  if (state.public_prefixes.empty() || request.adapter() != nullptr ||
      !state.options.runtime.prefix_reuse || !state.backend.description().can_truncate) {
    return;
  }
  CachedSequence& cache = request.cache();
  const std::span<const TokenId> cached = cache.tokens();
  for (const std::vector<TokenId>& prefix : state.public_prefixes) {
    const auto length = static_cast<int32_t>(prefix.size());
    // A prompt's, and only in the step that reaches its end.
    if (prefix.size() > request.request.prompt.size() || length > cache.cached_tokens() ||
        length <= cache.cached_tokens() - committed_rows ||
        !std::equal(prefix.begin(), prefix.end(), cached.begin())) {
      continue;
    }
    const auto kept = state.prefixes.Match(kOperatorKey, "", prefix);
    if (kept && kept->length == length) {
      state.prefixes.Touch(kept->id);
      continue;
    }
    if (!EvictForSequence(state)) continue;
    auto shared = cache.sequence()->Fork(length);
    if (!shared.ok()) continue;
    state.prefixes.Insert({.sequence = std::move(*shared),
                           .tokens = prefix,
                           .tenant = kOperatorKey,
                           .is_public = true});
  }
}

// Sends the round's event to the reader.
void Emit(EngineState& state, ActiveRequest& request, Clock::time_point now) {
  EventSink& sink = request.sink;
  const bool first = sink.events() == 0;
  const Clock::time_point last = sink.last_token_time();
  if (!sink.EndRound(now)) return;
  if (first) {
    state.metrics.RecordFirstToken(request.tenant(), Milliseconds(now - request.submitted));
  } else {
    state.metrics.RecordEventGap(request.tenant(), Milliseconds(now - last));
  }
}

void RecordStep(EngineState& state, std::span<const RoundEntry> entries, const RoundReport& report,
                const StepTimes& times) {
  StepRecord record{.target_forwards = report.target.forwards,
                    .target_rows = report.target.rows,
                    .draft_forwards = report.draft_forwards,
                    .draft_rows = report.draft_rows,
                    .expected_us = report.expected_us};
  for (const RoundEntry& entry : entries) record.verified_positions += entry.drafted;
  record.phases = {
      .plan_us = Microseconds(times.round_start - times.plan_start) + report.choose_us,
      .draft_us = report.draft_us,
      .forward_us = report.target.forward_us,
      .judge_us = report.judge_us,
      .commit_us = report.commit_us,
      .emit_us = Microseconds(Clock::now() - times.round_end),
      .idle_us = state.step > 1 ? Microseconds(times.plan_start - state.last_step_end) : 0};
  record.kv = {.capacity = state.backend.description().cache_tokens,
               .used = state.sequences.used_cells(),
               .cached = state.prefixes.ExclusiveCells()};
  state.metrics.RecordStep(record);
}

}  // namespace

void SettleStep(EngineState& state, const StepPlan& plan, std::span<const RoundEntry> entries,
                const RoundReport& report, const StepTimes& times) {
  for (size_t i = 0; i < entries.size(); ++i) {
    const RoundEntry& entry = entries[i];
    ActiveRequest& request = *plan.requests[i].request;
    request.last_step = state.step;
    if (entry.committed_rows > 0) {
      ChargeTenant(state, request, entry);
      NoteTimes(request, entry, report);
    }
    if (entry.committed_rows > 0) PublishPrefix(state, request, entry.committed_rows);
    if (entry.committed > 0) RecordRound(state, request, entry);
    Emit(state, request, times.round_end);
    if (entry.status.ok()) request.starved_steps = 0;
    if (entry.committed > 0) request.is_suspect = false;
    if (!entry.status.ok() && MayTryAgain(state, request, entry.status)) continue;
    if (!entry.status.ok()) {
      FinishRequest(state, TakeRunning(state, &request), FinishReason::kError, entry.status);
    } else if (entry.finished) {
      FinishRequest(state, TakeRunning(state, &request), request.decoder->reason(), OkStatus());
    }
  }
  RecordStep(state, entries, report, times);
  state.last_step_end = Clock::now();
}

}  // namespace foretoken
