#ifndef FORETOKEN_SPECULATIVE_DRAFT_MODEL_WRAPPER_H_
#define FORETOKEN_SPECULATIVE_DRAFT_MODEL_WRAPPER_H_

#include <string>

#include "speculative/cached_sequence.h"
#include "speculative/draft_model.h"

namespace foretoken {

// A small model as a draft source: proposes token by token, with the session's own noise.
// Lazy: its KV cache catches up with the session only when it is asked for a draft, and keeps the
// positions of drafts that were accepted, so that every token is run at most once and every
// rejected one once.
class DraftModelWrapper : public DraftModel {
 public:
  // `draft_model_id` names the model in messages. The pool must outlive the wrapper.
  DraftModelWrapper(std::string draft_model_id, SequencePool& pool)
      : draft_model_id_(std::move(draft_model_id)), sequence_(pool) {}

  DraftSourceKind kind() const override { return DraftSourceKind::kDraftModel; }
  // Fewer than `k` where the draft model's context ends, none where it has ended.
  Result<Draft> GenerateDraft(Session& session, int32_t k) override;

 private:
  Status Propose(Session& session, int32_t k, Draft& draft);

  std::string draft_model_id_;
  CachedSequence sequence_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_DRAFT_MODEL_WRAPPER_H_
