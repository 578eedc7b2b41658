#include "speculative/suffix_index.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <optional>
#include <utility>

namespace foretoken {
namespace {

template <typename T>
size_t VectorBytes(const std::vector<T>& vector) {
  return HeapBytes(vector.capacity() * sizeof(T));
}

// Grows by an eighth: what is doubled would be counted against the texts.
template <typename T>
void ReserveOneMore(std::vector<T>& vector) {
  if (vector.size() == vector.capacity()) vector.reserve(vector.size() + vector.size() / 8 + 4);
}

}  // namespace

uint32_t SuffixIndex::AddText(std::span<const TokenId> tokens) {
  uint32_t text = 0;
  if (free_texts_.empty()) {
    text = static_cast<uint32_t>(texts_.size());
    ReserveOneMore(texts_);
    texts_.emplace_back();
  } else {
    text = free_texts_.back();
    free_texts_.pop_back();
  }
  texts_[text].age_rank = ++texts_added_;
  Append(text, tokens);
  return text;
}

void SuffixIndex::Append(uint32_t text, std::span<const TokenId> tokens) {
  std::vector<TokenId>& own = texts_[text].tokens;
  text_bytes_ -= VectorBytes(own);
  own.insert(own.end(), tokens.begin(), tokens.end());
  text_bytes_ += VectorBytes(own);
}

void SuffixIndex::RemoveText(uint32_t text) {
  text_bytes_ -= VectorBytes(texts_[text].tokens);
  texts_[text] = Text();
  ReserveOneMore(free_texts_);
  free_texts_.push_back(text);
}

SuffixIndex::Key SuffixIndex::KeyOf(TextPosition position) const {
  const Text& text = texts_[position.text];
  return {text.tokens.data() + position.offset,
          static_cast<int32_t>(std::min<uint32_t>(position.offset, kMaxMatchTokens)), text.age_rank,
          position.offset};
}

int32_t SuffixIndex::CommonTokens(const Key& a, const Key& b) {
  const int32_t most = std::min(a.size, b.size);
  int32_t common = 0;
  while (common < most && a.end[-1 - common] == b.end[-1 - common]) ++common;
  return common;
}

bool SuffixIndex::Precedes(TextPosition position, const Key& key) const {
  const Key own = KeyOf(position);
  const int32_t common = CommonTokens(own, key);
  if (common < own.size && common < key.size) return own.end[-1 - common] < key.end[-1 - common];
  if (own.size != key.size) return own.size < key.size;
  if (own.age_rank != key.age_rank) return own.age_rank > key.age_rank;
  return own.offset > key.offset;
}

SuffixIndex::Place SuffixIndex::Find(const Key& key) const {
  const auto after = std::partition_point(blocks_.begin(), blocks_.end(), [&](const Block& block) {
    return Precedes(block.first, key);
  });
  if (after == blocks_.begin()) return {};
  const Block& block = *(after - 1);
  const TextPosition* begin = block.positions->data();
  const TextPosition* place = std::partition_point(
      begin, begin + block.size, [&](TextPosition position) { return Precedes(position, key); });
  return {static_cast<size_t>(after - 1 - blocks_.begin()), static_cast<uint32_t>(place - begin)};
}

void SuffixIndex::SplitBlock(size_t block) {
  ReserveOneMore(blocks_);
  Block& left = blocks_[block];
  Block right;
  right.positions = std::make_unique<std::array<TextPosition, Block::kCapacity>>();
  const TextPosition* half = left.positions->data() + left.size / 2;
  right.size = left.size - left.size / 2;
  std::copy_n(half, right.size, right.positions->data());
  right.first = right.positions->front();
  left.size /= 2;
  blocks_.insert(blocks_.begin() + static_cast<ptrdiff_t>(block) + 1, std::move(right));
}

// Moves a block's positions into the one before it, where both together fill at most half of one:
// the next split or join is then a while away.
void SuffixIndex::JoinBlocks(size_t left) {
  if (left + 1 >= blocks_.size()) return;
  Block& to = blocks_[left];
  const Block& from = blocks_[left + 1];
  if (to.size + from.size > Block::kCapacity / 2) return;
  std::copy_n(from.positions->data(), from.size, to.positions->data() + to.size);
  to.size += from.size;
  blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(left) + 1);
}

