#ifndef FORETOKEN_METRICS_H_
#define FORETOKEN_METRICS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/generation.h"
#include "foretoken/options.h"
#include "foretoken/status.h"

namespace foretoken {

// How often values fell into fixed ranges, each 2^(1/4) times as wide as the one before: constant
// memory, quantiles good to a fifth. For values from 1/128 to 2^20, such as milliseconds or rows.
// Plain data; one thread at a time.
struct Histogram {
  static constexpr size_t kBuckets = 110;

  // The largest value that bucket `i` < kBuckets counts; infinite for the last.
  static double UpperBound(size_t i);

  void Add(double value);
  void Merge(const Histogram& other);
  // The value that a share `p`, 0 to 1, of all values is not above: interpolated in its bucket.
  // 0 without values; the last finite bound in place of what is beyond it.
  double Quantile(double p) const;

  int64_t count = 0;
  double sum = 0;
  std::array<int64_t, kBuckets> buckets = {};
};

// What was expected against what came, summed.
struct Forecast {
  void Add(double expected_value, double actual_value);

  int64_t count = 0;
  double expected = 0;
  double actual = 0;
  double absolute_error = 0;
};

// Why a round ran without a draft.
enum class NoDraftReason {
  kOff,         // by the request or the tenant
  kLimit,       // no room: tokens left, context, rows or the tenant's share
  kNoProposal,  // no source had anything to say
  kNotKnown,    // what drafts cost or yield is still being learned
  kDoesNotPay,  // plain decoding is expected to be faster
  kFailing,     // the source failed and is not asked for a while
};

std::string_view NoDraftReasonName(NoDraftReason reason);

// Places in a draft, and draft lengths, that are counted one by one; the last stands for all
// beyond.
inline constexpr size_t kCountedDraftPositions = 64;

struct SourceMetrics {
  int64_t rounds = 0;  // that verified a draft of this source
  int64_t drafted = 0;
  int64_t accepted = 0;
  int64_t rejected = 0;
  int64_t bonus = 0;
  std::vector<DraftCounts> by_position;  // element i: the i-th drafted token of a round
};

// Requests at this moment.
struct Occupancy {
  int32_t queued = 0;
  int32_t running = 0;
  int32_t paused = 0;  // had to give up their KV cells, and go on when there are some
};

// Counts since the tenant was added.
struct TenantMetrics {
  Occupancy requests;
  int64_t submitted_requests = 0;
  std::map<FinishReason, int64_t> finished_requests;
  // The same by the status they ended with: tells a deadline from a reader's cancel.
  std::map<StatusCode, int64_t> finished_by_status;
  int64_t preemptions = 0;
  int64_t resumes_restored = 0;    // from host memory
  int64_t resumes_recomputed = 0;  // from their tokens

  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;  // of these: reused, not computed
  int64_t prefix_hits = 0;           // requests that reused some
  int64_t completion_tokens = 0;

  int64_t rounds = 0;  // target forwards that committed tokens, plain ones included
  int64_t drafted = 0;
  int64_t accepted = 0;
  int64_t rejected = 0;
  int64_t bonus = 0;
  // Rows of the target for drafted tokens that were not kept: the rejected ones and those behind
  // an end of text, a stop string or a limit.
  int64_t wasted_positions = 0;
  std::map<DraftSourceKind, SourceMetrics> by_source;
  std::vector<int64_t> rounds_by_draft_length;  // element k: rounds that verified k drafted tokens
  std::map<NoDraftReason, int64_t> no_draft;    // rounds without a draft
  Forecast accepted_forecast;                   // accepted tokens of a round with a draft
  // Rounds in which another batch shape is known to have changed a choice between near-equal
  // tokens.
  int64_t near_tie_flips = 0;

  Histogram queue_ms;         // from submission to the start of the work
  Histogram first_token_ms;   // from submission to the first token (TTFT)
  Histogram event_gap_ms;     // between events of a stream (ITL)
  Histogram output_token_ms;  // a finished request's time a token, after the first (TPOT)

  // Tokens committed per round; 0 without a round.
  double tau() const;
};

// Where an engine's time went, in microseconds.
struct PhaseTimes {
  int64_t plan_us = 0;
  int64_t draft_us = 0;
  int64_t forward_us = 0;  // the target's
  int64_t judge_us = 0;
  int64_t commit_us = 0;
  int64_t emit_us = 0;
  int64_t idle_us = 0;  // waiting for requests, or for another engine's forward
};

struct KvOccupancy {
  int32_t capacity = 0;  // cells
  int32_t used = 0;
  int32_t cached = 0;  // of these: held for reuse only, free when needed
};

// One engine: a target and everyone who uses it. Counts since it was started.
struct EngineMetrics {
  std::string target_id;  // ModelConfig::id, or its path
  TenantMetrics total;    // of all tenants, removed ones included
  KvOccupancy kv;
  int64_t steps = 0;
  int64_t target_forwards = 0;
  int64_t target_rows = 0;
  int64_t draft_forwards = 0;
  int64_t draft_rows = 0;
  Histogram verified_positions;  // drafted tokens in a step's forward
  Forecast step_us_forecast;     // drafting and the target's forward
  PhaseTimes phases;
};

}  // namespace foretoken

#endif  // FORETOKEN_METRICS_H_
