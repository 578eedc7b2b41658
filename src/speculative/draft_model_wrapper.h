#ifndef FORETOKEN_SPECULATIVE_DRAFT_MODEL_WRAPPER_H_
#define FORETOKEN_SPECULATIVE_DRAFT_MODEL_WRAPPER_H_

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/worker_pool.h"
#include "speculative/cached_sequence.h"
#include "speculative/draft_model.h"
#include "speculative/shared_forward.h"

namespace foretoken {

// A small model as a draft source of one session: proposes token by token, with the session's own
// noise. Lazy: its KV cache catches up with the session only when it is asked for a draft, and
// keeps the positions of drafts that were accepted, so that every token is run at most once and
// every rejected one once. Many of them draft together: see DraftTogether.
class DraftModelWrapper : public DraftModel {
 public:
  // `draft_model_id` names the model in messages. The pool must outlive the wrapper.
  DraftModelWrapper(std::string draft_model_id, SequencePool& pool)
      : draft_model_id_(std::move(draft_model_id)), cache_(pool) {}

  DraftSourceKind kind() const override { return DraftSourceKind::kDraftModel; }
  // Fewer than `k` where the draft model's context ends, none where it has ended.
  Result<Draft> GenerateDraft(Session& session, int32_t k) override;

  const std::string& draft_model_id() const { return draft_model_id_; }
  CachedSequence& cache() { return cache_; }
  const CachedSequence& cache() const { return cache_; }
  // Committed tokens that are not in the cache. Precondition: it holds nothing else.
  int32_t MissingTokens(const Session& session) const;
  // Of these, what has to be run beyond the one or two of a cache that is up to date.
  int32_t CatchUpTokens(const Session& session) const;
  // The most tokens that its context has room to propose.
  int32_t MaxDraftTokens(const Session& session) const;

 private:
  std::string draft_model_id_;
  CachedSequence cache_;
};

// One session's part in a DraftTogether.
struct ModelDraftTask {
  DraftModelWrapper* model = nullptr;
  Session* session = nullptr;
  int32_t k = 0;
  // Out: empty when the model has nothing to say or when the task failed.
  Draft draft;
  Status status;
};

// Drafts for all tasks, whose models share one back end: one forward per depth, which a task leaves
// when it has its k tokens. The first of them also runs what the caches are behind, in several
// forwards where it does not fit into one. A failure costs its own task the draft; the session's
// committed state is left as it was. Returns what each of them cost.
std::vector<ForwardReport> DraftTogether(std::span<ModelDraftTask> tasks, WorkerPool& workers);

// One session's part in a CatchUpTogether.
struct CatchUpTask {
  DraftModelWrapper* model = nullptr;
  const Session* session = nullptr;
  int32_t rows = 0;  // at least 1; the most that may be run
  // Out.
  Status status;
};

// Runs tokens that the models' caches are behind, as many as one batch holds of each, and drafts
// nothing: so that a long prompt is caught up with over several steps. The models share one back
// end.
ForwardReport CatchUpTogether(std::span<CatchUpTask> tasks);

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_DRAFT_MODEL_WRAPPER_H_
