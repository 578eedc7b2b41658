#include "speculative/target_model_wrapper.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/macros.h"
#include "speculative/judge_draft.h"

namespace foretoken {
namespace {

int64_t MicrosecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                               start)
      .count();
}

}  // namespace

int32_t TargetModelWrapper::max_draft_tokens() const {
  const BackendDescription& description = sequence_.description();
  if (!description.can_truncate) return 0;
  return std::min(description.max_batch_rows, description.max_logits_rows) - 1;
}

Result<Verification> TargetModelWrapper::VerifyDraft(Session& session, const Draft& draft) {
  const auto forward_start = std::chrono::steady_clock::now();
  auto logits = sequence_.Advance(session.tokens, draft.tokens);
  if (!logits.ok()) {
    return Status(logits.status().code(),
                  "model " + target_model_id_ + ": " + logits.status().message());
  }
  Verification verification;
  verification.forward_us = MicrosecondsSince(forward_start);

  const auto sample_start = std::chrono::steady_clock::now();
  FORETOKEN_ASSIGN_OR_RETURN(verification.tokens, JudgeDraft(session, draft, *logits, logprobs_));
  verification.accepted = static_cast<int32_t>(verification.tokens.size()) - 1;
  // The last token is the target's own and not yet run; rejected ones leave the cache.
  FORETOKEN_RETURN_IF_ERROR(
      sequence_.Truncate(static_cast<int32_t>(session.tokens.size()) + verification.accepted));
  verification.sample_us = MicrosecondsSince(sample_start);
  return verification;
}

}  // namespace foretoken
