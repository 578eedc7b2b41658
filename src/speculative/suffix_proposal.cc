#include "speculative/suffix_proposal.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace foretoken {
namespace {

struct NextToken {
  TokenId token = 0;
  size_t count = 0;
};

// Follows occurrences of one context together.
class OccurrenceWalk {
 public:
  OccurrenceWalk(const SuffixIndex& index, std::span<const Occurrence> occurrences)
      : index_(index) {
    for (const Occurrence& occurrence : occurrences) positions_.push_back(occurrence.position);
  }

  // The token that most of them go on with, the first's of equals; absent where all have ended.
  std::optional<NextToken> MostFrequentNext() {
    nexts_.clear();
    for (TextPosition position : positions_) {
      const std::vector<TokenId>& text = index_.text(position.text);
      if (position.offset == text.size()) continue;
      const TokenId token = text[position.offset];
      const auto known = std::find_if(nexts_.begin(), nexts_.end(),
                                      [&](const NextToken& next) { return next.token == token; });
      if (known == nexts_.end()) {
        nexts_.push_back({token, 1});
      } else {
        ++known->count;
      }
    }
    const auto best =
        std::max_element(nexts_.begin(), nexts_.end(),
                         [](const NextToken& a, const NextToken& b) { return a.count < b.count; });
    if (best == nexts_.end()) return std::nullopt;
    return *best;
  }

  // Leaves those that go on with the token, one token further. Precondition: one does.
  void Take(TokenId token) {
    std::erase_if(positions_, [&](TextPosition position) {
      const std::vector<TokenId>& text = index_.text(position.text);
      return position.offset == text.size() || text[position.offset] != token;
    });
    for (TextPosition& position : positions_) ++position.offset;
  }

  size_t size() const { return positions_.size(); }
  uint32_t first_text() const { return positions_.front().text; }

 private:
  const SuffixIndex& index_;
  std::vector<TextPosition> positions_;
  std::vector<NextToken> nexts_;  // scratch
};

// Follows `occurrences`, all of which match `match_tokens` or more.
SuffixProposal Follow(const SuffixIndex& index, std::span<const Occurrence> occurrences,
                      int32_t match_tokens, int32_t max_tokens, double min_probability) {
  SuffixProposal proposal;
  proposal.match_tokens = match_tokens;
  OccurrenceWalk walk(index, occurrences);
  double path_probability = 1;
  size_t contexts = walk.size() + 1;
  while (static_cast<int32_t>(proposal.tokens.size()) < max_tokens) {
    const std::optional<NextToken> next = walk.MostFrequentNext();
    if (!next) break;
    const double probability = static_cast<double>(next->count) / static_cast<double>(contexts);
    path_probability *= probability;
    if (path_probability < min_probability) break;
    walk.Take(next->token);
    contexts = walk.size();
    proposal.tokens.push_back(next->token);
    proposal.confidence.push_back(static_cast<float>(probability));
    proposal.score += path_probability;
  }
  proposal.text = walk.first_text();
  return proposal;
}

}  // namespace

SuffixProposal ProposeContinuation(const SuffixIndex& index, std::span<const TokenId> context,
                                   int32_t max_tokens, const SuffixProposalOptions& options) {
  SuffixProposal best;
  if (max_tokens <= 0) return best;
  const std::vector<Occurrence> found =
      index.FindLongest(context, options.min_match_tokens, options.max_occurrences);
  size_t matching = 0;
  while (matching < found.size()) {
    const int32_t match_tokens = found[matching].match_tokens;
    while (matching < found.size() && found[matching].match_tokens == match_tokens) ++matching;
    const double allowed = options.tokens_per_matched_token * match_tokens + options.extra_tokens;
    const auto limit = static_cast<int32_t>(std::min<double>(max_tokens, std::floor(allowed)));
    // A score is at most the number of tokens, and shorter matches are not allowed more.
    if (limit <= best.score) break;
    SuffixProposal proposal =
        Follow(index, {found.data(), matching}, match_tokens, limit, options.min_probability);
    if (proposal.score > best.score) best = std::move(proposal);
  }
  return best;
}

}  // namespace foretoken
