#ifndef FORETOKEN_KERNELS_ATTENTION_GATHER_H_
#define FORETOKEN_KERNELS_ATTENTION_GATHER_H_

// Reads cells, wherever they are; see attention_lanes.h.

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

// Numbers of the mask for the lanes that a row sees, 0 for the others.
template <typename S>
void GatherMask(const AttentionJob& job, size_t row, const int32_t* cells, uint64_t visible,
                float* mask) {
  const auto* of_row = reinterpret_cast<const uint16_t*>(reinterpret_cast<const char*>(job.mask) +
                                                         row * job.mask_row_bytes);
  for (int32_t lane = 0; lane < kAttentionBlock; ++lane) {
    const bool seen = ((visible >> lane) & 1) != 0;
    mask[lane] = seen ? S::First(S::BroadcastF16(of_row[cells[lane]])) : 0.0f;
  }
}

FORETOKEN_INLINE size_t HeadBytes(KvType type, int32_t size) {
  const auto n = static_cast<size_t>(size);
  if (type == KvType::kQ8_0) return n / 32 * 34;
  return type == KvType::kF32 ? n * 4 : n * 2;
}

// A tick is the time of kTilePairs pairs times one element of a block's keys, or one cell of it
// times 64 elements of values.
inline constexpr int32_t kTicksOfKeyTile = 4;
inline constexpr int32_t kTicksOfValue = 2;

// The heads of the next block, fetched into the cache one by one while this one is computed: in a
// burst they would hold it up.
class Ahead {
 public:
  // Those of `cells`, over so many ticks; null: none.
  void Start(const AttentionSpanTask& task, const int32_t* cells, int32_t ticks) {
    const AttentionJob& job = *task.job;
    next_ = 0;
    end_ = cells == nullptr ? 0 : 2 * kAttentionBlock;
    period_ = left_ = ticks / (2 * kAttentionBlock);
    if (cells == nullptr) return;
    const size_t key_bytes = HeadBytes(job.key_type, job.head_size_k);
    const size_t value_bytes = HeadBytes(job.value_type, job.head_size_v);
    bytes_ = key_bytes > value_bytes ? key_bytes : value_bytes;
    const size_t key_offset = static_cast<size_t>(task.kv_head) * job.key_head_bytes;
    const size_t value_offset = static_cast<size_t>(task.kv_head) * job.value_head_bytes;
    for (int32_t lane = 0; lane < kAttentionBlock; ++lane) {
      heads_[lane] = HeadOf(cells[lane], job.key, job.key_cell_bytes, key_offset);
      heads_[kAttentionBlock + lane] =
          HeadOf(cells[lane], job.value, job.value_cell_bytes, value_offset);
    }
  }

  // A loop counts the ticks down by itself, in a register: int32_t left = ahead->left();
  // ... left = ahead->Tick(left, 1); ... ahead->set_left(left).
  FORETOKEN_INLINE int32_t Tick(int32_t left, int32_t ticks) {
    constexpr size_t kLineBytes = 64;
    left -= ticks;
    if (left > 0 || next_ == end_) return left;
    for (size_t i = 0; i < bytes_; i += kLineBytes) __builtin_prefetch(heads_[next_] + i);
    ++next_;
    return left + period_;
  }
  FORETOKEN_INLINE int32_t left() const { return left_; }
  FORETOKEN_INLINE void set_left(int32_t left) { left_ = left; }

 private:
  const unsigned char* heads_[2 * kAttentionBlock];  // keys, then values
  size_t bytes_;                                     // of each
  int32_t next_;
  int32_t end_;
  int32_t period_;  // ticks from one to the next
  int32_t left_;    // ticks until the next
};

}  // namespace
}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_GATHER_H_
