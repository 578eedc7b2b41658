#ifndef FORETOKEN_SPECULATIVE_TARGET_MODEL_H_
#define FORETOKEN_SPECULATIVE_TARGET_MODEL_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "foretoken/generation.h"
#include "foretoken/status.h"
#include "sampling/logprobs.h"
#include "speculative/draft_model.h"
#include "speculative/session.h"

namespace foretoken {

struct VerifiedToken {
  TokenId id = 0;
  TokenOrigin origin = TokenOrigin::kPlain;
  std::optional<RowLogprobs> logprobs;  // when the request asked
};

struct Verification {
  // The accepted prefix of the draft and exactly one token of the target's own.
  std::vector<VerifiedToken> tokens;
  int32_t accepted = 0;    // tokens.size() - 1
  int64_t forward_us = 0;  // in the model
  int64_t sample_us = 0;   // choosing tokens
  // Why the draft was dropped and the round run plainly; OK when it was not.
  Status dropped;
};

// The model whose distribution the output follows, for one session.
// One thread at a time, always with the same session. After a failure the session is as before
// and the next call runs what is missing.
class TargetModel {
 public:
  virtual ~TargetModel() = default;
  // One forward over the tokens not yet run and the draft. With an empty draft this is plain
  // decoding, and for a session's first call the prompt's prefill. A forward that fails is repeated
  // without the draft before the call fails.
  virtual Result<Verification> VerifyDraft(Session& session, const Draft& draft) = 0;
  // The most tokens a session may have, and the most a draft may.
  virtual int32_t context_tokens() const = 0;
  virtual int32_t max_draft_tokens() const = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_TARGET_MODEL_H_
