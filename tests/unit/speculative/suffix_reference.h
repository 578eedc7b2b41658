#ifndef FORETOKEN_UNIT_SPECULATIVE_SUFFIX_REFERENCE_H_
#define FORETOKEN_UNIT_SPECULATIVE_SUFFIX_REFERENCE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "speculative/suffix_index.h"
#include "speculative/suffix_proposal.h"

namespace foretoken {

using Tokens = std::vector<TokenId>;

// Texts as an index holds them, searched position by position. A text's number is its place here;
// one that was removed is empty.
struct ReferenceTexts {
  struct Text {
    Tokens tokens;
    size_t first_offset = 1;  // the first position that is searched
    uint64_t added = 0;       // greater: later
  };
  std::vector<Text> texts;

  // All matches, the longest first and of equals the latest.
  std::vector<Occurrence> FindAll(const Tokens& context, int32_t min_match_tokens) const {
    std::vector<Occurrence> found;
    for (size_t text = 0; text < texts.size(); ++text) {
      const Tokens& tokens = texts[text].tokens;
      for (size_t offset = texts[text].first_offset; offset < tokens.size(); ++offset) {
        int32_t match = 0;
        for (size_t i = 1; i <= std::min(offset, context.size()); ++i) {
          if (match == SuffixIndex::kMaxMatchTokens) break;
          if (tokens[offset - i] != context[context.size() - i]) break;
          ++match;
        }
        if (match < min_match_tokens) continue;
        found.push_back({{static_cast<uint32_t>(text), static_cast<uint32_t>(offset)}, match});
      }
    }
    std::sort(found.begin(), found.end(), [&](const Occurrence& a, const Occurrence& b) {
      if (a.match_tokens != b.match_tokens) return a.match_tokens > b.match_tokens;
      const uint64_t a_added = texts[a.position.text].added;
      const uint64_t b_added = texts[b.position.text].added;
      if (a_added != b_added) return a_added > b_added;
      return a.position.offset > b.position.offset;
    });
    return found;
  }
};

// What ProposeContinuation promises, from all matches; no match length is skipped.
inline SuffixProposal ReferenceProposal(const ReferenceTexts& texts, const Tokens& context,
                                        int32_t max_tokens, const SuffixProposalOptions& options) {
  SuffixProposal best;
  for (int32_t match = options.min_match_tokens; match <= SuffixIndex::kMaxMatchTokens; ++match) {
    const std::vector<Occurrence> found = texts.FindAll(context, match);
    if (found.empty()) break;
    const double allowed = options.tokens_per_matched_token * match + options.extra_tokens;
    SuffixProposal proposal;
    proposal.match_tokens = match;
    double path_probability = 1;
    while (static_cast<int32_t>(proposal.tokens.size()) < max_tokens &&
           static_cast<double>(proposal.tokens.size()) + 1 <= allowed) {
      // Those whose text goes on as the proposal does so far.
      size_t contexts = proposal.tokens.empty() ? 1 : 0;
      std::map<TokenId, size_t> counts;
      Tokens in_order;
      for (const Occurrence& occurrence : found) {
        const Tokens& tokens = texts.texts[occurrence.position.text].tokens;
        const auto at = tokens.begin() + occurrence.position.offset;
        const auto left = static_cast<size_t>(tokens.end() - at);
        if (left < proposal.tokens.size()) continue;
        if (!std::equal(proposal.tokens.begin(), proposal.tokens.end(), at)) continue;
        ++contexts;
        if (left == proposal.tokens.size()) continue;
        const TokenId next = at[static_cast<ptrdiff_t>(proposal.tokens.size())];
        if (++counts[next] == 1) in_order.push_back(next);
      }
      if (in_order.empty()) break;
      TokenId next = in_order.front();
      for (TokenId token : in_order) {
        if (counts[token] > counts[next]) next = token;
      }
      const double probability = static_cast<double>(counts[next]) / static_cast<double>(contexts);
      path_probability *= probability;
      if (path_probability < options.min_probability) break;
      proposal.tokens.push_back(next);
      proposal.confidence.push_back(static_cast<float>(probability));
      proposal.score += path_probability;
    }
    if (!proposal.tokens.empty() && proposal.score >= best.score) best = proposal;
  }
  return best;
}

// Text that repeats itself: random tokens, copies of earlier passages and runs of a short period.
inline Tokens RandomText(std::mt19937& random, size_t size, int alphabet) {
  Tokens text;
  while (text.size() < size) {
    const size_t length = 1 + random() % 12;
    const size_t back = 1 + random() % (text.size() + 1);
    if (random() % 3 == 0 || back > text.size()) {
      text.push_back(static_cast<TokenId>(random() % static_cast<unsigned>(alphabet)));
    } else {
      for (size_t i = 0; i < length; ++i) text.push_back(text[text.size() - back]);
    }
  }
  text.resize(size);
  return text;
}

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SPECULATIVE_SUFFIX_REFERENCE_H_
