#ifndef FORETOKEN_KERNELS_ATTENTION_BLOCK_H_
#define FORETOKEN_KERNELS_ATTENTION_BLOCK_H_

// What is known of a block before it is computed; see attention_lanes.h.

#include <cstddef>
#include <cstdint>

#include "kernels/attention_gather.h"
#include "kernels/attention_job.h"
#include "kernels/attention_kernels.h"
#include "kernels/attention_lanes.h"

namespace foretoken {
namespace {

// Where things lie in a task's workspace (AttentionWorkspaceBytes).
struct Workspace {
  float* floats;   // a block's keys, then its values
  float* masks;    // by row of the tile and lane, what is to be added
  float* weights;  // by pair and lane: logits, then weights
  Pair* pairs;

  explicit Workspace(const AttentionSpanTask& task) {
    const AttentionJob& job = *task.job;
    const int32_t size =
        RoundUpToLanes(job.head_size_k > job.head_size_v ? job.head_size_k : job.head_size_v);
    const ptrdiff_t most_pairs = ptrdiff_t{task.row_count} * (job.heads / job.kv_heads);
    floats = static_cast<float*>(task.workspace);
    masks = floats + ptrdiff_t{size} * kAttentionBlock;
    weights = masks + ptrdiff_t{task.row_count} * kAttentionBlock;
    pairs = reinterpret_cast<Pair*>(weights + most_pairs * kAttentionBlock);
  }

  FORETOKEN_INLINE float* WeightsOf(int32_t pair) const {
    return weights + ptrdiff_t{pair} * kAttentionBlock;
  }
};

// A block, and the pairs whose rows see any of it, in tiles of at most kTilePairs.
struct Block {
  const int32_t* cells;
  int32_t lanes;    // all after them are seen by none
  int32_t pairs;    // how many
  bool seen_alike;  // by all of them

  FORETOKEN_INLINE int32_t tiles() const { return (pairs + kTilePairs - 1) / kTilePairs; }
  FORETOKEN_INLINE int32_t FirstPair(int32_t tile) const { return pairs * tile / tiles(); }
};

template <typename S>
void ListPairsOfRow(const AttentionSpanTask& task, const Workspace& workspace, int32_t r,
                    uint64_t visible, Block* block) {
  const AttentionJob& job = *task.job;
  const int32_t group = job.heads / job.kv_heads;
  const ptrdiff_t stride = kStateHeader + RoundUpToLanes(job.head_size_v);
  const auto row = static_cast<size_t>(task.rows[r]);
  float* mask = nullptr;
  if (task.add_mask) {
    mask = workspace.masks + ptrdiff_t{r} * kAttentionBlock;
    GatherMask<S>(job, row, block->cells, visible, mask);
  }
  for (int32_t h = 0; h < group; ++h) {
    const int32_t head = task.kv_head * group + h;
    const char* const query = reinterpret_cast<const char*>(job.query) + row * job.query_row_bytes +
                              static_cast<size_t>(head) * job.query_head_bytes;
    Pair& pair = workspace.pairs[block->pairs++];
    pair.query = reinterpret_cast<const float*>(query);
    pair.state = task.states + (ptrdiff_t{r} * group + h) * stride;
    pair.mask = mask;
    pair.visible = visible;
    pair.slope = job.slopes == nullptr ? 1.0f : job.slopes[head];
  }
}

// The task's block of this number, with its pairs in the workspace.
template <typename S>
Block PrepareBlock(const AttentionSpanTask& task, const Workspace& workspace, int32_t id) {
  const uint64_t* const visible = task.visible + ptrdiff_t{id} * task.row_count;
  Block block = {task.cells + ptrdiff_t{id} * kAttentionBlock, 0, 0, true};
  uint64_t seen_by_any = 0;
  uint64_t seen_by_all = ~uint64_t{0};
  for (int32_t r = 0; r < task.row_count; ++r) {
    if (visible[r] == 0) continue;
    seen_by_any |= visible[r];
    seen_by_all &= visible[r];
    ListPairsOfRow<S>(task, workspace, r, visible[r], &block);
  }
  // The plan has no block that none sees.
  block.lanes = kAttentionBlock - __builtin_clzll(seen_by_any);
  block.seen_alike = seen_by_any == seen_by_all;
  return block;
}

}  // namespace
}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_BLOCK_H_
