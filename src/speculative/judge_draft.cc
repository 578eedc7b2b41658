#include "speculative/judge_draft.h"

#include <utility>

#include "base/macros.h"
#include "sampling/gumbel_noise.h"
#include "speculative/rejection_rules.h"

namespace foretoken {
namespace {

// Which tokens the rule keeps: the accepted count and the target's own token after them.
struct Decision {
  int32_t accepted = 0;
  TokenId own = 0;
};

// The target chooses with the session's noise; a draft is accepted where it is that choice.
Result<Decision> JudgeByCoupling(Session& session, const Draft& draft, const LogitsRows& logits) {
  Decision decision;
  for (int32_t i = 0; i < logits.size(); ++i) {
    FORETOKEN_ASSIGN_OR_RETURN(decision.own,
                               session.sampler.Select(logits[i], session.history, session.stream,
                                                      session.next_position() + i));
    if (i + 1 == logits.size() || decision.own != draft.tokens[static_cast<size_t>(i)]) break;
    session.history.AppendOutput(decision.own);
    ++decision.accepted;
  }
  return decision;
}

Result<Decision> JudgeByRejection(Session& session, const Draft& draft, const LogitsRows& logits) {
  std::vector<Distribution> target_laws(static_cast<size_t>(logits.size()));
  for (int32_t i = 0; i < logits.size(); ++i) {
    FORETOKEN_RETURN_IF_ERROR(session.sampler.ComputeDistribution(
        logits[i], session.history, target_laws[static_cast<size_t>(i)]));
    if (i + 1 < logits.size()) {
      session.history.AppendOutput(draft.tokens[static_cast<size_t>(i)]);
    }
  }
  UniformChooser chooser(
      [&session] { return UniformNoise(session.seed, session.stream, session.uniforms_drawn++); });
  FORETOKEN_ASSIGN_OR_RETURN(const RejectionOutcome outcome,
                             VerifyByBlock({draft.tokens, draft.laws, target_laws}, chooser));
  return Decision{outcome.accepted_tokens, outcome.next_token};
}

}  // namespace

Result<std::vector<VerifiedToken>> JudgeDraft(Session& session, const Draft& draft,
                                              const LogitsRows& logits,
                                              std::optional<int32_t> logprobs) {
  const auto drafted = static_cast<int32_t>(draft.tokens.size());
  if (logits.size() != drafted + 1) {
    return InternalError("a draft needs one row of logits for each token and one more");
  }
  const size_t committed = session.history.output_size();
  auto decision = session.rule == VerifyRule::kCoupled ? JudgeByCoupling(session, draft, logits)
                                                       : JudgeByRejection(session, draft, logits);
  session.history.TruncateOutput(committed);
  if (!decision.ok()) return decision.status();

  std::vector<VerifiedToken> tokens(static_cast<size_t>(decision->accepted) + 1);
  for (int32_t i = 0; i <= decision->accepted; ++i) {
    VerifiedToken& token = tokens[static_cast<size_t>(i)];
    if (i < decision->accepted) {
      token.id = draft.tokens[static_cast<size_t>(i)];
      token.origin = TokenOrigin::kAccepted;
    } else {
      token.id = decision->own;
      token.origin = drafted == 0   ? TokenOrigin::kPlain
                     : i == drafted ? TokenOrigin::kBonus
                                    : TokenOrigin::kCorrected;
    }
    if (logprobs) token.logprobs = ComputeLogprobs(logits[i], token.id, *logprobs);
  }
  return tokens;
}

}  // namespace foretoken
