#ifndef FORETOKEN_SPECULATIVE_TARGET_MODEL_WRAPPER_H_
#define FORETOKEN_SPECULATIVE_TARGET_MODEL_WRAPPER_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/worker_pool.h"
#include "speculative/cached_sequence.h"
#include "speculative/shared_forward.h"
#include "speculative/target_model.h"

namespace foretoken {

// A model back end as the target of one session. Many of them verify together: see VerifyTogether.
class TargetModelWrapper : public TargetModel {
 public:
  // `target_model_id` names the model in messages. `logprobs` as in GenerateOptions. The pool must
  // outlive the wrapper.
  TargetModelWrapper(std::string target_model_id, SequencePool& pool,
                     std::optional<int32_t> logprobs)
      : target_model_id_(std::move(target_model_id)), cache_(pool), logprobs_(logprobs) {}

  Result<Verification> VerifyDraft(Session& session, const Draft& draft) override;
  int32_t context_tokens() const override { return cache_.description().context_tokens; }
  int32_t max_draft_tokens() const override;

  const std::string& target_model_id() const { return target_model_id_; }
  CachedSequence& cache() { return cache_; }
  const CachedSequence& cache() const { return cache_; }
  std::optional<int32_t> logprobs() const { return logprobs_; }
  // Committed tokens that are not in the cache: 1 while decoding, more while the prompt is run.
  int32_t MissingTokens(const Session& session) const;

 private:
  std::string target_model_id_;
  CachedSequence cache_;
  std::optional<int32_t> logprobs_;
};

// One session's part in a VerifyTogether.
struct VerifyTask {
  TargetModelWrapper* target = nullptr;
  Session* session = nullptr;
  const Draft* draft = nullptr;
  // At least 1; committed tokens that this forward may run. Where more are missing (a prompt) it
  // runs so many of them and verifies nothing.
  int32_t max_committed_rows = std::numeric_limits<int32_t>::max();

  // Out.
  Status status;
  std::optional<Verification> verification;  // absent while tokens are still missing
};

// One forward of the target over what all tasks' sessions miss and their drafts; then each is
// judged, in parallel. The sessions are of one back end. A failure costs its own task a draft
// first, and then its status. The caches hold committed tokens and accepted ones afterwards.
ForwardReport VerifyTogether(std::span<VerifyTask> tasks, WorkerPool& workers);

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_TARGET_MODEL_WRAPPER_H_
