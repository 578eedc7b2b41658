#include "speculative/suffix_trie.h"

#include <algorithm>

namespace foretoken {
namespace {

constexpr size_t kInitialSlots = 1024;

uint64_t Hash(uint32_t parent, TokenId token) {
  uint64_t key = (uint64_t{parent} << 32) | static_cast<uint32_t>(token);
  key *= 0x9E3779B97F4A7C15u;
  return key ^ (key >> 32);
}

}  // namespace

SuffixTrie::SuffixTrie(int32_t max_depth, int32_t max_nodes)
    : max_depth_(max_depth),
      max_nodes_(static_cast<size_t>(max_nodes)),
      nodes_(1),
      slots_(kInitialSlots),
      suffix_nodes_(static_cast<size_t>(max_depth) + 1) {}

size_t SuffixTrie::SlotOf(uint32_t parent, TokenId token) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = Hash(parent, token) & mask;
  while (slots_[slot] != 0) {
    const Node& node = nodes_[slots_[slot]];
    if (node.parent == parent && node.token == token) break;
    slot = (slot + 1) & mask;
  }
  return slot;
}

uint32_t SuffixTrie::Find(uint32_t parent, TokenId token) const {
  return slots_[SlotOf(parent, token)];
}

void SuffixTrie::GrowSlots() {
  slots_.assign(slots_.size() * 2, 0);
  for (size_t i = 1; i < nodes_.size(); ++i) {
    slots_[SlotOf(nodes_[i].parent, nodes_[i].token)] = static_cast<uint32_t>(i);
  }
}

// Precondition: Find(parent, token) is 0.
uint32_t SuffixTrie::Add(uint32_t parent, TokenId token, size_t position) {
  const auto id = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({parent, token, /*count=*/1, static_cast<uint32_t>(position), 0, 0});
  if (nodes_.size() * 2 > slots_.size()) {
    GrowSlots();
  } else {
    slots_[SlotOf(parent, token)] = id;
  }
  return id;
}

// Counts an occurrence that ends at `position`, of the string of a node at `depth`.
void SuffixTrie::CountNode(uint32_t node, int32_t depth, size_t position) {
  const size_t earlier = nodes_[node].last;
  nodes_[node].last = static_cast<uint32_t>(position);
  if (++nodes_[node].count != 2 || depth == max_depth_ || !is_growing_) return;
  // It repeats now, so what followed its first occurrence is laid out too.
  nodes_[node].best_child = Add(node, text_[earlier + 1], earlier + 1);
}

void SuffixTrie::Append(TokenId token) {
  const size_t position = text_.size();
  text_.push_back(token);
  // A token adds at most one node a level. All or nothing, so that every node's link exists.
  is_growing_ = is_growing_ && nodes_.size() + static_cast<size_t>(max_depth_) <= max_nodes_;
  // Longest first: level d is made from level d - 1 as it was before this token.
  for (int32_t depth = max_depth_; depth >= 1; --depth) {
    const auto d = static_cast<size_t>(depth);
    const uint32_t parent = suffix_nodes_[d - 1];
    suffix_nodes_[d] = 0;
    if (depth > 1 && (parent == 0 || nodes_[parent].count < 2)) continue;
    uint32_t node = Find(parent, token);
    if (node != 0) {
      CountNode(node, depth, position);
    } else if (is_growing_) {
      node = Add(parent, token, position);
    } else {
      continue;
    }
    suffix_nodes_[d] = node;
    // Only this child's count has changed, and it is the one seen last.
    const uint32_t best = nodes_[parent].best_child;
    if (best == 0 || nodes_[node].count >= nodes_[best].count) nodes_[parent].best_child = node;
  }
  // A string that repeats has been at the end of the text since it was laid out, so it has a link.
  for (size_t d = 2; d < suffix_nodes_.size() && suffix_nodes_[d] != 0; ++d) {
    nodes_[suffix_nodes_[d]].link = suffix_nodes_[d - 1];
  }
}

std::optional<SuffixTrie::Walk> SuffixTrie::WalkFrom(int32_t match_tokens) const {
  if (match_tokens < 1 || match_tokens >= max_depth_) return std::nullopt;
  Walk walk;
  walk.node_ = suffix_nodes_[static_cast<size_t>(match_tokens)];
  walk.depth_ = match_tokens;
  if (walk.node_ == 0 || nodes_[walk.node_].count < 2) return std::nullopt;
  return walk;
}

std::optional<SuffixTrie::Step> SuffixTrie::Advance(Walk& walk) const {
  if (walk.is_unique_) {
    if (walk.next_position_ == text_.size()) return std::nullopt;
    return Step{text_[walk.next_position_++], 1.0};
  }
  if (walk.depth_ == max_depth_) {
    walk.node_ = nodes_[walk.node_].link;
    --walk.depth_;
  }
  // No child only where the trie has stopped growing.
  const Node& context = nodes_[walk.node_];
  if (context.best_child == 0) return std::nullopt;
  const Node& child = nodes_[context.best_child];
  walk.node_ = context.best_child;
  ++walk.depth_;
  walk.is_unique_ = child.count == 1;
  walk.next_position_ = size_t{child.last} + 1;
  return Step{child.token, static_cast<double>(child.count) / context.count};
}

size_t SuffixTrie::memory_bytes() const {
  return text_.capacity() * sizeof(TokenId) + nodes_.capacity() * sizeof(Node) +
         (slots_.capacity() + suffix_nodes_.capacity()) * sizeof(uint32_t);
}

}  // namespace foretoken
