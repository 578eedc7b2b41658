#ifndef FORETOKEN_SPECULATIVE_SUFFIX_TRIE_H_
#define FORETOKEN_SPECULATIVE_SUFFIX_TRIE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "foretoken/options.h"

namespace foretoken {

// How often each string of up to `max_depth` tokens occurs in a growing text, as a trie of all its
// suffixes cut to that depth. Strings that occur once are not laid out but read from the text, so
// that the size follows what repeats: at most about max_depth / 2 nodes a token.
// One thread at a time (reading is const). A value. Never fails: when the next token might not fit
// into `max_nodes`, no node is added any more and only the counts of known strings go on.
class SuffixTrie {
 public:
  // Preconditions: max_depth >= 2, max_nodes >= 1.
  SuffixTrie(int32_t max_depth, int32_t max_nodes);

  // O(max_depth) amortised.
  void Append(TokenId token);

  struct Step {
    TokenId token = 0;
    double probability = 0;  // occurrences of (context, token) / occurrences of the context
  };

  // A context in the text that takes on the token most likely to follow, again and again.
  // Valid until the next Append.
  class Walk {
   private:
    friend class SuffixTrie;
    uint32_t node_ = 0;  // of the context while it occurs more than once
    int32_t depth_ = 0;
    bool is_unique_ = false;
    size_t next_position_ = 0;  // in the text, once the context occurs only once
  };

  // A walk whose context is the last `match_tokens` tokens of the text; absent when they occur
  // nowhere earlier or are not 1 to max_depth - 1.
  std::optional<Walk> WalkFrom(int32_t match_tokens) const;

  // Appends to the context the token that follows it most often (of equals the one seen last), and
  // returns it; absent when nothing ever followed. A context that occurs once continues as the text
  // does; any other is cut to its last max_depth - 1 tokens. An occurrence at the end of the text
  // counts for the context but has nothing after it, so a context is trusted more the more often it
  // was seen.
  std::optional<Step> Advance(Walk& walk) const;

  int32_t max_depth() const { return max_depth_; }
  size_t size_tokens() const { return text_.size(); }
  size_t node_count() const { return nodes_.size(); }
  size_t memory_bytes() const;

 private:
  // 0 is the root, and where a node is referred to, none.
  struct Node {
    uint32_t parent;
    TokenId token;
    uint32_t count;       // occurrences of the string from the root to here
    uint32_t last;        // position in the text of the latest one's last token
    uint32_t best_child;  // what follows most often
    uint32_t link;        // once it repeats: the node of this string without its first token
  };

  uint32_t Find(uint32_t parent, TokenId token) const;
  uint32_t Add(uint32_t parent, TokenId token, size_t position);
  size_t SlotOf(uint32_t parent, TokenId token) const;
  void GrowSlots();
  void CountNode(uint32_t node, int32_t depth, size_t position);

  int32_t max_depth_;
  size_t max_nodes_;
  bool is_growing_ = true;
  std::vector<TokenId> text_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> slots_;  // (parent, token) -> node: open addressing, a power of two
  // [max_depth + 1]: the node of the last d tokens, 0 where that string is not laid out.
  std::vector<uint32_t> suffix_nodes_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_SUFFIX_TRIE_H_
