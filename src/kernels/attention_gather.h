#ifndef FORETOKEN_KERNELS_ATTENTION_GATHER_H_
#define FORETOKEN_KERNELS_ATTENTION_GATHER_H_

// Reads a block's keys and values, wherever its cells are, as floats; see attention_lanes.h.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/attention_job.h"
#include "kernels/attention_kernels.h"
#include "kernels/attention_lanes.h"

namespace foretoken {
namespace {

// Sixteen elements of a head from `first` on, or `count` of them and zeros.
template <typename S, KvType kType>
FORETOKEN_INLINE typename S::Vec LoadElements(const unsigned char* head, int32_t first,
                                              int32_t count) {
  if constexpr (kType == KvType::kQ8_0) {
    // The head size is a multiple of 32.
    const unsigned char* block = head + first / 32 * 34;
    uint16_t scale;
    memcpy(&scale, block, sizeof scale);
    return S::Mul(S::LoadInt8(block + 2 + first % 32), S::BroadcastF16(scale));
  } else {
    constexpr size_t kBytes = kType == KvType::kF32 ? 4 : 2;
    alignas(64) unsigned char rest[kLanes * kBytes];
    const unsigned char* from = head + static_cast<size_t>(first) * kBytes;
    if (count < kLanes) {
      memset(rest, 0, sizeof rest);
      memcpy(rest, from, static_cast<size_t>(count) * kBytes);
      from = rest;
    }
    if constexpr (kType == KvType::kF32) return S::LoadF32(from);
    if constexpr (kType == KvType::kF16) return S::LoadF16(from);
    if constexpr (kType == KvType::kBf16) return S::LoadBf16(from);
  }
}

FORETOKEN_INLINE const unsigned char* HeadOf(int32_t cell, const void* base, size_t cell_bytes,
                                             size_t offset) {
  if (cell < 0) return kNoCell;
  return static_cast<const unsigned char*>(base) + static_cast<size_t>(cell) * cell_bytes + offset;
}

// The block's keys as [element][lane]: a logit is then a sum over elements in their order, lane by
// lane, however wide the registers are.
template <typename S, KvType kType>
void GatherKeys(const AttentionSpanTask& task, const int32_t* cells, int32_t lanes, float* keys) {
  const AttentionJob& job = *task.job;
  const size_t offset = static_cast<size_t>(task.kv_head) * job.key_head_bytes;
  for (int32_t lane = 0; lane < lanes; lane += kLanes) {
    const unsigned char* heads[kLanes];
    for (int32_t i = 0; i < kLanes; ++i) {
      heads[i] = HeadOf(cells[lane + i], job.key, job.key_cell_bytes, offset);
    }
    for (int32_t first = 0; first < job.head_size_k; first += kLanes) {
      const int32_t count = job.head_size_k - first;
      typename S::Vec tile[kLanes];
      for (int32_t i = 0; i < kLanes; ++i) {
        tile[i] = LoadElements<S, kType>(heads[i], first, count);
      }
      S::Transpose(tile);
      float* to = keys + static_cast<ptrdiff_t>(first) * kAttentionBlock + lane;
      for (int32_t i = 0; i < kLanes; ++i) S::Store(to + i * kAttentionBlock, tile[i]);
    }
  }
}

// The block's values as [lane][element]; true if all are finite.
template <typename S, KvType kType>
bool GatherValues(const AttentionSpanTask& task, const int32_t* cells, int32_t lanes,
                  float* values) {
  const AttentionJob& job = *task.job;
  const size_t offset = static_cast<size_t>(task.kv_head) * job.value_head_bytes;
  const int32_t padded = RoundUpToLanes(job.head_size_v);
  typename S::Vec poison = S::Zero();  // becomes NaN by an infinity or a NaN
  for (int32_t lane = 0; lane < lanes; ++lane) {
    const unsigned char* head = HeadOf(cells[lane], job.value, job.value_cell_bytes, offset);
    float* to = values + static_cast<ptrdiff_t>(lane) * padded;
    for (int32_t first = 0; first < padded; first += kLanes) {
      const typename S::Vec v = LoadElements<S, kType>(head, first, job.head_size_v - first);
      S::Store(to + first, v);
      poison = S::Fma(v, S::Zero(), poison);
    }
  }
  return S::ReduceAdd(poison) == 0.0f;
}

template <typename S>
FORETOKEN_INLINE void GatherKeysOf(KvType type, const AttentionSpanTask& task, const int32_t* cells,
                                   int32_t lanes, float* keys) {
  switch (type) {
    case KvType::kF32:
      return GatherKeys<S, KvType::kF32>(task, cells, lanes, keys);
    case KvType::kF16:
      return GatherKeys<S, KvType::kF16>(task, cells, lanes, keys);
    case KvType::kBf16:
      return GatherKeys<S, KvType::kBf16>(task, cells, lanes, keys);
    case KvType::kQ8_0:
      return GatherKeys<S, KvType::kQ8_0>(task, cells, lanes, keys);
  }
}

template <typename S>
FORETOKEN_INLINE bool GatherValuesOf(KvType type, const AttentionSpanTask& task,
                                     const int32_t* cells, int32_t lanes, float* values) {
  switch (type) {
    case KvType::kF32:
      return GatherValues<S, KvType::kF32>(task, cells, lanes, values);
    case KvType::kF16:
      return GatherValues<S, KvType::kF16>(task, cells, lanes, values);
    case KvType::kBf16:
      return GatherValues<S, KvType::kBf16>(task, cells, lanes, values);
    case KvType::kQ8_0:
      return GatherValues<S, KvType::kQ8_0>(task, cells, lanes, values);
  }
  return true;
}

}  // namespace
}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_GATHER_H_
