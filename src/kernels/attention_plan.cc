#include "kernels/attention_plan.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "kernels/attention_kernels.h"

namespace foretoken {
namespace {

// (row, head) pairs of a tile: enough that reading keys and values costs little beside them, few
// enough that their states stay in the second-level cache.
constexpr int32_t kPairsOfTile = 96;
constexpr int32_t kMinTileRows = 8;
constexpr int32_t kMaxTileRows = 64;

// A table by position / 64 is kept up to here.
constexpr int32_t kPositions = 1 << 24;

int32_t DivideUp(int32_t a, int32_t b) {
  return (a + b - 1) / b;
}

bool HasBit(const std::vector<uint64_t>& bits, int32_t i) {
  return ((bits[static_cast<size_t>(i / 64)] >> (i % 64)) & 1) != 0;
}

}  // namespace

void AttentionPlan::Build(const AttentionMask& mask, InstructionSet set) {
  Divide(mask);
  for (int32_t i = 0; i < tile_count_; ++i) tiles_[static_cast<size_t>(i)].Build(mask, set);
}

void AttentionPlan::Build(const AttentionMask& mask, TeamMember& member, InstructionSet set) {
  if (member.index() == 0) Divide(mask);
  member.Barrier();
  for (int64_t i = member.Take(); i < tile_count_; i = member.Take()) {
    tiles_[static_cast<size_t>(i)].Build(mask, set);
  }
  member.Barrier();
}

void AttentionPlan::Divide(const AttentionMask& mask) {
  const int32_t most =
      std::clamp(kPairsOfTile / std::max(mask.heads_per_kv_head, 1), kMinTileRows, kMaxTileRows);
  rows_ = mask.rows;
  tile_count_ = DivideUp(rows_, most);
  if (tiles_.size() < static_cast<size_t>(tile_count_)) {
    tiles_.resize(static_cast<size_t>(tile_count_));
  }
  for (int32_t i = 0; i < tile_count_; ++i) {
    Tile& tile = tiles_[static_cast<size_t>(i)].tile;
    const auto begin = [&](int64_t n) { return static_cast<int32_t>(n * rows_ / tile_count_); };
    tile.first_row = begin(i);
    tile.rows = begin(i + 1) - begin(i);
  }
}

void AttentionPlan::TileBuilder::Build(const AttentionMask& mask, InstructionSet set) {
  const AttentionKernels& kernels = AttentionKernelsOf(set);
  const auto words = static_cast<size_t>(DivideUp(mask.cells, 64));
  tile.add_mask = false;
  tile.cells.clear();
  tile.visible.clear();
  entries.clear();
  first_block.clear();
  next_block.clear();
  by_position.clear();
  seen.assign(words, 0);
  seen_next.assign(words, ~uint64_t{0});
  if (mask.cells % 64 != 0) seen_next.back() >>= 64 - mask.cells % 64;

  for (int32_t r = 0; r < tile.rows; ++r) {
    if (mask.mask != nullptr) {
      const auto row = static_cast<size_t>(tile.first_row + r);
      const auto* numbers = reinterpret_cast<const uint16_t*>(
          reinterpret_cast<const char*>(mask.mask) + row * mask.mask_row_bytes);
      tile.add_mask |= kernels.scan_mask(numbers, mask.cells, seen_next.data());
    }
    const bool in_order = AddRow(mask);
    if (!in_order) AddRowByRank(mask);
    for (const Entry& entry : entries) {
      if (entry.lanes == 0) continue;
      tile.visible[static_cast<size_t>(entry.block * tile.rows + r)] = entry.lanes;
    }
    if (in_order) {
      // Without a mask the next row sees the same.
      if (mask.mask != nullptr)
        std::swap(seen, seen_next);
      else
        seen = seen_next;
    } else {
      entries.clear();
      std::fill(seen.begin(), seen.end(), 0);
    }
  }
  Sort();
}

// Goes on from the row before: rows of one sequence differ by a cell. False, and the entries are
// void, if the row cannot be cut by position.
bool AttentionPlan::TileBuilder::AddRow(const AttentionMask& mask) {
  const auto position_of = [&mask](int32_t cell) {
    return mask.positions == nullptr ? cell : mask.positions[cell];
  };
  // All that goes before anything comes: a cell may come in the place of one that goes.
  for (size_t w = 0; w < seen.size(); ++w) {
    for (uint64_t gone = seen[w] & ~seen_next[w]; gone != 0; gone &= gone - 1) {
      const int32_t position = position_of(static_cast<int32_t>(w) * 64 + std::countr_zero(gone));
      entries[static_cast<size_t>(position / 64)].lanes &= ~(uint64_t{1} << (position % 64));
    }
  }
  for (size_t w = 0; w < seen.size(); ++w) {
    for (uint64_t come = seen_next[w] & ~seen[w]; come != 0; come &= come - 1) {
      const int32_t cell = static_cast<int32_t>(w) * 64 + std::countr_zero(come);
      const int32_t position = position_of(cell);
      if (position < 0 || position >= kPositions || !AddCell(cell, position)) return false;
    }
  }
  return true;
}

void AttentionPlan::TileBuilder::AddRowByRank(const AttentionMask& mask) {
  if (by_position.empty()) {
    by_position.resize(static_cast<size_t>(mask.cells));
    std::iota(by_position.begin(), by_position.end(), 0);
    if (mask.positions != nullptr) {
      std::stable_sort(by_position.begin(), by_position.end(), [&mask](int32_t a, int32_t b) {
        return mask.positions[a] < mask.positions[b];
      });
    }
  }
  entries.clear();
  int32_t rank = 0;
  for (const int32_t cell : by_position) {
    if (HasBit(seen_next, cell)) AddCell(cell, rank++);
  }
}

// False if the row already sees another cell of this position.
bool AttentionPlan::TileBuilder::AddCell(int32_t cell, int32_t position) {
  const int32_t index = position / 64;
  const int32_t lane = position % 64;
  if (entries.size() <= static_cast<size_t>(index)) {
    entries.resize(static_cast<size_t>(index) + 1);
  }
  Entry& entry = entries[static_cast<size_t>(index)];
  if (((entry.lanes >> lane) & 1) != 0) return false;
  int32_t* const cells =
      entry.lanes == 0 ? nullptr : tile.cells.data() + entry.block * kAttentionBlock;
  if (cells == nullptr || (cells[lane] != cell && cells[lane] != -1)) {
    entry.block = FindBlock(index, entry, cell, lane);
  } else {
    cells[lane] = cell;
  }
  entry.lanes |= uint64_t{1} << lane;
  return true;
}

// A block of these positions that holds the row's cells so far and the new one, or has room for
// them; a new one if there is none.
int32_t AttentionPlan::TileBuilder::FindBlock(int32_t index, const Entry& entry, int32_t cell,
                                              int32_t lane) {
  int32_t wanted[kAttentionBlock];
  std::fill_n(wanted, kAttentionBlock, -1);
  if (entry.lanes != 0) {
    const int32_t* const cells = tile.cells.data() + entry.block * kAttentionBlock;
    for (uint64_t rest = entry.lanes; rest != 0; rest &= rest - 1) {
      const int i = std::countr_zero(rest);
      wanted[i] = cells[i];
    }
  }
  wanted[lane] = cell;

  if (first_block.size() <= static_cast<size_t>(index)) {
    first_block.resize(static_cast<size_t>(index) + 1, -1);
  }
  int32_t* link = &first_block[static_cast<size_t>(index)];
  for (; *link >= 0; link = &next_block[static_cast<size_t>(*link)]) {
    int32_t* const cells = tile.cells.data() + *link * kAttentionBlock;
    bool fits = true;
    for (int i = 0; i < kAttentionBlock && fits; ++i) {
      fits = wanted[i] == -1 || cells[i] == -1 || cells[i] == wanted[i];
    }
    if (!fits) continue;
    for (int i = 0; i < kAttentionBlock; ++i) {
      if (wanted[i] != -1) cells[i] = wanted[i];
    }
    return *link;
  }
  const auto block = static_cast<int32_t>(next_block.size());
  *link = block;
  next_block.push_back(-1);
  tile.cells.insert(tile.cells.end(), wanted, wanted + kAttentionBlock);
  tile.visible.resize(tile.visible.size() + static_cast<size_t>(tile.rows), 0);
  return block;
}

void AttentionPlan::TileBuilder::Sort() {
  constexpr size_t kBlocksPerSpan = kAttentionSpan / kAttentionBlock;
  tile.order.clear();
  tile.spans.assign(1, 0);
  for (size_t index = 0; index < first_block.size(); ++index) {
    for (int32_t b = first_block[index]; b >= 0; b = next_block[static_cast<size_t>(b)]) {
      tile.order.push_back(b);
    }
    const auto end = static_cast<int32_t>(tile.order.size());
    const bool span_ends = (index + 1) % kBlocksPerSpan == 0 || index + 1 == first_block.size();
    if (span_ends && tile.spans.back() != end) tile.spans.push_back(end);
  }
}

}  // namespace foretoken
