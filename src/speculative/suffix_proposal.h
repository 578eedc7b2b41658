#ifndef FORETOKEN_SPECULATIVE_SUFFIX_PROPOSAL_H_
#define FORETOKEN_SPECULATIVE_SUFFIX_PROPOSAL_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "foretoken/options.h"
#include "speculative/suffix_index.h"

namespace foretoken {

struct SuffixProposalOptions {
  // 1 to SuffixIndex::kMaxMatchTokens; shorter matches propose nothing.
  int32_t min_match_tokens = 2;
  // 0 to 1; a proposal ends before its path would become less probable.
  double min_probability = 0.1;
  // A match of m tokens proposes at most tokens_per_matched_token * m + extra_tokens tokens: a
  // short match says little about what comes much later. Both >= 0.
  double tokens_per_matched_token = 1.0;
  int32_t extra_tokens = 0;
  // >= 1; the occurrences that are looked at: those with the longest matches. Bounds the time.
  size_t max_occurrences = 64;
};

struct SuffixProposal {
  std::vector<TokenId> tokens;  // empty when nothing matches
  // One for each token: how likely it is where those before it were right.
  std::vector<float> confidence;
  int32_t match_tokens = 0;  // how many tokens at the end of the context occurred before
  double score = 0;          // sum of path probabilities: the expected accepted tokens
  uint32_t text = 0;         // of the index; one that goes on as the proposal does
};

// What follows `context` in the texts of the index: SuffixDecoding (arXiv 2411.04975). For each
// match length, the occurrences that match as far are followed, always by the token that most of
// them go on with (of equals the one after the longest match, then the latest); the share of them
// that do is the token's confidence. The context itself counts as one more occurrence with nothing
// after it, so that what was seen once is trusted by half. The match length with the best score is
// taken, of equals the longest. At most `max_tokens` tokens. A function of its arguments.
SuffixProposal ProposeContinuation(const SuffixIndex& index, std::span<const TokenId> context,
                                   int32_t max_tokens, const SuffixProposalOptions& options = {});

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_SUFFIX_PROPOSAL_H_
