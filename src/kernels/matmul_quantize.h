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

// Four bytes each, in whole vectors.
template <int kInputs>
inline constexpr int kQuantLanes = kInputs < 64 ? 16 : kInputs / 4;

// Quantises kInputs floats: signed bytes, and at sums[4 * i] the sum of the 16 from 16 * i on.
// Returns the scale.
template <typename Simd, int kInputs>
FORETOKEN_INLINE float QuantizeBlock(const float* input, int32_t (&quants)[kQuantLanes<kInputs>],
                                     int32_t (&sums)[kQuantLanes<kInputs>]) {
  using Ints = typename Simd::Ints;
  Ints largest_bits = Simd::Zero();
  FORETOKEN_UNROLL
  for (int i = 0; i < kInputs; i += Simd::kLanes) {
    // Bit patterns of magnitudes are ordered like the magnitudes, NaNs above all.
    largest_bits = Simd::Max(largest_bits, Simd::MagnitudeBits(Simd::LoadFloats(input + i)));
  }
  const int32_t magnitude_bits = Simd::LargestOf(largest_bits);
  if (magnitude_bits >= kInfinityBits || magnitude_bits < kTinyBits) {
    std::memset(quants, 0, sizeof(quants));
    std::memset(sums, 0, sizeof(sums));
    return magnitude_bits >= kInfinityBits ? __builtin_nanf("") : 0.0f;
  }
  float magnitude;
  std::memcpy(&magnitude, &magnitude_bits, sizeof(magnitude));
  const typename Simd::Floats inverse_scale = Simd::SetFloat(127.0f / magnitude);
  FORETOKEN_UNROLL
  for (int i = 0; i < kQuantLanes<kInputs>; i += Simd::kLanes) {
    Ints rounded[4];
    FORETOKEN_UNROLL
    for (int v = 0; v < 4; ++v) {
      const int at = 4 * i + v * Simd::kLanes;
      rounded[v] = at < kInputs
                       ? Simd::ToInts(Simd::Mul(Simd::LoadFloats(input + at), inverse_scale))
                       : Simd::Zero();
    }
    const Ints bytes = Simd::PackBytes(rounded);
    Simd::Store(quants + i, bytes);
    Simd::Store(sums + i, Simd::SumsOfSixteen(bytes));
  }
  return magnitude / 127.0f;
}

// Units are blocks of groups: unit = group * blocks + block.
template <typename Simd, int kInputs>
void QuantizeUnits(const float* const* columns, IndexRange units, const Activations& x) {
  constexpr int kQuants = kInputs / 4;
  const int64_t groups = GroupCount(x.columns, x.max_group);
  alignas(64) int32_t quants[kQuantLanes<kInputs>] = {};
  alignas(64) int32_t sums[kQuantLanes<kInputs>];
  for (int64_t unit = units.first; unit < units.last; ++unit) {
    const int64_t block = unit % x.blocks;
    const ColumnGroup group = GroupAt(x.columns, groups, unit / x.blocks);
    const int64_t stride = group.size;
    const int64_t at = group.first * x.blocks + block * stride;
    for (int64_t c = 0; c < stride; ++c) {
      const float* input = columns[group.first + c] + block * kInputs;
      const float scale = QuantizeBlock<Simd, kInputs>(input, quants, sums);
      x.scales[at + c] = scale;
      FORETOKEN_UNROLL
      for (int64_t i = 0; i < kQuants; ++i) x.quants[at * kQuants + i * stride + c] = quants[i];
      if constexpr (kInputs == 256) {
        int32_t* pairs = x.sums + at * kSums256 + c;
        for (int64_t i = 0; i < 4; ++i) {
          const int32_t* of = sums + 16 * i;
          pairs[(2 * i) * stride] = PairOf<Simd>(of[0], of[8]);
          pairs[(2 * i + 1) * stride] = PairOf<Simd>(of[4], of[12]);
        }
        for (int64_t i = 0; i < 2; ++i) {
          const int32_t* of = sums + 32 * i;
          pairs[(8 + 2 * i) * stride] = PairOf<Simd>(of[0] + of[4], of[16] + of[20]);
          pairs[(9 + 2 * i) * stride] = PairOf<Simd>(of[8] + of[12], of[24] + of[28]);
        }
      } else {
        const int32_t sum = sums[0] + sums[4];
        x.sums[at + c] = -sum;
        x.scaled_sums[at + c] = scale * static_cast<float>(sum);
      }
    }
  }
}

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_QUANTIZE_H_
