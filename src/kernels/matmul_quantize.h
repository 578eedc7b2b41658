#ifndef FORETOKEN_KERNELS_MATMUL_QUANTIZE_H_
#define FORETOKEN_KERNELS_MATMUL_QUANTIZE_H_

#include <cstring>

#include "kernels/matmul_formats.h"

// Input to eight bits, for a Simd as in matmul_products.h. For the sources of one instruction set
// only.

namespace foretoken {

inline constexpr int32_t kInfinityBits = 0x7f800000;
inline constexpr int32_t kTinyBits = (127 - 100) << 23;  // 2^-100

// Two sums of at most 4,096 as a pair of int16.
template <typename Simd>
FORETOKEN_INLINE int32_t PairOf(int32_t low, int32_t high) {
  return static_cast<int32_t>((static_cast<uint32_t>(high) << 16) |
                              (static_cast<uint32_t>(low) & 0xffff));
}

// Quantises kInputs floats: signed bytes, and the sum of each 16. Returns the scale.
template <typename Simd, int kInputs>
FORETOKEN_INLINE float QuantizeBlock(const float* input, int32_t* quants, int32_t* sums) {
  using Ints = typename Simd::Ints;
  Ints largest_bits = Simd::Zero();
  FORETOKEN_UNROLL
  for (int i = 0; i < kInputs; i += Simd::kLanes) {
    // Bit patterns of magnitudes are ordered like the magnitudes, NaNs above all.
    largest_bits = Simd::Max(largest_bits, Simd::MagnitudeBits(Simd::LoadFloats(input + i)));
  }
  const int32_t magnitude_bits = Simd::LargestOf(largest_bits);
  if (magnitude_bits >= kInfinityBits || magnitude_bits < kTinyBits) {
    std::memset(quants, 0, kInputs);
    std::memset(sums, 0, kInputs / 16 * sizeof(int32_t));
    return magnitude_bits >= kInfinityBits ? __builtin_nanf("") : 0.0f;
  }
  float magnitude;
  std::memcpy(&magnitude, &magnitude_bits, sizeof(magnitude));
  const typename Simd::Floats inverse_scale = Simd::SetFloat(127.0f / magnitude);
  FORETOKEN_UNROLL
  for (int i = 0; i < kInputs; i += Simd::kLanes) {
    const Ints rounded = Simd::ToInts(Simd::Mul(Simd::LoadFloats(input + i), inverse_scale));
    Simd::StoreLowBytes(quants + i / 4, rounded);
    sums[i / 16] = (i % 16 == 0 ? 0 : sums[i / 16]) + Simd::SumOf(rounded);
  }
  return magnitude / 127.0f;
}

// Units are blocks of groups: unit = group * blocks + block.
template <typename Simd, int kInputs>
void QuantizeUnits(const float* const* columns, IndexRange units, const Activations& x) {
  constexpr int kQuants = kInputs / 4;
  const int64_t groups = GroupCount(x.columns, x.max_group);
  for (int64_t unit = units.first; unit < units.last; ++unit) {
    const int64_t block = unit % x.blocks;
    const ColumnGroup group = GroupAt(x.columns, groups, unit / x.blocks);
    const int64_t stride = group.size;
    const int64_t at = group.first * x.blocks + block * stride;
    for (int64_t c = 0; c < stride; ++c) {
      alignas(64) int32_t quants[kQuants];
      int32_t sums[kInputs / 16];
      const float* input = columns[group.first + c] + block * kInputs;
      const float scale = QuantizeBlock<Simd, kInputs>(input, quants, sums);
      x.scales[at + c] = scale;
      for (int64_t i = 0; i < kQuants; ++i) x.quants[at * kQuants + i * stride + c] = quants[i];
      if constexpr (kInputs == 256) {
        int32_t* pairs = x.sums + at * kSums256 + c;
        for (int64_t i = 0; i < 4; ++i) {
          const int32_t* of = sums + 4 * i;
          pairs[(2 * i) * stride] = PairOf<Simd>(of[0], of[2]);
          pairs[(2 * i + 1) * stride] = PairOf<Simd>(of[1], of[3]);
        }
        for (int64_t i = 0; i < 2; ++i) {
          const int32_t* of = sums + 8 * i;
          pairs[(8 + 2 * i) * stride] = PairOf<Simd>(of[0] + of[1], of[4] + of[5]);
          pairs[(9 + 2 * i) * stride] = PairOf<Simd>(of[2] + of[3], of[6] + of[7]);
        }
      } else {
        const int32_t sum = sums[0] + sums[1];
        x.sums[at + c] = -sum;
        x.scaled_sums[at + c] = scale * static_cast<float>(sum);
      }
    }
  }
}

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_QUANTIZE_H_