void SuffixIndex::Insert(TextPosition position) {
  assert(position.offset < texts_[position.text].tokens.size());
  if (blocks_.empty()) {
    ReserveOneMore(blocks_);
    Block& block = blocks_.emplace_back();
    block.positions = std::make_unique<std::array<TextPosition, Block::kCapacity>>();
  }
  Place place = Find(KeyOf(position));
  if (blocks_[place.block].size == Block::kCapacity) {
    SplitBlock(place.block);
    const uint32_t left_size = blocks_[place.block].size;
    if (place.index > left_size) place = {place.block + 1, place.index - left_size};
  }
  Block& block = blocks_[place.block];
  TextPosition* at = block.positions->data() + place.index;
  std::copy_backward(at, block.positions->data() + block.size,
                     block.positions->data() + block.size + 1);
  *at = position;
  ++block.size;
  block.first = block.positions->front();
  ++position_count_;
}

void SuffixIndex::Erase(TextPosition position) {
  Place place = Find(KeyOf(position));
  if (place.index == blocks_[place.block].size) place = {place.block + 1, 0};
  Block& block = blocks_[place.block];
  TextPosition* at = block.positions->data() + place.index;
  assert(*at == position);
  std::copy(at + 1, block.positions->data() + block.size, at);
  --block.size;
  --position_count_;
  if (block.size == 0) {
    blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(place.block));
    return;
  }
  block.first = block.positions->front();
  JoinBlocks(place.block);
  if (place.block > 0) JoinBlocks(place.block - 1);
}

std::vector<Occurrence> SuffixIndex::FindLongest(std::span<const TokenId> context,
                                                 int32_t min_match_tokens, size_t most) const {
  std::vector<Occurrence> found;
  if (blocks_.empty()) return found;
  // Before all positions with the same context.
  const Key key{context.data() + context.size(),
                static_cast<int32_t>(std::min<size_t>(context.size(), kMaxMatchTokens)),
                std::numeric_limits<uint64_t>::max(), 0};
  Place left = Find(key);
  Place right = left;
  const auto previous = [&]() -> std::optional<Occurrence> {
    if (left.index == 0) {
      if (left.block == 0) return std::nullopt;
      --left.block;
      left.index = blocks_[left.block].size;
    }
    const TextPosition position = (*blocks_[left.block].positions)[--left.index];
    return Occurrence{position, CommonTokens(KeyOf(position), key)};
  };
  const auto next = [&]() -> std::optional<Occurrence> {
    if (right.index == blocks_[right.block].size) {
      if (right.block + 1 == blocks_.size()) return std::nullopt;
      right = {right.block + 1, 0};
    }
    const TextPosition position = (*blocks_[right.block].positions)[right.index++];
    return Occurrence{position, CommonTokens(KeyOf(position), key)};
  };
  // The further from the key's place, the shorter the match.
  std::optional<Occurrence> before = previous();
  std::optional<Occurrence> after = next();
  while (found.size() < most) {
    const bool takes_after = after && (!before || after->match_tokens >= before->match_tokens);
    std::optional<Occurrence>& nearest = takes_after ? after : before;
    if (!nearest || nearest->match_tokens < min_match_tokens) break;
    found.push_back(*nearest);
    nearest = takes_after ? next() : previous();
  }
  std::sort(found.begin(), found.end(), [&](const Occurrence& a, const Occurrence& b) {
    if (a.match_tokens != b.match_tokens) return a.match_tokens > b.match_tokens;
    const uint64_t a_rank = texts_[a.position.text].age_rank;
    const uint64_t b_rank = texts_[b.position.text].age_rank;
    return a_rank != b_rank ? a_rank > b_rank : a.position.offset > b.position.offset;
  });
  return found;
}

size_t SuffixIndex::memory_bytes() const {
  return text_bytes_ + VectorBytes(texts_) + VectorBytes(free_texts_) + VectorBytes(blocks_) +
         blocks_.size() * HeapBytes(sizeof(*Block::positions));
}

}  // namespace foretoken
