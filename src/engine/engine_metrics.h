#ifndef FORETOKEN_ENGINE_ENGINE_METRICS_H_
#define FORETOKEN_ENGINE_ENGINE_METRICS_H_

#include <cstdint>
#include <map>
#include <optional>

#include "base/mutex.h"
#include "engine/tenant_key.h"
#include "foretoken/metrics.h"

namespace foretoken {

// A request that begins to run for the first time.
struct StartRecord {
  double queue_ms = 0;
  int32_t prompt_tokens = 0;
  int32_t cached_prompt_tokens = 0;
};

// What one sequence got from one target forward.
struct RoundRecord {
  std::optional<DraftSourceKind> source;         // absent: no draft
  NoDraftReason no_draft = NoDraftReason::kOff;  // of a round without a draft
  int32_t verified = 0;                          // drafted tokens in the forward
  int32_t drafted = 0;  // of these: accepted or rejected, not cut off behind an end
  int32_t accepted = 0;
  int32_t committed = 0;
  bool bonus = false;
  double expected_accepted = 0;  // what the budget counted on
};

struct StepRecord {
  int32_t target_forwards = 0;  // more than one where a failed one was repeated in pieces
  int32_t target_rows = 0;
  int32_t draft_forwards = 0;
  int32_t draft_rows = 0;
  int32_t verified_positions = 0;
  // Drafting and the target's forward, as the budget expected it; absent while it is not known.
  std::optional<double> expected_us;
  PhaseTimes phases;  // since the step before
  KvOccupancy kv;     // after it
};

// Counts what an engine does, for all of its tenants and for each.
// Any thread may call it. A call holds the lock for some additions, a snapshot for one copy of
// constant size. What concerns a tenant that is not known counts for the engine only.
class MetricsRecorder {
 public:
  void AddTenant(TenantKey tenant) FORETOKEN_EXCLUDES(mutex_);
  void RemoveTenant(TenantKey tenant) FORETOKEN_EXCLUDES(mutex_);

  void RecordSubmitted(TenantKey tenant) FORETOKEN_EXCLUDES(mutex_);
  void RecordStarted(TenantKey tenant, const StartRecord& start) FORETOKEN_EXCLUDES(mutex_);
  void RecordFirstToken(TenantKey tenant, double since_submission_ms) FORETOKEN_EXCLUDES(mutex_);
  void RecordEventGap(TenantKey tenant, double gap_ms) FORETOKEN_EXCLUDES(mutex_);
  void RecordRound(TenantKey tenant, const RoundRecord& round) FORETOKEN_EXCLUDES(mutex_);
  void RecordNearTieFlip(TenantKey tenant) FORETOKEN_EXCLUDES(mutex_);
  void RecordPreempted(TenantKey tenant) FORETOKEN_EXCLUDES(mutex_);
  void RecordResumed(TenantKey tenant, bool restored) FORETOKEN_EXCLUDES(mutex_);
  void RecordFinished(TenantKey tenant, const FinishedEvent& finish) FORETOKEN_EXCLUDES(mutex_);
  // The tenant's requests at this moment.
  void SetOccupancy(TenantKey tenant, const Occupancy& requests) FORETOKEN_EXCLUDES(mutex_);
  void RecordStep(const StepRecord& step) FORETOKEN_EXCLUDES(mutex_);

  EngineMetrics Snapshot() const FORETOKEN_EXCLUDES(mutex_);
  // Empty for a tenant that is not known.
  std::optional<TenantMetrics> TenantSnapshot(TenantKey tenant) const FORETOKEN_EXCLUDES(mutex_);

 private:
  // Updates the sum and the tenant's own.
  template <typename Update>
  void Apply(TenantKey tenant, const Update& update) FORETOKEN_EXCLUDES(mutex_);

  mutable Mutex mutex_;
  EngineMetrics engine_ FORETOKEN_GUARDED_BY(mutex_);
  std::map<TenantKey, TenantMetrics> tenants_ FORETOKEN_GUARDED_BY(mutex_);
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_ENGINE_METRICS_H_
