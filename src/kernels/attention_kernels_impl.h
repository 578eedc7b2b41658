#ifndef FORETOKEN_KERNELS_ATTENTION_KERNELS_IMPL_H_
#define FORETOKEN_KERNELS_ATTENTION_KERNELS_IMPL_H_

// The kernels of attention_kernels.h over any lanes S; see attention_lanes.h.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/attention_gather.h"
#include "kernels/attention_job.h"
#include "kernels/attention_kernels.h"
#include "kernels/attention_lanes.h"
#include "kernels/attention_merge.h"
#include "kernels/attention_softmax.h"

namespace foretoken {
namespace {

// logits[pair][lane] = query . key, for kPairs pairs and kTileVectors vectors of lanes.
template <typename S, int kPairs>
FORETOKEN_INLINE void LogitsOf(const float* const* queries, const float* keys, int32_t size,
                               float* logits, Ahead* ahead) {
  constexpr int kVectors = S::kTileVectors;
  typename S::Vec sum[kPairs][kVectors];
  for (int p = 0; p < kPairs; ++p) {
    for (int v = 0; v < kVectors; ++v) sum[p][v] = S::Zero();
  }
  for (int32_t d = 0; d < size; ++d, keys += kAttentionBlock) {
    ahead->Step(1);
    typename S::Vec key[kVectors];
    for (int v = 0; v < kVectors; ++v) key[v] = S::Load(keys + v * kLanes);
    for (int p = 0; p < kPairs; ++p) {
      const typename S::Vec query = S::Broadcast(queries[p][d]);
      for (int v = 0; v < kVectors; ++v) sum[p][v] = S::Fma(query, key[v], sum[p][v]);
    }
  }
  for (int p = 0; p < kPairs; ++p) {
    for (int v = 0; v < kVectors; ++v) {
      S::Store(logits + p * kAttentionBlock + v * kLanes, sum[p][v]);
    }
  }
}

template <typename S, int kPairs>
void Logits(const Pair* pairs, const float* keys, int32_t size, float* logits, Ahead* ahead) {
  const float* queries[kPairs];
  for (int p = 0; p < kPairs; ++p) queries[p] = pairs[p].query;
  for (int32_t lane = 0; lane < kAttentionBlock; lane += S::kTileVectors * kLanes) {
    LogitsOf<S, kPairs>(queries, keys + lane, size, logits + lane, ahead);
  }
}

// state = state * factor + weights . values, for kVectors vectors of the head from `first` on.
template <typename S, int kPairs, int kVectors>
FORETOKEN_INLINE void AddValuesOf(const Pair* pairs, const float* weights, const float* values,
                                  int32_t padded, int32_t lanes, int32_t first, Ahead* ahead) {
  typename S::Vec sum[kPairs][kVectors];
  for (int p = 0; p < kPairs; ++p) {
    const typename S::Vec factor = S::Broadcast(pairs[p].factor);
    for (int v = 0; v < kVectors; ++v) {
      sum[p][v] = S::Mul(S::Load(pairs[p].state + kStateHeader + first + v * kLanes), factor);
    }
  }
  const float* value = values + first;
  for (int32_t lane = 0; lane < lanes; ++lane, value += padded) {
    ahead->Step(1);
    typename S::Vec x[kVectors];
    for (int v = 0; v < kVectors; ++v) x[v] = S::Load(value + v * kLanes);
    for (int p = 0; p < kPairs; ++p) {
      const typename S::Vec w = S::Broadcast(weights[p * kAttentionBlock + lane]);
      for (int v = 0; v < kVectors; ++v) sum[p][v] = S::Fma(w, x[v], sum[p][v]);
    }
  }
  for (int p = 0; p < kPairs; ++p) {
    for (int v = 0; v < kVectors; ++v) {
      S::Store(pairs[p].state + kStateHeader + first + v * kLanes, sum[p][v]);
    }
  }
}

template <typename S, int kPairs>
void AddValues(const Pair* pairs, const float* weights, const float* values, int32_t padded,
               int32_t lanes, Ahead* ahead) {
  constexpr int kVectors = S::kTileVectors;
  int32_t first = 0;
  for (; first + kVectors * kLanes <= padded; first += kVectors * kLanes) {
    AddValuesOf<S, kPairs, kVectors>(pairs, weights, values, padded, lanes, first, ahead);
  }
  for (; first < padded; first += kLanes) {
    AddValuesOf<S, kPairs, 1>(pairs, weights, values, padded, lanes, first, ahead);
  }
}

// The same for one pair, without touching the values of cells that it does not see: those would
// turn 0 times infinity into NaN.
template <typename S>
void AddSeenValues(const Pair& pair, const float* weights, const float* values, int32_t padded) {
  for (int32_t first = 0; first < padded; first += kLanes) {
    float* const state = pair.state + kStateHeader + first;
    typename S::Vec sum = S::Mul(S::Load(state), S::Broadcast(pair.factor));
    for (uint64_t rest = pair.visible; rest != 0; rest &= rest - 1) {
      const int lane = __builtin_ctzll(rest);
      sum = S::Fma(S::Broadcast(weights[lane]), S::Load(values + lane * padded + first), sum);
    }
    S::Store(state, sum);
  }
}

// The largest tile first: there is no pair to spare.
template <typename S>
constexpr decltype(&Logits<S, 1>) kLogits[] = {Logits<S, 1>, Logits<S, 2>, Logits<S, 3>,
                                               Logits<S, 4>, Logits<S, 5>, Logits<S, 6>};
template <typename S>
constexpr decltype(&AddValues<S, 1>) kAddValues[] = {AddValues<S, 1>, AddValues<S, 2>,
                                                     AddValues<S, 3>, AddValues<S, 4>,
                                                     AddValues<S, 5>, AddValues<S, 6>};

// Where things lie in a task's workspace.
struct Workspace {
  float* block;    // the block's keys, then its values
  float* masks;    // by row of the tile and lane, what is to be added
  float* weights;  // by pair and lane: logits, then weights
  Pair* pairs;

