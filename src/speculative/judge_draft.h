#ifndef FORETOKEN_SPECULATIVE_JUDGE_DRAFT_H_
#define FORETOKEN_SPECULATIVE_JUDGE_DRAFT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "foretoken/status.h"
#include "model/model_backend.h"
#include "speculative/draft_model.h"
#include "speculative/session.h"
#include "speculative/target_model.h"

namespace foretoken {

// Decides which of a draft's tokens the target keeps, by the session's rule: the accepted prefix
// and exactly one token of the target's own, each with its log-probabilities if asked.
// `logits` has draft.tokens.size() + 1 rows: row i predicts drafted token i, the last the token
// after the draft. History and penalties are evaluated position by position over the drafted
// prefix and taken back; nothing is committed.
Result<std::vector<VerifiedToken>> JudgeDraft(Session& session, const Draft& draft,
                                              const LogitsRows& logits,
                                              std::optional<int32_t> logprobs);

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_JUDGE_DRAFT_H_
