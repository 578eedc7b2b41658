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

namespace foretoken {
namespace {

// logits[pair][lane] = query . key, for kPairs pairs and all lanes of the block.
template <typename S, int kPairs>
void Logits(const Pair* pairs, const float* keys, int32_t size, float* logits) {
  constexpr int kVectors = S::kTileVectors;
  const float* query[kPairs];
  for (int p = 0; p < kPairs; ++p) query[p] = pairs[p].query;
  for (int32_t lane = 0; lane < kAttentionBlock; lane += kVectors * kLanes) {
    typename S::Vec sum[kPairs][kVectors];
    for (int p = 0; p < kPairs; ++p) {
      for (int v = 0; v < kVectors; ++v) sum[p][v] = S::Zero();
    }
    const float* key = keys + lane;
    for (int32_t d = 0; d < size; ++d, key += kAttentionBlock) {
      typename S::Vec k[kVectors];
      for (int v = 0; v < kVectors; ++v) k[v] = S::Load(key + v * kLanes);
      for (int p = 0; p < kPairs; ++p) {
        const typename S::Vec q = S::Broadcast(query[p][d]);
        for (int v = 0; v < kVectors; ++v) sum[p][v] = S::Fma(q, k[v], sum[p][v]);
      }
    }
    for (int p = 0; p < kPairs; ++p) {
      for (int v = 0; v < kVectors; ++v) {
        S::Store(logits + p * kAttentionBlock + lane + v * kLanes, sum[p][v]);
      }
    }
  }
}

// Turns a pair's logits into weights relative to the largest logit so far, brings its sum up to
// date, and returns what the weighted values so far are to be multiplied by.
template <typename S>
FORETOKEN_INLINE float Softmax(const AttentionJob& job, const Pair& pair, float* logits) {
  using Vec = typename S::Vec;
  const bool capped = job.logit_softcap != 0;
  const Vec scale = S::Broadcast(capped ? job.scale / job.logit_softcap : job.scale);
  const Vec hidden = S::Broadcast(-kInfinity);
  Vec x[kBlockVectors];
  Vec most = hidden;
  for (int v = 0; v < kBlockVectors; ++v) {
    x[v] = S::Mul(S::Load(logits + v * kLanes), scale);
    if (capped) x[v] = S::Mul(S::Broadcast(job.logit_softcap), Tanh<S>(x[v]));
    if (pair.mask != nullptr) {
      x[v] = S::Fma(S::Broadcast(pair.slope), S::Load(pair.mask + v * kLanes), x[v]);
    }
    const uint16_t lanes = static_cast<uint16_t>(pair.visible >> (v * kLanes));
    x[v] = S::Select(S::MaskOf(lanes), x[v], hidden);
    most = S::Max(x[v], most);  // passes over NaN: the sum will be NaN by it
  }
  const float before = pair.state[0];
  const float largest = Larger(S::ReduceMax(most), before);
  const float base = Finite(largest);
  for (int v = 0; v < kBlockVectors; ++v) {
    x[v] = Exp<S>(S::Sub(x[v], S::Broadcast(base)));
    S::Store(logits + v * kLanes, x[v]);
  }
  static_assert(kBlockVectors == 4);
  const float sum = S::ReduceAdd(S::Add(S::Add(x[0], x[1]), S::Add(x[2], x[3])));
  const float factor = largest == before ? 1.0f : ExpOne<S>(before - base);
  pair.state[0] = largest;
  pair.state[1] = __builtin_fmaf(pair.state[1], factor, sum);
  return factor;
}

// state = state * factor + weights . values, for kVectors vectors of the head from `first` on.
template <typename S, int kPairs, int kVectors>
FORETOKEN_INLINE void AddValuesOf(const Pair* pairs, const float* factors, const float* weights,
                                  const float* values, int32_t padded, int32_t lanes,
                                  int32_t first) {
  typename S::Vec sum[kPairs][kVectors];
  for (int p = 0; p < kPairs; ++p) {
    const typename S::Vec factor = S::Broadcast(factors[p]);
    for (int v = 0; v < kVectors; ++v) {
      sum[p][v] = S::Mul(S::Load(pairs[p].state + kStateHeader + first + v * kLanes), factor);
    }
  }
  const float* value = values + first;
  for (int32_t lane = 0; lane < lanes; ++lane, value += padded) {
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
void AddValues(const Pair* pairs, const float* factors, const float* weights, const float* values,
               int32_t padded, int32_t lanes) {
  constexpr int kVectors = S::kTileVectors;
  int32_t first = 0;
  for (; first + kVectors * kLanes <= padded; first += kVectors * kLanes) {
    AddValuesOf<S, kPairs, kVectors>(pairs, factors, weights, values, padded, lanes, first);
  }
  for (; first < padded; first += kLanes) {
    AddValuesOf<S, kPairs, 1>(pairs, factors, weights, values, padded, lanes, first);
  }
}

// The same for one pair, without touching the values of cells that it does not see: those would
// turn 0 times infinity into NaN.
template <typename S>
void AddSeenValues(const Pair& pair, float factor, const float* weights, const float* values,
                   int32_t padded) {
  for (int32_t first = 0; first < padded; first += kLanes) {
    float* const state = pair.state + kStateHeader + first;
    typename S::Vec sum = S::Mul(S::Load(state), S::Broadcast(factor));
    for (uint64_t rest = pair.visible; rest != 0; rest &= rest - 1) {
      const int lane = __builtin_ctzll(rest);
      sum = S::Fma(S::Broadcast(weights[lane]), S::Load(values + lane * padded + first), sum);
    }
    S::Store(state, sum);
  }
}

template <typename S, int kPairs>
void ComputePairs(const AttentionJob& job, const Pair* pairs, const float* keys,
                  const float* values, int32_t lanes, bool all_finite) {
  alignas(64) float logits[kPairs * kAttentionBlock];
  float factors[kPairs];
  const int32_t padded = RoundUpToLanes(job.head_size_v);
  Logits<S, kPairs>(pairs, keys, job.head_size_k, logits);
  for (int p = 0; p < kPairs; ++p) {
    factors[p] = Softmax<S>(job, pairs[p], logits + p * kAttentionBlock);
  }
  if (all_finite) {
    AddValues<S, kPairs>(pairs, factors, logits, values, padded, lanes);
    return;
  }
  for (int p = 0; p < kPairs; ++p) {
    AddSeenValues<S>(pairs[p], factors[p], logits + p * kAttentionBlock, values, padded);
  }
}

template <typename S>
void ComputeSpan(const AttentionSpanTask& task) {
  const AttentionJob& job = *task.job;
  const int32_t group = job.heads / job.kv_heads;
  const int32_t padded_k = RoundUpToLanes(job.head_size_k);
  const int32_t padded_v = RoundUpToLanes(job.head_size_v);
  const int32_t stride = kStateHeader + padded_v;
  float* const keys = static_cast<float*>(task.workspace);
  float* const values = keys + static_cast<ptrdiff_t>(padded_k) * kAttentionBlock;
  float* const masks = values + static_cast<ptrdiff_t>(padded_v) * kAttentionBlock;
  Pair* const pairs =
      reinterpret_cast<Pair*>(masks + static_cast<ptrdiff_t>(task.rows) * kAttentionBlock);

  for (int32_t i = 0; i < task.rows * group; ++i) {
    float* const state = task.states + static_cast<ptrdiff_t>(i) * stride;
    memset(state, 0, static_cast<size_t>(stride) * sizeof(float));
    state[0] = -kInfinity;
  }

  for (int32_t b = 0; b < task.block_count; ++b) {
    const ptrdiff_t block = task.block_ids[b];
    const int32_t* const cells = task.cells + block * kAttentionBlock;
    const uint64_t* const visible = task.visible + block * task.rows;
    int32_t count = 0;
    uint64_t seen_by_any = 0;
    uint64_t seen_by_all = ~uint64_t{0};
    for (int32_t r = 0; r < task.rows; ++r) {
      if (visible[r] == 0) continue;
      seen_by_any |= visible[r];
      seen_by_all &= visible[r];
      const int32_t row = task.first_row + r;
      float* mask = nullptr;
      if (task.add_mask) {
        mask = masks + static_cast<ptrdiff_t>(r) * kAttentionBlock;
        const auto* of_row =
            reinterpret_cast<const uint16_t*>(reinterpret_cast<const char*>(job.mask) +
                                              static_cast<size_t>(row) * job.mask_row_bytes);
        for (int32_t lane = 0; lane < kAttentionBlock; ++lane) {
          const bool seen = ((visible[r] >> lane) & 1) != 0;
          mask[lane] = seen ? S::First(S::BroadcastF16(of_row[cells[lane]])) : 0.0f;
        }
      }
      for (int32_t h = 0; h < group; ++h) {
        const int32_t head = task.kv_head * group + h;
        const auto* query =
            reinterpret_cast<const float*>(reinterpret_cast<const char*>(job.query) +
                                           static_cast<size_t>(row) * job.query_row_bytes +
                                           static_cast<size_t>(head) * job.query_head_bytes);
        float* const state = task.states + static_cast<ptrdiff_t>(r * group + h) * stride;
        const float slope = job.slopes == nullptr ? 1.0f : job.slopes[head];
        pairs[count++] = {query, state, mask, visible[r], slope};
      }
    }
    if (count == 0) continue;

    const int32_t lanes = kAttentionBlock - __builtin_clzll(seen_by_any);
    GatherKeysOf<S>(job.key_type, task, cells, lanes, keys);
    const bool all_finite =
        GatherValuesOf<S>(job.value_type, task, cells, lanes, values) || seen_by_all == seen_by_any;
    const int32_t tiles = (count + kTilePairs - 1) / kTilePairs;
    for (int32_t t = 0; t < tiles; ++t) {
      const int32_t first = count * t / tiles;
      const Pair* const tile = pairs + first;
      switch (count * (t + 1) / tiles - first) {
        case 1:
          ComputePairs<S, 1>(job, tile, keys, values, lanes, all_finite);
          break;
        case 2:
          ComputePairs<S, 2>(job, tile, keys, values, lanes, all_finite);
          break;
        case 3:
          ComputePairs<S, 3>(job, tile, keys, values, lanes, all_finite);
          break;
        case 4:
          ComputePairs<S, 4>(job, tile, keys, values, lanes, all_finite);
          break;
        case 5:
          ComputePairs<S, 5>(job, tile, keys, values, lanes, all_finite);
          break;
        default:
          ComputePairs<S, 6>(job, tile, keys, values, lanes, all_finite);
          break;
      }
    }
  }
}

template <typename S>
void MergeSpan(const AttentionJob& job, const float* span, float* state) {
  // A span of which the row sees nothing.
  if (span[0] == -kInfinity && span[1] == 0.0f) return;
  const float largest = Larger(span[0], state[0]);
  const float base = Finite(largest);
  const float old_factor = ExpOne<S>(state[0] - base);
  const float new_factor = ExpOne<S>(span[0] - base);
  state[0] = largest;
  state[1] = __builtin_fmaf(state[1], old_factor, span[1] * new_factor);
  for (int32_t i = kStateHeader; i < kStateHeader + job.head_size_v; i += kLanes) {
    S::Store(state + i, S::Fma(S::Load(state + i), S::Broadcast(old_factor),
                               S::Mul(S::Load(span + i), S::Broadcast(new_factor))));
  }
}

template <typename S>
void FinishRow(const AttentionJob& job, int32_t head, const float* state, float* output) {
  float sum = state[1];
  float factor = 1.0f;
  if (job.sinks != nullptr) {
    const float sink = job.sinks[head];
    const float base = Finite(Larger(sink, state[0]));
    factor = ExpOne<S>(state[0] - base);
    sum = __builtin_fmaf(sum, factor, ExpOne<S>(sink - base));
  }
  const float weight = sum == 0.0f ? 0.0f : factor / sum;
  for (int32_t first = 0; first < job.head_size_v; first += kLanes) {
    typename S::Vec x = S::Mul(S::Load(state + kStateHeader + first), S::Broadcast(weight));
    // One NaN and one zero: their signs and payloads are the machine's business.
    x = S::Add(x, S::Zero());
    x = S::Select(S::IsNan(x), S::Broadcast(__builtin_nanf("")), x);
    if (first + kLanes <= job.head_size_v) {
      S::Store(output + first, x);
    } else {
      alignas(64) float rest[kLanes];
      S::Store(rest, x);
      memcpy(output + first, rest, static_cast<size_t>(job.head_size_v - first) * sizeof(float));
    }
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
