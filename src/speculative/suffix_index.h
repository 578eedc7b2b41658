#ifndef FORETOKEN_SPECULATIVE_SUFFIX_INDEX_H_
#define FORETOKEN_SPECULATIVE_SUFFIX_INDEX_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"
#include "speculative/suffix_trie.h"

namespace foretoken {

struct SuffixIndexOptions {
  // 2 to 64; the longest strings that are counted. A match is at least one token shorter.
  int32_t max_depth = 24;
  // 1 to max_depth - 1; shorter matches propose nothing.
  int32_t min_match_tokens = 2;
  // 0 to 1; a proposal ends before its path would become less probable.
  double min_probability = 0.1;
  // A match of m tokens proposes at most tokens_per_matched_token * m + extra_tokens tokens: a
  // short match says little about what comes much later. Both >= 0.
  double tokens_per_matched_token = 1.0;
  int32_t extra_tokens = 0;
  // 1,024 to 16,777,216; 32 to 64 bytes each, on top of 4 bytes a token. When they are used up, new
  // text is no longer learned; what was learned still proposes.
  int32_t max_nodes = 131072;
};

// OK, or INVALID_ARGUMENT naming the field, its value and the allowed range.
Status Validate(const SuffixIndexOptions& options);

struct SuffixProposal {
  std::vector<TokenId> tokens;  // empty when nothing matches
  int32_t match_tokens = 0;     // how many tokens at the end of the session occurred before
  double score = 0;             // sum of path probabilities: the expected accepted tokens
};

// Proposes what follows the session's tokens (prompt and output) from where their end occurred
// before: SuffixDecoding (arXiv 2411.04975) over one session. Only committed tokens are appended.
// A function of the appended tokens alone. One thread at a time. A value.
class SuffixIndex {
 public:
  // INVALID_ARGUMENT as Validate.
  static Result<SuffixIndex> Create(const SuffixIndexOptions& options = {});

  void Append(TokenId token) { trie_.Append(token); }
  void Append(std::span<const TokenId> tokens) {
    for (TokenId token : tokens) trie_.Append(token);
  }

  // The proposal of at most `max_tokens` tokens with the best score over all match lengths, of
  // equals the one with the longer match. Each walks from its match to the most frequent next token
  // as SuffixTrie::Advance describes.
  SuffixProposal Propose(int32_t max_tokens) const;

  const SuffixTrie& trie() const { return trie_; }

 private:
  explicit SuffixIndex(const SuffixIndexOptions& options)
      : options_(options), trie_(options.max_depth, options.max_nodes) {}

  SuffixIndexOptions options_;
  SuffixTrie trie_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_SUFFIX_INDEX_H_
