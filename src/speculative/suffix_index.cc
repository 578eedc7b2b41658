#include "speculative/suffix_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/macros.h"

namespace foretoken {

Status Validate(const SuffixIndexOptions& options) {
  const auto fail = [](const char* field, auto value, const char* range) {
    return InvalidArgumentError(fmt::format("{} is {}; it must be {}", field, value, range));
  };
  if (options.max_depth < 2 || options.max_depth > 64) {
    return fail("max_depth", options.max_depth, "between 2 and 64");
  }
  if (options.min_match_tokens < 1 || options.min_match_tokens >= options.max_depth) {
    return fail("min_match_tokens", options.min_match_tokens, "at least 1 and below max_depth");
  }
  if (!(options.min_probability >= 0 && options.min_probability <= 1)) {
    return fail("min_probability", options.min_probability, "between 0 and 1");
  }
  if (!(options.tokens_per_matched_token >= 0) ||
      !std::isfinite(options.tokens_per_matched_token)) {
    return fail("tokens_per_matched_token", options.tokens_per_matched_token,
                "a finite number, 0 or more");
  }
  if (options.extra_tokens < 0) return fail("extra_tokens", options.extra_tokens, "0 or more");
  if (options.max_nodes < 1024 || options.max_nodes > (1 << 24)) {
    return fail("max_nodes", options.max_nodes, "between 1,024 and 16,777,216");
  }
  return OkStatus();
}

Result<SuffixIndex> SuffixIndex::Create(const SuffixIndexOptions& options) {
  FORETOKEN_RETURN_IF_ERROR(Validate(options));
  return SuffixIndex(options);
}

SuffixProposal SuffixIndex::Propose(int32_t max_tokens) const {
  SuffixProposal best;
  std::vector<TokenId> tokens;
  for (int32_t match = trie_.max_depth() - 1; match >= options_.min_match_tokens; --match) {
    std::optional<SuffixTrie::Walk> walk = trie_.WalkFrom(match);
    if (!walk) continue;
    const double allowed = options_.tokens_per_matched_token * match + options_.extra_tokens;
    const auto limit = static_cast<int32_t>(std::min<double>(max_tokens, std::floor(allowed)));
    // A score is at most the number of tokens, and shorter matches are not allowed more.
    if (limit <= best.score) break;
    tokens.clear();
    double path_probability = 1;
    double score = 0;
    while (static_cast<int32_t>(tokens.size()) < limit) {
      const std::optional<SuffixTrie::Step> step = trie_.Advance(*walk);
      if (!step) break;
      path_probability *= step->probability;
      if (path_probability < options_.min_probability) break;
      tokens.push_back(step->token);
      score += path_probability;
    }
    if (score > best.score) {
      std::swap(best.tokens, tokens);
      best.match_tokens = match;
      best.score = score;
    }
  }
  return best;
}

}  // namespace foretoken
