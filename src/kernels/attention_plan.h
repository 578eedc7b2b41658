#ifndef FORETOKEN_KERNELS_ATTENTION_PLAN_H_
#define FORETOKEN_KERNELS_ATTENTION_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/instruction_set.h"
#include "kernels/thread_team.h"

namespace foretoken {

// Who sees what: what a plan is built from.
struct AttentionMask {
  int32_t rows = 0;
  int32_t cells = 0;
  const uint16_t* mask = nullptr;  // f16, -inf hides; null: every row sees every cell
  size_t mask_row_bytes = 0;
  const int32_t* positions = nullptr;  // of the cells; null: a cell's position is its index
  int32_t heads_per_kv_head = 1;       // decides how many rows are computed together
};

// The visible cells of every row in the order of their positions, as blocks that rows share. A
// row's block holds the cells whose positions agree but for the last six bits, each in the lane
// that these name: neither other rows nor the places of cells in memory change what a row computes.
// A row that sees two cells of one position (or one outside 0 to 2^24) is cut by rank instead.
// Built by one thread or team, then read by any; keeps its memory from one Build to the next.
class AttentionPlan {
 public:
  // Rows that are computed together because they see common cells, and their blocks.
  struct Tile {
    std::vector<int32_t> rows;
    bool add_mask = false;          // the mask holds other numbers than 0 and -inf
    std::vector<int32_t> cells;     // 64 per block, -1 for none
    std::vector<uint64_t> visible;  // a number per block and row: the lanes that it sees
    std::vector<int32_t> order;     // of the blocks by position
    std::vector<int32_t> spans;     // where each span begins in `order`, and the end

    int32_t row_count() const { return static_cast<int32_t>(rows.size()); }
    int32_t span_count() const { return static_cast<int32_t>(spans.size()) - 1; }
  };

  void Build(const AttentionMask& mask, InstructionSet set = BestInstructionSet());

  // The same by a whole team: every member calls it at the beginning of a phase (nothing taken
  // since the last barrier). Ends with a barrier.
  void Build(const AttentionMask& mask, TeamMember& member,
             InstructionSet set = BestInstructionSet());

  int32_t tile_count() const { return tile_count_; }
  const Tile& tile(int32_t i) const { return tiles_[static_cast<size_t>(i)].tile; }

 private:
  // Where a row's cells of 64 positions are: a block and lanes of it; no lanes: nowhere.
  struct Entry {
    int32_t block = 0;
    uint64_t lanes = 0;
  };
  // A tile and what is needed while it is built.
  struct TileBuilder {
    Tile tile;
    std::vector<Entry> entries;        // of the row last added, by position / 64
    std::vector<int32_t> first_block;  // by position / 64; -1: none
    std::vector<int32_t> next_block;   // another one of the same positions
    std::vector<int32_t> by_position;  // all cells; made when it is needed

    void Build(const AttentionPlan& plan, const AttentionMask& mask);
    bool AddRow(const AttentionMask& mask, const uint64_t* before, const uint64_t* seen,
                size_t words);
    void AddRowByRank(const AttentionMask& mask, const uint64_t* seen);
    bool AddCell(int32_t cell, int32_t position);
    int32_t FindBlock(int32_t index, const Entry& entry, int32_t cell, int32_t lane);
    void Finish();
  };
  // Rows that see common cells.
  struct Cluster {
    std::vector<int32_t> rows;
    std::vector<uint64_t> seen;  // by any of them
  };

  void Prepare(const AttentionMask& mask);
  void ScanRow(const AttentionMask& mask, int32_t row, InstructionSet set);
  void Divide(const AttentionMask& mask);
  Cluster& ClusterOf(const uint64_t* seen);

  const uint64_t* SeenBy(int32_t row) const {
    return seen_.data() + static_cast<size_t>(row) * words_;
  }

  size_t words_ = 0;                  // of 64 cells
  std::vector<uint64_t> seen_;        // a bit per row and cell
  std::vector<unsigned char> added_;  // by row: its mask holds other numbers than 0 and -inf
  size_t cluster_count_ = 0;
  int32_t tile_count_ = 0;
  // Never fewer than before, for their memory.
  std::vector<Cluster> clusters_;
  std::vector<TileBuilder> tiles_;
};

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_PLAN_H_
