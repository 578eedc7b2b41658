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

// The heads of the next block, fetched into the cache one by one while this one is computed: in a
// burst they would hold it up.
struct Ahead {
  const unsigned char* heads[2 * kAttentionBlock];
  size_t bytes;  // of each
  int32_t next;
  int32_t end;
  int32_t period;  // ticks from one to the next
  int32_t left;    // ticks until the next

  FORETOKEN_INLINE void Step(int32_t ticks) {
    constexpr size_t kLineBytes = 64;
    left -= ticks;
    if (left > 0 || next >= end) return;
    left += period;
    for (size_t i = 0; i < bytes; i += kLineBytes) __builtin_prefetch(heads[next] + i, 0, 3);
    ++next;
  }
};

// A tick is the time of kTilePairs pairs times one element of a block's keys, or one cell of it
// times 64 elements of values.
constexpr int32_t kTicksOfKeyTile = 4;
constexpr int32_t kTicksOfValue = 2;

// The block's keys as [element][lane]: a logit is then a sum over elements in their order, lane by
// lane, however wide the registers are.
template <typename S, KvType kType>
void GatherKeys(const AttentionSpanTask& task, const int32_t* cells, int32_t lanes, float* keys,
                Ahead* ahead) {
  const AttentionJob& job = *task.job;
  const size_t offset = static_cast<size_t>(task.kv_head) * job.key_head_bytes;
  for (int32_t lane = 0; lane < lanes; lane += kLanes) {
    const unsigned char* heads[kLanes];
    for (int32_t i = 0; i < kLanes; ++i) {
      heads[i] = HeadOf(cells[lane + i], job.key, job.key_cell_bytes, offset);
    }
    for (int32_t first = 0; first < job.head_size_k; first += kLanes) {
      const int32_t count = job.head_size_k - first;
      ahead->Step(kTicksOfKeyTile);
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
bool GatherValues(const AttentionSpanTask& task, const int32_t* cells, int32_t lanes, float* values,
                  Ahead* ahead) {
  const AttentionJob& job = *task.job;
  const size_t offset = static_cast<size_t>(task.kv_head) * job.value_head_bytes;
  const int32_t padded = RoundUpToLanes(job.head_size_v);
  typename S::Vec poison = S::Zero();  // becomes NaN by an infinity or a NaN
  for (int32_t lane = 0; lane < lanes; ++lane) {
    const unsigned char* head = HeadOf(cells[lane], job.value, job.value_cell_bytes, offset);
    float* to = values + static_cast<ptrdiff_t>(lane) * padded;
    ahead->Step(kTicksOfValue);
    typename S::Vec poison_of_lane = S::Zero();
    for (int32_t first = 0; first < padded; first += kLanes) {
      const typename S::Vec v = LoadElements<S, kType>(head, first, job.head_size_v - first);
      S::Store(to + first, v);
      poison_of_lane = S::Fma(v, S::Zero(), poison_of_lane);
    }
    poison = S::Add(poison, poison_of_lane);
  }
  return S::ReduceAdd(poison) == 0.0f;
}

template <typename S>
FORETOKEN_INLINE void GatherKeysOf(KvType type, const AttentionSpanTask& task, const int32_t* cells,
                                   int32_t lanes, float* keys, Ahead* ahead) {
  switch (type) {
    case KvType::kF32:
      return GatherKeys<S, KvType::kF32>(task, cells, lanes, keys, ahead);
    case KvType::kF16:
      return GatherKeys<S, KvType::kF16>(task, cells, lanes, keys, ahead);
    case KvType::kBf16:
      return GatherKeys<S, KvType::kBf16>(task, cells, lanes, keys, ahead);
    case KvType::kQ8_0:
      return GatherKeys<S, KvType::kQ8_0>(task, cells, lanes, keys, ahead);
  }
}

template <typename S>
FORETOKEN_INLINE bool GatherValuesOf(KvType type, const AttentionSpanTask& task,
                                     const int32_t* cells, int32_t lanes, float* values,
                                     Ahead* ahead) {
  switch (type) {
    case KvType::kF32:
      return GatherValues<S, KvType::kF32>(task, cells, lanes, values, ahead);
    case KvType::kF16:
      return GatherValues<S, KvType::kF16>(task, cells, lanes, values, ahead);
    case KvType::kBf16:
      return GatherValues<S, KvType::kBf16>(task, cells, lanes, values, ahead);
    case KvType::kQ8_0:
      return GatherValues<S, KvType::kQ8_0>(task, cells, lanes, values, ahead);
  }
  return true;
}

FORETOKEN_INLINE size_t HeadBytes(KvType type, int32_t size) {
  const auto n = static_cast<size_t>(size);
  if (type == KvType::kQ8_0) return n / 32 * 34;
  return type == KvType::kF32 ? n * 4 : n * 2;
}

// Prepares to fetch the keys and values of `cells` over `ticks`.
FORETOKEN_INLINE void FetchOver(int32_t ticks, const AttentionSpanTask& task, const int32_t* cells,
                                Ahead* ahead) {
  const AttentionJob& job = *task.job;
  const size_t key_offset = static_cast<size_t>(task.kv_head) * job.key_head_bytes;
  const size_t value_offset = static_cast<size_t>(task.kv_head) * job.value_head_bytes;
  const size_t key_bytes = HeadBytes(job.key_type, job.head_size_k);
  const size_t value_bytes = HeadBytes(job.value_type, job.head_size_v);
  for (int32_t lane = 0; lane < kAttentionBlock; ++lane) {
    ahead->heads[lane] = HeadOf(cells[lane], job.key, job.key_cell_bytes, key_offset);
    ahead->heads[kAttentionBlock + lane] =
        HeadOf(cells[lane], job.value, job.value_cell_bytes, value_offset);
  }
  ahead->bytes = key_bytes > value_bytes ? key_bytes : value_bytes;
  ahead->next = 0;
  ahead->end = 2 * kAttentionBlock;
  ahead->period = ahead->left = ticks / ahead->end;
}

// Numbers of the mask for the lanes that a row sees, 0 for the others.
template <typename S>
void GatherMask(const AttentionJob& job, int32_t row, const int32_t* cells, uint64_t visible,
                float* mask) {
  const auto* of_row = reinterpret_cast<const uint16_t*>(
      reinterpret_cast<const char*>(job.mask) + static_cast<size_t>(row) * job.mask_row_bytes);
  for (int32_t lane = 0; lane < kAttentionBlock; ++lane) {
    const bool seen = ((visible >> lane) & 1) != 0;
    mask[lane] = seen ? S::First(S::BroadcastF16(of_row[cells[lane]])) : 0.0f;
  }
}

}  // namespace
}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_GATHER_H_
