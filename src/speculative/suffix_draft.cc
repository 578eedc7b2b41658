#include "speculative/suffix_draft.h"

#include <span>
#include <utility>

#include "speculative/suffix_proposal.h"

namespace foretoken {
namespace {

// Positions of a prompt that one call indexes at most: about a millisecond.
constexpr uint32_t kMaxCatchUpPositions = 4096;

}  // namespace

void SuffixDraft::IndexSession(const Session& session) {
  const auto size = static_cast<uint32_t>(session.tokens.size());
  if (!asked_) {
    index_.AddText(session.tokens);
    indexed_begin_ = indexed_end_ = size;
    asked_ = true;
  }
  index_.Append(0, std::span(session.tokens).subspan(index_.text(0).size()));
  while (indexed_end_ < size) index_.Insert({0, indexed_end_++});
  for (uint32_t i = 0; i < kMaxCatchUpPositions && indexed_begin_ > 1; ++i) {
    index_.Insert({0, --indexed_begin_});
  }
}

Result<Draft> SuffixDraft::GenerateDraft(Session& session, int32_t k) {
  IndexSession(session);
  SuffixProposal proposal = ProposeContinuation(index_, session.tokens, k);
  if (store_ != nullptr) {
    SuffixProposal of_store = store_->Propose(session.tokens, k);
    if (of_store.score > proposal.score) proposal = std::move(of_store);
  }
  Draft draft;
  draft.source = kind();
  draft.tokens = std::move(proposal.tokens);
  draft.confidence = std::move(proposal.confidence);
  return draft;
}

}  // namespace foretoken
