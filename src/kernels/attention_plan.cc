#include "kernels/attention_plan.h"

#include <algorithm>
#include <bit>
#include <numeric>

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

bool HaveCommonBit(const uint64_t* a, const uint64_t* b, size_t words) {
  constexpr size_t kStride = 16;  // without a branch each, so that it becomes vectors
  size_t w = 0;
  for (; w + kStride <= words; w += kStride) {
    uint64_t common = 0;
    for (size_t i = w; i < w + kStride; ++i) common |= a[i] & b[i];
    if (common != 0) return true;
  }
  for (; w < words; ++w) {
    if ((a[w] & b[w]) != 0) return true;
  }
  return false;
}

}  // namespace

void AttentionPlan::Build(const AttentionMask& mask, InstructionSet set) {
  Prepare(mask);
  for (int32_t r = 0; r < mask.rows; ++r) ScanRow(mask, r, set);
  Divide(mask);
  for (int32_t i = 0; i < tile_count_; ++i) tiles_[static_cast<size_t>(i)].Build(*this, mask);
}

void AttentionPlan::Build(const AttentionMask& mask, TeamMember& member, InstructionSet set) {
  if (member.index() == 0) Prepare(mask);
  member.Barrier();
  for (int64_t r = member.Take(); r < mask.rows; r = member.Take()) {
    ScanRow(mask, static_cast<int32_t>(r), set);
  }
  member.Barrier();
  if (member.index() == 0) Divide(mask);
  member.Barrier();
  for (int64_t i = member.Take(); i < tile_count_; i = member.Take()) {
    tiles_[static_cast<size_t>(i)].Build(*this, mask);
  }
  member.Barrier();
}

void AttentionPlan::Prepare(const AttentionMask& mask) {
  const auto rows = static_cast<size_t>(mask.rows);
  words_ = (static_cast<size_t>(mask.cells) + 63) / 64;
  seen_.resize(rows * words_);
  added_.assign(rows, 0);
  cluster_count_ = 0;
  tile_count_ = 0;
}

void AttentionPlan::ScanRow(const AttentionMask& mask, int32_t row, InstructionSet set) {
  uint64_t* const seen = seen_.data() + static_cast<size_t>(row) * words_;
  if (mask.mask == nullptr) {
    std::fill_n(seen, words_, ~uint64_t{0});
    if (mask.cells % 64 != 0) seen[words_ - 1] >>= 64 - mask.cells % 64;
    return;
  }
  const auto* numbers = reinterpret_cast<const uint16_t*>(
      reinterpret_cast<const char*>(mask.mask) + static_cast<size_t>(row) * mask.mask_row_bytes);
  added_[static_cast<size_t>(row)] =
      AttentionKernelsOf(set).scan_mask(numbers, mask.cells, seen) ? 1 : 0;
}

// Rows that see no common cell would only wait for each other, so they are in different tiles.
void AttentionPlan::Divide(const AttentionMask& mask) {
  for (int32_t r = 0; r < mask.rows; ++r) {
    Cluster& cluster = ClusterOf(SeenBy(r));
    cluster.rows.push_back(r);
    for (size_t w = 0; w < words_; ++w) cluster.seen[w] |= SeenBy(r)[w];
  }
  const auto most = static_cast<size_t>(
      std::clamp(kPairsOfTile / std::max(mask.heads_per_kv_head, 1), kMinTileRows, kMaxTileRows));
  for (size_t c = 0; c < cluster_count_; ++c) {
    const std::vector<int32_t>& rows = clusters_[c].rows;
    const size_t tiles = (rows.size() + most - 1) / most;
    for (size_t i = 0; i < tiles; ++i) {
      if (tiles_.size() == static_cast<size_t>(tile_count_)) tiles_.emplace_back();
      const auto begin = [&rows, tiles](size_t tile) {
        return rows.begin() + static_cast<ptrdiff_t>(rows.size() * tile / tiles);
      };
      tiles_[static_cast<size_t>(tile_count_++)].tile.rows.assign(begin(i), begin(i + 1));
    }
  }
}

AttentionPlan::Cluster& AttentionPlan::ClusterOf(const uint64_t* seen) {
  // The last one first: rows of a sequence follow each other.
  for (size_t c = cluster_count_; c-- > 0;) {
    if (HaveCommonBit(clusters_[c].seen.data(), seen, words_)) return clusters_[c];
  }
  if (clusters_.size() == cluster_count_) clusters_.emplace_back();
  Cluster& cluster = clusters_[cluster_count_++];
  cluster.rows.clear();
  cluster.seen.assign(words_, 0);
  return cluster;
}

