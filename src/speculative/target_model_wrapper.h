#ifndef FORETOKEN_SPECULATIVE_TARGET_MODEL_WRAPPER_H_
#define FORETOKEN_SPECULATIVE_TARGET_MODEL_WRAPPER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "speculative/cached_sequence.h"
#include "speculative/target_model.h"

namespace foretoken {

// A model back end as the target of one session.
class TargetModelWrapper : public TargetModel {
 public:
  // `target_model_id` names the model in messages. `logprobs` as in GenerateOptions. The pool must
  // outlive the wrapper.
  TargetModelWrapper(std::string target_model_id, SequencePool& pool,
                     std::optional<int32_t> logprobs)
      : target_model_id_(std::move(target_model_id)), sequence_(pool), logprobs_(logprobs) {}

  Result<Verification> VerifyDraft(Session& session, const Draft& draft) override;
  int32_t context_tokens() const override { return sequence_.description().context_tokens; }
  int32_t max_draft_tokens() const override;

 private:
  std::string target_model_id_;
  CachedSequence sequence_;
  std::optional<int32_t> logprobs_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_TARGET_MODEL_WRAPPER_H_
