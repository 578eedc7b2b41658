#ifndef FORETOKEN_SPECULATIVE_DECODE_ROUND_H_
#define FORETOKEN_SPECULATIVE_DECODE_ROUND_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "base/worker_pool.h"
#include "foretoken/metrics.h"
#include "speculative/acceptance_model.h"
#include "speculative/draft_budget.h"
#include "speculative/shared_forward.h"
#include "speculative/speculative_decoder.h"

namespace foretoken {

// One generation's part in a round.
struct RoundEntry {
  SpeculativeDecoder* decoder = nullptr;
  CommitSink* sink = nullptr;
  AcceptanceModel* acceptance = nullptr;  // its tenant's
  uint64_t tenant = 0;                    // tells tenants apart
  double weight = 1.0;                    // the tenant's
  int32_t draft_cost_id = 0;              // of its draft model, in the budget
  // At least 1; committed tokens that this round may run: a chunk of a long prompt.
  int32_t max_committed_rows = std::numeric_limits<int32_t>::max();

  // Out.
  // Not OK: nothing happened. The generation ends with it, unless another round may go better:
  // CANCELLED, UNAVAILABLE, RESOURCE_EXHAUSTED.
  Status status;
  bool finished = false;       // it ended as decoder->reason() says
  int32_t committed_rows = 0;  // of the prompt, or the one that decoding needs
  int32_t drafted = 0;         // tokens that were verified
  int32_t counted = 0;         // of these: what stands behind an end was neither wrong nor right
  int32_t accepted = 0;        // of these
  int32_t committed = 0;       // tokens; 0 while the prompt is not through
  bool bonus = false;          // the draft was accepted whole
  std::optional<DraftSourceKind> source;  // of the draft
  // Of a round without one; the first, which never drafts, counts as kOff.
  NoDraftReason no_draft = NoDraftReason::kOff;
  double expected_accepted = 0;  // what the budget counted on
};

struct RoundContext {
  DraftBudget& budget;
  WorkerPool& workers;
  // What batch, logits and KV cache have room for beyond the committed rows.
  int32_t max_draft_rows = std::numeric_limits<int32_t>::max();
  // Tokens that draft models may catch up on in one round: what a long prompt may hold up others.
  int32_t max_catch_up_rows = std::numeric_limits<int32_t>::max();
};

struct RoundReport {
  ForwardReport target;
  int32_t draft_forwards = 0;
  int32_t draft_rows = 0;
  int64_t draft_us = 0;   // in the draft models
  int64_t choose_us = 0;  // proposals without a model, and the budget
  int64_t judge_us = 0;   // choosing and verifying tokens: wall time of it, over all
  int64_t commit_us = 0;
  std::optional<double> expected_us;  // of drafting and the target's forward, by the budget
};

// One round of draft, verify and commit for all entries together: the budget decides who drafts
// how much from which source; draft models run one forward per depth over all that draft with them;
// the target runs one forward over everything. What fails is the entry that causes it.
RoundReport DecodeRound(std::span<RoundEntry> entries, const RoundContext& context);

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_DECODE_ROUND_H_
