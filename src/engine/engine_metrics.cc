#include "engine/engine_metrics.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace foretoken {

namespace {

// The element that counts `index`, growing up to the last one that is counted on its own.
template <typename Element>
Element& Counted(std::vector<Element>& elements, int32_t index) {
  const size_t place = std::min(static_cast<size_t>(index), kCountedDraftPositions - 1);
  if (elements.size() <= place) elements.resize(place + 1);
  return elements[place];
}

void AddRound(TenantMetrics& metrics, const RoundRecord& round) {
  ++metrics.rounds;
  metrics.completion_tokens += round.committed;
  ++Counted(metrics.rounds_by_draft_length, round.verified);
  if (!round.source) {
    ++metrics.no_draft[round.no_draft];
    return;
  }
  const int32_t rejected = round.drafted - round.accepted;
  const int32_t bonus = round.bonus ? 1 : 0;
  metrics.drafted += round.drafted;
  metrics.accepted += round.accepted;
  metrics.rejected += rejected;
  metrics.bonus += bonus;
  metrics.wasted_positions += round.verified - round.accepted;
  metrics.accepted_forecast.Add(round.expected_accepted, round.accepted);
  SourceMetrics& source = metrics.by_source[*round.source];
  ++source.rounds;
  source.drafted += round.drafted;
  source.accepted += round.accepted;
  source.rejected += rejected;
  source.bonus += bonus;
  for (int32_t i = 0; i < round.drafted; ++i) {
    DraftCounts& position = Counted(source.by_position, i);
    ++position.drafted;
    position.accepted += i < round.accepted ? 1 : 0;
  }
}

void AddFinished(TenantMetrics& metrics, const FinishedEvent& finish) {
  ++metrics.finished_requests[finish.reason];
  ++metrics.finished_by_status[finish.status.code()];
  if (finish.usage.completion_tokens > 1) {
    metrics.output_token_ms.Add(finish.timings.decode_ms / (finish.usage.completion_tokens - 1));
  }
}

// Replaces a tenant's part of the sum.
void Move(Occupancy& sum, const Occupancy& before, const Occupancy& now) {
  sum.queued += now.queued - before.queued;
  sum.running += now.running - before.running;
  sum.paused += now.paused - before.paused;
}

void Add(PhaseTimes& sum, const PhaseTimes& step) {
  sum.plan_us += step.plan_us;
  sum.draft_us += step.draft_us;
  sum.forward_us += step.forward_us;
  sum.judge_us += step.judge_us;
  sum.commit_us += step.commit_us;
  sum.emit_us += step.emit_us;
  sum.idle_us += step.idle_us;
}

}  // namespace

template <typename Update>
void MetricsRecorder::Apply(TenantKey tenant, const Update& update) {
  MutexLock lock(mutex_);
  update(engine_.total);
  const auto found = tenants_.find(tenant);
  if (found != tenants_.end()) update(found->second);
}

void MetricsRecorder::AddTenant(TenantKey tenant) {
  MutexLock lock(mutex_);
  tenants_.try_emplace(tenant);
}

void MetricsRecorder::RemoveTenant(TenantKey tenant) {
  MutexLock lock(mutex_);
  const auto found = tenants_.find(tenant);
  if (found == tenants_.end()) return;
  Move(engine_.total.requests, found->second.requests, {});
  tenants_.erase(found);
}

void MetricsRecorder::RecordSubmitted(TenantKey tenant) {
  Apply(tenant, [](TenantMetrics& metrics) { ++metrics.submitted_requests; });
}

void MetricsRecorder::RecordStarted(TenantKey tenant, const StartRecord& start) {
  Apply(tenant, [&start](TenantMetrics& metrics) {
    metrics.queue_ms.Add(start.queue_ms);
    metrics.prompt_tokens += start.prompt_tokens;
    metrics.cached_prompt_tokens += start.cached_prompt_tokens;
    metrics.prefix_hits += start.cached_prompt_tokens > 0 ? 1 : 0;
  });
}

void MetricsRecorder::RecordFirstToken(TenantKey tenant, double since_submission_ms) {
  Apply(tenant, [since_submission_ms](TenantMetrics& metrics) {
    metrics.first_token_ms.Add(since_submission_ms);
  });
}

void MetricsRecorder::RecordEventGap(TenantKey tenant, double gap_ms) {
  Apply(tenant, [gap_ms](TenantMetrics& metrics) { metrics.event_gap_ms.Add(gap_ms); });
}

void MetricsRecorder::RecordRound(TenantKey tenant, const RoundRecord& round) {
  Apply(tenant, [&round](TenantMetrics& metrics) { AddRound(metrics, round); });
}

void MetricsRecorder::RecordNearTieFlip(TenantKey tenant) {
  Apply(tenant, [](TenantMetrics& metrics) { ++metrics.near_tie_flips; });
}

void MetricsRecorder::RecordPreempted(TenantKey tenant) {
  Apply(tenant, [](TenantMetrics& metrics) { ++metrics.preemptions; });
}

void MetricsRecorder::RecordResumed(TenantKey tenant, bool restored) {
  Apply(tenant, [restored](TenantMetrics& metrics) {
    ++(restored ? metrics.resumes_restored : metrics.resumes_recomputed);
  });
}

void MetricsRecorder::RecordFinished(TenantKey tenant, const FinishedEvent& finish) {
  Apply(tenant, [&finish](TenantMetrics& metrics) { AddFinished(metrics, finish); });
}

void MetricsRecorder::SetOccupancy(TenantKey tenant, const Occupancy& requests) {
  MutexLock lock(mutex_);
  const auto found = tenants_.find(tenant);
  if (found == tenants_.end()) return;
  Move(engine_.total.requests, found->second.requests, requests);
  found->second.requests = requests;
}

void MetricsRecorder::RecordStep(const StepRecord& step) {
  MutexLock lock(mutex_);
  ++engine_.steps;
  engine_.target_forwards += step.target_forwards;
  engine_.target_rows += step.target_rows;
  engine_.draft_forwards += step.draft_forwards;
  engine_.draft_rows += step.draft_rows;
  engine_.verified_positions.Add(step.verified_positions);
  if (step.expected_us) {
    engine_.step_us_forecast.Add(
        *step.expected_us, static_cast<double>(step.phases.draft_us + step.phases.forward_us));
  }
  Add(engine_.phases, step.phases);
  engine_.kv = step.kv;
}

EngineMetrics MetricsRecorder::Snapshot() const {
  MutexLock lock(mutex_);
  return engine_;
}

std::optional<TenantMetrics> MetricsRecorder::TenantSnapshot(TenantKey tenant) const {
  MutexLock lock(mutex_);
  const auto found = tenants_.find(tenant);
  if (found == tenants_.end()) return std::nullopt;
  return found->second;
}

}  // namespace foretoken
