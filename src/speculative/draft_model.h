#ifndef FORETOKEN_SPECULATIVE_DRAFT_MODEL_H_
#define FORETOKEN_SPECULATIVE_DRAFT_MODEL_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"
#include "sampling/sampler.h"
#include "speculative/session.h"

namespace foretoken {

// Tokens that may follow a session's committed ones.
struct Draft {
  std::vector<TokenId> tokens;
  // The law each token was drawn from, after its own processing; empty for a source that draws
  // nothing, or where the rule does not ask (kCoupled).
  std::vector<std::optional<Distribution>> laws;
  DraftSourceKind source = DraftSourceKind::kDraftModel;
  // The source's own estimate, one for each token, that it follows where those before it were
  // right; empty: it does not know.
  std::vector<float> confidence;
};

// Anything that guesses ahead for one session.
// One thread at a time, always with the same session. A failure costs the round's draft and
// nothing else; the next call starts over from the committed tokens.
class DraftModel {
 public:
  virtual ~DraftModel() = default;
  virtual DraftSourceKind kind() const = 0;
  // At most `k` tokens to follow session.tokens; fewer or none when the source has no more to
  // say. Leaves the session's committed state as it was.
  virtual Result<Draft> GenerateDraft(Session& session, int32_t k) = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_DRAFT_MODEL_H_