  explicit Workspace(const AttentionSpanTask& task) {
    const AttentionJob& job = *task.job;
    const int32_t size =
        RoundUpToLanes(job.head_size_k > job.head_size_v ? job.head_size_k : job.head_size_v);
    block = static_cast<float*>(task.workspace);
    masks = block + ptrdiff_t{size} * kAttentionBlock;
    weights = masks + ptrdiff_t{task.rows} * kAttentionBlock;
    pairs = reinterpret_cast<Pair*>(weights + ptrdiff_t{task.rows} * (job.heads / job.kv_heads) *
                                                  kAttentionBlock);
  }
};

// Lists the pairs whose rows see any of the block; returns how many.
template <typename S>
int32_t ListPairs(const AttentionSpanTask& task, const int32_t* cells, const uint64_t* visible,
                  const Workspace& workspace) {
  const AttentionJob& job = *task.job;
  const int32_t group = job.heads / job.kv_heads;
  const int32_t stride = kStateHeader + RoundUpToLanes(job.head_size_v);
  int32_t count = 0;
  for (int32_t r = 0; r < task.rows; ++r) {
    if (visible[r] == 0) continue;
    const int32_t row = task.first_row + r;
    float* mask = nullptr;
    if (task.add_mask) {
      mask = workspace.masks + ptrdiff_t{r} * kAttentionBlock;
      GatherMask<S>(job, row, cells, visible[r], mask);
    }
    for (int32_t h = 0; h < group; ++h) {
      const int32_t head = task.kv_head * group + h;
      Pair& pair = workspace.pairs[count++];
      pair.query = reinterpret_cast<const float*>(reinterpret_cast<const char*>(job.query) +
                                                  static_cast<size_t>(row) * job.query_row_bytes +
                                                  static_cast<size_t>(head) * job.query_head_bytes);
      pair.state = task.states + ptrdiff_t{r * group + h} * stride;
      pair.mask = mask;
      pair.visible = visible[r];
      pair.slope = job.slopes == nullptr ? 1.0f : job.slopes[head];
    }
  }
  return count;
}

// How long a block takes.
template <typename S>
FORETOKEN_INLINE int32_t TicksOf(const AttentionJob& job, int32_t lanes, int32_t tiles) {
  constexpr int32_t kTogether = S::kTileVectors * kLanes;
  const int32_t key_tiles =
      RoundUpToLanes(lanes) / kLanes * RoundUpToLanes(job.head_size_k) / kLanes;
  const int32_t logit_ticks = job.head_size_k * (kAttentionBlock / kTogether);
  const int32_t value_ticks = lanes * ((job.head_size_v + kTogether - 1) / kTogether);
  return key_tiles * kTicksOfKeyTile + lanes * kTicksOfValue + tiles * (logit_ticks + value_ticks);
}

template <typename S>
void ComputeBlock(const AttentionSpanTask& task, const Workspace& workspace, int32_t b,
                  Ahead* ahead) {
  const AttentionJob& job = *task.job;
  const int32_t padded = RoundUpToLanes(job.head_size_v);
  const ptrdiff_t block = task.block_ids[b];
  const int32_t* const cells = task.cells + block * kAttentionBlock;
  const uint64_t* const visible = task.visible + block * task.rows;
  uint64_t seen_by_any = 0;
  uint64_t seen_by_all = ~uint64_t{0};  // of those that see any
  for (int32_t r = 0; r < task.rows; ++r) {
    seen_by_any |= visible[r];
    if (visible[r] != 0) seen_by_all &= visible[r];
  }
  if (seen_by_any == 0) return;
  const int32_t lanes = kAttentionBlock - __builtin_clzll(seen_by_any);
  const int32_t count = ListPairs<S>(task, cells, visible, workspace);
  const int32_t tiles = (count + kTilePairs - 1) / kTilePairs;
  const auto begin = [count, tiles](int32_t tile) { return count * tile / tiles; };

  const int32_t* const next_cells =
      b + 1 < task.block_count ? task.cells + ptrdiff_t{task.block_ids[b + 1]} * kAttentionBlock
                               : task.next_cells;
  if (next_cells != nullptr) {
    FetchOver(TicksOf<S>(job, lanes, tiles), task, next_cells, ahead);
  }
  GatherKeysOf<S>(job.key_type, task, cells, lanes, workspace.block, ahead);
  for (int32_t t = 0; t < tiles; ++t) {
    const int32_t first = begin(t);
    kLogits<S>[begin(t + 1) - first - 1](workspace.pairs + first, workspace.block, job.head_size_k,
                                         workspace.weights + ptrdiff_t{first} * kAttentionBlock,
                                         ahead);
  }
  for (int32_t p = 0; p < count; p += kLanes) {
    Softmax<S>(job, workspace.pairs + p, count - p < kLanes ? count - p : kLanes,
               workspace.weights + ptrdiff_t{p} * kAttentionBlock);
  }
  const bool all_finite =
      GatherValuesOf<S>(job.value_type, task, cells, lanes, workspace.block, ahead);
  if (!all_finite && seen_by_any != seen_by_all) {
    for (int32_t p = 0; p < count; ++p) {
      AddSeenValues<S>(workspace.pairs[p], workspace.weights + ptrdiff_t{p} * kAttentionBlock,
                       workspace.block, padded);
    }
    return;
  }
  for (int32_t t = 0; t < tiles; ++t) {
    const int32_t first = begin(t);
    kAddValues<S>[begin(t + 1) - first - 1](workspace.pairs + first,
                                            workspace.weights + ptrdiff_t{first} * kAttentionBlock,
                                            workspace.block, padded, lanes, ahead);
  }
}

template <typename S>
void ComputeSpan(const AttentionSpanTask& task) {
  const AttentionJob& job = *task.job;
  const ptrdiff_t stride = kStateHeader + RoundUpToLanes(job.head_size_v);
  float* const end = task.states + stride * task.rows * (job.heads / job.kv_heads);
  for (float* state = task.states; state < end; state += stride) {
    memset(state, 0, static_cast<size_t>(stride) * sizeof(float));
    state[0] = -kInfinity;
  }
  const Workspace workspace(task);
  Ahead ahead;
  ahead.next = ahead.end = ahead.left = ahead.period = 0;
  for (int32_t b = 0; b < task.block_count; ++b) ComputeBlock<S>(task, workspace, b, &ahead);
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
