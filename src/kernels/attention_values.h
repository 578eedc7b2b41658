#ifndef FORETOKEN_KERNELS_ATTENTION_VALUES_H_
#define FORETOKEN_KERNELS_ATTENTION_VALUES_H_

// A block's values times weights; see attention_lanes.h.

#include <cstddef>
#include <cstdint>

#include "kernels/attention_block.h"
#include "kernels/attention_gather.h"
#include "kernels/attention_job.h"
#include "kernels/attention_kernels.h"
#include "kernels/attention_lanes.h"

namespace foretoken {
namespace {

// A block's values as floats, [lane][element]. Both kinds load a vector, the first `count` elements
// of it at least.
struct CopiedValues {
  const float* floats;
  int32_t size;

  template <typename S>
  FORETOKEN_INLINE typename S::Vec Load(int32_t lane, int32_t first, int32_t /*count*/) const {
    return S::Load(floats + lane * RoundUpToLanes(size) + first);
  }
};

// The same where the cache has them.
template <KvType kType>
struct CachedValues {
  const unsigned char* heads[kAttentionBlock];
  int32_t size;

  template <typename S>
  FORETOKEN_INLINE typename S::Vec Load(int32_t lane, int32_t first, int32_t count) const {
    return LoadElements<S, kType>(heads[lane], first, count);
  }
};

// Copies a block's values to `floats`; true if all are finite.
template <typename S, KvType kType>
bool CopyValues(const CachedValues<kType>& values, int32_t lanes, float* floats, Ahead* ahead) {
  typename S::Vec poison = S::Zero();  // becomes NaN by an infinity or a NaN
  int32_t left = ahead->left();
  for (int32_t lane = 0; lane < lanes; ++lane) {
    left = ahead->Tick(left, kTicksOfValue);
    typename S::Vec poison_of_lane = S::Zero();
    for (int32_t first = 0; first < values.size; first += kLanes, floats += kLanes) {
      const typename S::Vec x = values.template Load<S>(lane, first, values.size - first);
      S::Store(floats, x);
      poison_of_lane = S::Fma(x, S::Zero(), poison_of_lane);
    }
    poison = S::Add(poison, poison_of_lane);
  }
  ahead->set_left(left);
  return S::ReduceAdd(poison) == 0.0f;
}

// state = state * factor + weights . values, for kVectors vectors of the head from `first` on, the
// last of which has `count` elements if that is less than all.
template <typename S, int kPairs, int kVectors, typename Values>
FORETOKEN_INLINE void AddValuesOf(const Pair* pairs, const float* weights, const Values& values,
                                  int32_t lanes, int32_t first, int32_t count, Ahead* ahead) {
  typename S::Vec sum[kPairs][kVectors];
  for (int p = 0; p < kPairs; ++p) {
    const typename S::Vec factor = S::Broadcast(pairs[p].factor);
    for (int v = 0; v < kVectors; ++v) {
      sum[p][v] = S::Mul(S::Load(pairs[p].state + kStateHeader + first + v * kLanes), factor);
    }
  }
  int32_t left = ahead->left();
  for (int32_t lane = 0; lane < lanes; ++lane) {
    left = ahead->Tick(left, 1);
    typename S::Vec value[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      value[v] = values.template Load<S>(lane, first + v * kLanes, count);
    }
    for (int p = 0; p < kPairs; ++p) {
      const typename S::Vec weight = S::Broadcast(weights[p * kAttentionBlock + lane]);
      for (int v = 0; v < kVectors; ++v) sum[p][v] = S::Fma(weight, value[v], sum[p][v]);
    }
  }
  ahead->set_left(left);
  for (int p = 0; p < kPairs; ++p) {
    for (int v = 0; v < kVectors; ++v) {
      S::Store(pairs[p].state + kStateHeader + first + v * kLanes, sum[p][v]);
    }
  }
}

template <typename S, int kPairs, typename Values>
void AddValues(const Pair* pairs, const float* weights, const Values& values, int32_t lanes,
               Ahead* ahead) {
  constexpr int kVectors = S::kTileVectors;
  int32_t first = 0;
  for (; first + kVectors * kLanes <= values.size; first += kVectors * kLanes) {
    AddValuesOf<S, kPairs, kVectors>(pairs, weights, values, lanes, first, kLanes, ahead);
  }
  for (; first < values.size; first += kLanes) {
    AddValuesOf<S, kPairs, 1>(pairs, weights, values, lanes, first, values.size - first, ahead);
  }
}

// The same for one pair, without touching the values of cells that it does not see: those would
// turn 0 times infinity into NaN.
template <typename S>
void AddSeenValues(const Pair& pair, const float* weights, const CopiedValues& values) {
  for (int32_t first = 0; first < values.size; first += kLanes) {
    float* const state = pair.state + kStateHeader + first;
    typename S::Vec sum = S::Mul(S::Load(state), S::Broadcast(pair.factor));
    for (uint64_t rest = pair.visible; rest != 0; rest &= rest - 1) {
      const int lane = __builtin_ctzll(rest);
      sum = S::Fma(S::Broadcast(weights[lane]), values.Load<S>(lane, first, kLanes), sum);
    }
    S::Store(state, sum);
  }
}

// By the number of pairs, less one.
template <typename S, typename Values>
constexpr decltype(&AddValues<S, 1, Values>) kAddValues[] = {
    AddValues<S, 1, Values>, AddValues<S, 2, Values>, AddValues<S, 3, Values>,
    AddValues<S, 4, Values>, AddValues<S, 5, Values>, AddValues<S, 6, Values>};
static_assert(kTilePairs == 6);

template <typename S, KvType kType>
void AddBlockOf(const AttentionSpanTask& task, const Block& block, const Workspace& workspace,
                Ahead* ahead) {
  const AttentionJob& job = *task.job;
  const size_t offset = static_cast<size_t>(task.kv_head) * job.value_head_bytes;
  CachedValues<kType> cached;
  cached.size = job.head_size_v;
  for (int32_t lane = 0; lane < block.lanes; ++lane) {
    cached.heads[lane] = HeadOf(block.cells[lane], job.value, job.value_cell_bytes, offset);
  }
  // A copy does not pay for a single tile.
  if (block.tiles() == 1 && block.seen_alike) {
    kAddValues<S, CachedValues<kType>>[block.pairs - 1](workspace.pairs, workspace.weights, cached,
                                                        block.lanes, ahead);
    return;
  }
  const bool all_finite = CopyValues<S, kType>(cached, block.lanes, workspace.floats, ahead);
  const CopiedValues values = {workspace.floats, job.head_size_v};
  if (!all_finite && !block.seen_alike) {
    for (int32_t p = 0; p < block.pairs; ++p) {
      AddSeenValues<S>(workspace.pairs[p], workspace.WeightsOf(p), values);
    }
    return;
  }
  for (int32_t t = 0; t < block.tiles(); ++t) {
    const int32_t first = block.FirstPair(t);
    kAddValues<S, CopiedValues>[block.FirstPair(t + 1) - first - 1](
        workspace.pairs + first, workspace.WeightsOf(first), values, block.lanes, ahead);
  }
}

// Adds the block's values, times their weights, to the states of all its pairs.
template <typename S>
void AddBlock(const AttentionSpanTask& task, const Block& block, const Workspace& workspace,
              Ahead* ahead) {
  // By KvType.
  constexpr decltype(&AddBlockOf<S, KvType::kF32>) kAddBlock[] = {
      AddBlockOf<S, KvType::kF32>, AddBlockOf<S, KvType::kF16>, AddBlockOf<S, KvType::kBf16>,
      AddBlockOf<S, KvType::kQ8_0>};
  kAddBlock[static_cast<int>(task.job->value_type)](task, block, workspace, ahead);
}

}  // namespace
}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_VALUES_H_
