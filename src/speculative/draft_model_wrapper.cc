#include "speculative/draft_model_wrapper.h"

#include <algorithm>
#include <utility>

#include "base/macros.h"
#include "sampling/gumbel_noise.h"

namespace foretoken {

Result<Draft> DraftModelWrapper::GenerateDraft(Session& session, int32_t k) {
  Draft draft;
  draft.source = kind();
  const size_t committed = session.history.output_size();
  const Status status = Propose(session, k, draft);
  session.history.TruncateOutput(committed);
  if (!status.ok()) {
    return Status(status.code(), "draft model " + draft_model_id_ + ": " + status.message());
  }
  return draft;
}

Status DraftModelWrapper::Propose(Session& session, int32_t k, Draft& draft) {
  const auto length = static_cast<int32_t>(session.tokens.size());
  // The last proposed token is not run, so one more than the free cells fits.
  k = std::min(k, sequence_.description().context_tokens - length + 1);
  // The draft's noise is the target's under the coupled rule; its own, fresh in every round, under
  // rejection sampling.
  const bool coupled = session.rule == VerifyRule::kCoupled;
  const uint64_t stream =
      coupled ? session.stream : DeriveNoiseStream(session.stream, session.rounds);
  std::vector<TokenId> tokens = session.tokens;
  draft.catch_up_tokens = std::max(length - sequence_.cached_tokens() - 2, 0);
  for (int32_t i = 0; i < k; ++i) {
    FORETOKEN_ASSIGN_OR_RETURN(const LogitsRows logits, sequence_.Advance(tokens, {}));
    FORETOKEN_ASSIGN_OR_RETURN(
        const TokenId token,
        session.sampler.Select(logits[0], session.history, stream, session.next_position() + i));
    if (!coupled) {
      FORETOKEN_RETURN_IF_ERROR(session.sampler.ComputeDistribution(
          logits[0], session.history, draft.laws.emplace_back(std::in_place).value()));
    }
    draft.tokens.push_back(token);
    tokens.push_back(token);
    session.history.AppendOutput(token);
  }
  return OkStatus();
}

}  // namespace foretoken
