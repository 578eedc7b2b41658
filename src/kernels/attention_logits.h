#ifndef FORETOKEN_KERNELS_ATTENTION_LOGITS_H_
#define FORETOKEN_KERNELS_ATTENTION_LOGITS_H_

// A block's keys times queries; see attention_lanes.h.

#include <cstddef>
#include <cstdint>

#include "kernels/attention_block.h"
#include "kernels/attention_gather.h"
#include "kernels/attention_job.h"
#include "kernels/attention_kernels.h"
#include "kernels/attention_lanes.h"

namespace foretoken {
namespace {

// The block's keys as [element][lane]: a logit is then a sum over elements in their order, lane by
// lane, however wide the registers are.
template <typename S, KvType kType>
void CopyKeys(const AttentionSpanTask& task, const Block& block, float* keys, Ahead* ahead) {
  const AttentionJob& job = *task.job;
  const size_t offset = static_cast<size_t>(task.kv_head) * job.key_head_bytes;
  int32_t left = ahead->left();
  for (int32_t lane = 0; lane < block.lanes; lane += kLanes) {
    const unsigned char* heads[kLanes];
    for (int32_t i = 0; i < kLanes; ++i) {
      heads[i] = HeadOf(block.cells[lane + i], job.key, job.key_cell_bytes, offset);
    }
    for (int32_t first = 0; first < job.head_size_k; first += kLanes) {
      const int32_t count = job.head_size_k - first;
      left = ahead->Tick(left, kTicksOfKeyTile);
      typename S::Vec tile[kLanes];
      for (int32_t i = 0; i < kLanes; ++i) {
        tile[i] = LoadElements<S, kType>(heads[i], first, count);
      }
      S::Transpose(tile);
      float* const to = keys + ptrdiff_t{first} * kAttentionBlock + lane;
      for (int32_t i = 0; i < kLanes; ++i) S::Store(to + i * kAttentionBlock, tile[i]);
    }
  }
  ahead->set_left(left);
}

// logits[pair][lane] = query . key, for kPairs pairs and kTileVectors vectors of lanes.
template <typename S, int kPairs>
FORETOKEN_INLINE void LogitsOf(const float* const* queries, const float* keys, int32_t size,
                               float* logits, Ahead* ahead) {
  constexpr int kVectors = S::kTileVectors;
  typename S::Vec sum[kPairs][kVectors];
  for (int p = 0; p < kPairs; ++p) {
    for (int v = 0; v < kVectors; ++v) sum[p][v] = S::Zero();
  }
  int32_t left = ahead->left();
  for (int32_t d = 0; d < size; ++d, keys += kAttentionBlock) {
    left = ahead->Tick(left, 1);
    typename S::Vec key[kVectors];
    for (int v = 0; v < kVectors; ++v) key[v] = S::Load(keys + v * kLanes);
    for (int p = 0; p < kPairs; ++p) {
      const typename S::Vec query = S::Broadcast(queries[p][d]);
      for (int v = 0; v < kVectors; ++v) sum[p][v] = S::Fma(query, key[v], sum[p][v]);
    }
  }
  ahead->set_left(left);
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

// By the number of pairs, less one.
template <typename S>
constexpr decltype(&Logits<S, 1>) kLogits[] = {Logits<S, 1>, Logits<S, 2>, Logits<S, 3>,
                                               Logits<S, 4>, Logits<S, 5>, Logits<S, 6>};
static_assert(kTilePairs == 6);

// The logits of all the block's pairs. Those of lanes that none sees are anything.
template <typename S>
void ComputeLogits(const AttentionSpanTask& task, const Block& block, const Workspace& workspace,
                   Ahead* ahead) {
  // By KvType.
  constexpr decltype(&CopyKeys<S, KvType::kF32>) kCopyKeys[] = {
      CopyKeys<S, KvType::kF32>, CopyKeys<S, KvType::kF16>, CopyKeys<S, KvType::kBf16>,
      CopyKeys<S, KvType::kQ8_0>};
  const AttentionJob& job = *task.job;
  kCopyKeys[static_cast<int>(job.key_type)](task, block, workspace.floats, ahead);
  for (int32_t t = 0; t < block.tiles(); ++t) {
    const int32_t first = block.FirstPair(t);
    kLogits<S>[block.FirstPair(t + 1) - first - 1](workspace.pairs + first, workspace.floats,
                                                   job.head_size_k, workspace.WeightsOf(first),
                                                   ahead);
  }
}

}  // namespace
}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_LOGITS_H_
