#include "speculative/suffix_draft.h"

#include <utility>

namespace foretoken {

// The default options are valid.
SuffixDraft::SuffixDraft() : index_(SuffixIndex::Create().value()) {}

Result<Draft> SuffixDraft::GenerateDraft(Session& session, int32_t k) {
  for (; indexed_ < session.tokens.size(); ++indexed_) index_.Append(session.tokens[indexed_]);
  SuffixProposal proposal = index_.Propose(k);
  Draft draft;
  draft.source = kind();
  draft.tokens = std::move(proposal.tokens);
  draft.expected_accepted = proposal.score;
  return draft;
}

}  // namespace foretoken
