#ifndef FORETOKEN_SPECULATIVE_SUFFIX_INDEX_H_
#define FORETOKEN_SPECULATIVE_SUFFIX_INDEX_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "foretoken/options.h"

namespace foretoken {

// What an allocation of `bytes` takes from the heap: glibc adds 8 bytes and rounds up to 16.
inline size_t HeapBytes(size_t bytes) {
  return bytes == 0 ? 0 : std::max<size_t>((bytes + 8 + 15) / 16 * 16, 32);
}

// The place in a text before its token `offset`.
struct TextPosition {
  uint32_t text = 0;
  uint32_t offset = 0;

  friend bool operator==(const TextPosition&, const TextPosition&) = default;
};

// Where the end of some context occurred before.
struct Occurrence {
  TextPosition position;
  int32_t match_tokens = 0;  // how many tokens before it are those at the context's end
};

// Texts of tokens, and positions in them in the order of what stands before: by the last token,
// then the one before it, and so on. Positions with a long common context are neighbours there, so
// one search finds the longest match of any context and all that match nearly as well. One thread
// at a time (reading is const). Movable. Never fails; its size is what is put into it, about 16
// bytes a token, and removed texts leave nothing behind.
class SuffixIndex {
 public:
  // What stands further back than this tells no two positions apart.
  static constexpr int32_t kMaxMatchTokens = 24;

  // Returns the text's number, that of a removed one where there is one. None of its positions is
  // in the order yet.
  uint32_t AddText(std::span<const TokenId> tokens);
  void Append(uint32_t text, std::span<const TokenId> tokens);
  // Precondition: none of its positions is in the order.
  void RemoveText(uint32_t text);
  const std::vector<TokenId>& text(uint32_t text) const { return texts_[text].tokens; }

  // Each O(log n). Preconditions: the offset is below the size of the text, whose tokens before it
  // are there to stay; the position is not, or is, in the order.
  void Insert(TextPosition position);
  void Erase(TextPosition position);

  // At most `most` positions before which the last `min_match_tokens` (at least 1) or more tokens
  // of `context` stand: those with the longest matches, longest first, and of equals the latest
  // first (in the text added last, nearest to its end). Where more match equally far than are asked
  // for, which of them is arbitrary, but a function of the index. O(most + log n).
  std::vector<Occurrence> FindLongest(std::span<const TokenId> context, int32_t min_match_tokens,
                                      size_t most) const;

  size_t position_count() const { return position_count_; }
  // What it holds on the heap, the allocator's overhead included.
  size_t memory_bytes() const;

 private:
  struct Text {
    std::vector<TokenId> tokens;
    uint64_t age_rank = 0;  // greater: added later
  };
  // Positions sorted, none empty; a full one is split, two that are nearly empty are joined.
  struct Block {
    static constexpr uint32_t kCapacity = 256;
    TextPosition first;  // a copy, to be found without a look inside
    uint32_t size = 0;
    std::unique_ptr<std::array<TextPosition, kCapacity>> positions;
  };
  // What a position is ordered by.
  struct Key {
    const TokenId* end = nullptr;  // behind the context
    int32_t size = 0;              // of the context, at most kMaxMatchTokens
    uint64_t age_rank = 0;
    uint32_t offset = 0;
  };
  // A place in the order: may be behind the last position of its block.
  struct Place {
    size_t block = 0;
    uint32_t index = 0;
  };

  Key KeyOf(TextPosition position) const;
  static int32_t CommonTokens(const Key& a, const Key& b);
  bool Precedes(TextPosition position, const Key& key) const;
  // The first place whose position does not precede the key.
  Place Find(const Key& key) const;
  void SplitBlock(size_t block);
  void JoinBlocks(size_t left);

  std::vector<Text> texts_;
  std::vector<uint32_t> free_texts_;
  uint64_t texts_added_ = 0;
  size_t text_bytes_ = 0;
  std::vector<Block> blocks_;
  size_t position_count_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_SUFFIX_INDEX_H_