void AttentionPlan::TileBuilder::Build(const AttentionPlan& plan, const AttentionMask& mask) {
  const size_t rows = tile.rows.size();
  tile.add_mask = false;
  tile.cells.clear();
  tile.visible.clear();
  entries.clear();
  first_block.clear();
  next_block.clear();
  by_position.clear();
  const uint64_t* before = nullptr;  // seen by the row that `entries` are of
  for (size_t r = 0; r < rows; ++r) {
    const int32_t row = tile.rows[r];
    const uint64_t* const seen = plan.SeenBy(row);
    tile.add_mask |= plan.added_[static_cast<size_t>(row)] != 0;
    before = AddRow(mask, before, seen, plan.words_) ? seen : nullptr;
    if (before == nullptr) AddRowByRank(mask, seen);
    for (const Entry& entry : entries) {
      if (entry.lanes == 0) continue;
      tile.visible[static_cast<size_t>(entry.block) * rows + r] = entry.lanes;
    }
    if (before == nullptr) entries.clear();
  }
  Finish();
}

// Goes on from the row before, if there is one: rows of one sequence differ by a cell. False, and
// the entries are void, if the row cannot be cut by position.
bool AttentionPlan::TileBuilder::AddRow(const AttentionMask& mask, const uint64_t* before,
                                        const uint64_t* seen, size_t words) {
  const auto cell_of = [](size_t word, uint64_t bits) {
    return static_cast<int32_t>(word) * 64 + std::countr_zero(bits);
  };
  const auto position_of = [&mask](int32_t cell) {
    return mask.positions == nullptr ? cell : mask.positions[cell];
  };
  // All that goes before anything comes: a cell may come in the place of one that goes.
  for (size_t w = 0; before != nullptr && w < words; ++w) {
    for (uint64_t gone = before[w] & ~seen[w]; gone != 0; gone &= gone - 1) {
      const int32_t position = position_of(cell_of(w, gone));
      entries[static_cast<size_t>(position / 64)].lanes &= ~(uint64_t{1} << (position % 64));
    }
  }
  for (size_t w = 0; w < words; ++w) {
    const uint64_t known = before == nullptr ? 0 : before[w];
    for (uint64_t come = seen[w] & ~known; come != 0; come &= come - 1) {
      const int32_t cell = cell_of(w, come);
      const int32_t position = position_of(cell);
      if (position < 0 || position >= kPositions || !AddCell(cell, position)) return false;
    }
  }
  return true;
}

void AttentionPlan::TileBuilder::AddRowByRank(const AttentionMask& mask, const uint64_t* seen) {
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
    if (((seen[cell / 64] >> (cell % 64)) & 1) != 0) AddCell(cell, rank++);
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
  int32_t* const cells = tile.cells.data() + ptrdiff_t{entry.block} * kAttentionBlock;
  if (entry.lanes != 0 && (cells[lane] == cell || cells[lane] == -1)) {
    cells[lane] = cell;
  } else {
    entry.block = FindBlock(index, entry, cell, lane);
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
  const ptrdiff_t first = ptrdiff_t{entry.block} * kAttentionBlock;
  for (uint64_t rest = entry.lanes; rest != 0; rest &= rest - 1) {
    const int i = std::countr_zero(rest);
    wanted[i] = tile.cells[static_cast<size_t>(first + i)];
  }
  wanted[lane] = cell;

  if (first_block.size() <= static_cast<size_t>(index)) {
    first_block.resize(static_cast<size_t>(index) + 1, -1);
  }
  int32_t* link = &first_block[static_cast<size_t>(index)];
  for (; *link >= 0; link = &next_block[static_cast<size_t>(*link)]) {
    int32_t* const cells = tile.cells.data() + ptrdiff_t{*link} * kAttentionBlock;
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
  tile.visible.resize(tile.visible.size() + tile.rows.size(), 0);
  return block;
}

// Puts the blocks that are seen in order and takes out of them what nobody sees: rows that moved on
// to another block leave cells behind.
void AttentionPlan::TileBuilder::Finish() {
  constexpr size_t kBlocksPerSpan = kAttentionSpan / kAttentionBlock;
  tile.order.clear();
  tile.spans.assign(1, 0);
  for (size_t index = 0; index < first_block.size(); ++index) {
    for (int32_t b = first_block[index]; b >= 0; b = next_block[static_cast<size_t>(b)]) {
      const auto block = static_cast<size_t>(b);
      uint64_t seen = 0;
      for (size_t r = 0; r < tile.rows.size(); ++r) {
        seen |= tile.visible[block * tile.rows.size() + r];
      }
      if (seen == 0) continue;
      for (size_t lane = 0; lane < kAttentionBlock; ++lane) {
        if (((seen >> lane) & 1) == 0) tile.cells[block * kAttentionBlock + lane] = -1;
      }
      tile.order.push_back(b);
    }
    const auto end = static_cast<int32_t>(tile.order.size());
    const bool span_ends = (index + 1) % kBlocksPerSpan == 0 || index + 1 == first_block.size();
    if (span_ends && tile.spans.back() != end) tile.spans.push_back(end);
  }
}

}  // namespace foretoken
