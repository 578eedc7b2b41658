#ifndef FORETOKEN_KERNELS_ATTENTION_KERNELS_IMPL_H_
#define FORETOKEN_KERNELS_ATTENTION_KERNELS_IMPL_H_

// The kernels of attention_kernels.h over any lanes S; see attention_lanes.h.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/attention_block.h"
#include "kernels/attention_gather.h"
#include "kernels/attention_job.h"
#include "kernels/attention_kernels.h"
#include "kernels/attention_lanes.h"
#include "kernels/attention_logits.h"
#include "kernels/attention_merge.h"
#include "kernels/attention_softmax.h"
#include "kernels/attention_values.h"

namespace foretoken {
namespace {

// How long a block takes.
template <typename S>
int32_t TicksOf(const AttentionJob& job, const Block& block) {
  constexpr int32_t kTogether = S::kTileVectors * kLanes;
  const int32_t key_tiles =
      RoundUpToLanes(block.lanes) / kLanes * RoundUpToLanes(job.head_size_k) / kLanes;
  const int32_t copied_values = block.tiles() == 1 ? 0 : block.lanes;
  const int32_t logits = job.head_size_k * (kAttentionBlock / kTogether);
  const int32_t values = block.lanes * ((job.head_size_v + kTogether - 1) / kTogether);
  return key_tiles * kTicksOfKeyTile + copied_values * kTicksOfValue +
         block.tiles() * (logits + values);
}

template <typename S>
void ComputeSpan(const AttentionSpanTask& task) {
  const AttentionJob& job = *task.job;
  const ptrdiff_t stride = kStateHeader + RoundUpToLanes(job.head_size_v);
  float* const end = task.states + stride * task.row_count * (job.heads / job.kv_heads);
  for (float* state = task.states; state < end; state += stride) {
    memset(state, 0, static_cast<size_t>(stride) * sizeof(float));
    state[0] = -kInfinity;
  }
  const Workspace workspace(task);
  Ahead ahead;
  for (int32_t b = 0; b < task.block_count; ++b) {
    const Block block = PrepareBlock<S>(task, workspace, task.block_ids[b]);
    const int32_t* const next_cells =
        b + 1 < task.block_count ? task.cells + ptrdiff_t{task.block_ids[b + 1]} * kAttentionBlock
                                 : task.next_cells;
    ahead.Start(task, next_cells, TicksOf<S>(job, block));
    ComputeLogits<S>(task, block, workspace, &ahead);
    for (int32_t p = 0; p < block.pairs; p += kLanes) {
      const int32_t count = block.pairs - p < kLanes ? block.pairs - p : kLanes;
      Softmax<S>(job, workspace.pairs + p, count, workspace.WeightsOf(p));
    }
    AddBlock<S>(task, block, workspace, &ahead);
  }
}

template <typename S>
bool ScanMask(const uint16_t* mask, int32_t cells, uint64_t* bits) {
  bool added = false;
  int32_t cell = 0;
  for (; cell + kAttentionBlock <= cells; cell += kAttentionBlock) {
    bits[cell / kAttentionBlock] = S::VisibleBits(mask + cell, &added);
  }
  if (cell < cells) {
    uint16_t rest[kAttentionBlock];
    for (int32_t i = 0; i < kAttentionBlock; ++i) {
      rest[i] = cell + i < cells ? mask[cell + i] : uint16_t{0xfc00};
    }
    bits[cell / kAttentionBlock] = S::VisibleBits(rest, &added);
  }
  return added;
}

template <typename S>
constexpr AttentionKernels MakeAttentionKernels() {
  return {ScanMask<S>, ComputeSpan<S>, MergeSpan<S>, FinishRow<S>};
}

}  // namespace
}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_KERNELS_IMPL_H_
