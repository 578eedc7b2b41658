#ifndef FORETOKEN_KERNELS_MATMUL_PRODUCTS_H_
#define FORETOKEN_KERNELS_MATMUL_PRODUCTS_H_

#include "kernels/matmul_codes.h"

// Products of a packed tile with a group of columns, for a Simd: the operations of an instruction
// set on kLanes (16 or 8) lanes of int32 (Ints) and float (Floats). A Simd of 8 lanes takes a tile
// as two halves, which begin 32 bytes into every vector and 16 into every list of 16-bit floats.
// For the sources of one instruction set only.
//
// One unpacking of the weights serves all columns of a group, and the input comes as a broadcast
// from memory: 4 bytes of one column against the 4 of each row.

namespace foretoken {

// From the scales of a block to those of the next.
template <typename Format>
inline constexpr int kScaleStride =
    Format::kScalesInSide ? Format::kPacked.side_bytes : Format::kPacked.main_bytes;

// What a kernel reads of a group of columns, from a block on; the layout is that of Activations.
struct BlockInputs {
  const int32_t* quants;
  const int32_t* sums;
  const float* scaled_sums;
  const float* scales;
};

// Adds `blocks` blocks to totals[c][row]. MultiplyBlocks has one form for each kind of format.
template <typename Simd, int kColumns, WeightType kType, typename Block, Code kCode, bool kMin,
          int kShift>
FORETOKEN_INLINE void MultiplyBlocks(Format32<kType, Block, kCode, kMin, kShift> format,
                                     const uint8_t* main, const uint8_t* scales, int64_t blocks,
                                     BlockInputs x, Ahead ahead, float* totals) {
  using Floats = typename Simd::Floats;
  constexpr int kMainBytes = decltype(format)::kPacked.main_bytes;
  Floats total[kColumns];
  FORETOKEN_UNROLL
  for (int c = 0; c < kColumns; ++c) total[c] = Simd::LoadFloats(totals + 16 * c);
  for (int64_t block = 0; block < blocks; ++block) {
    PrefetchAhead<Simd, kMainBytes>(ahead);
    const Floats scale = Simd::LoadHalves(scales);
    typename Simd::Ints sums[kColumns];
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      // Codes of eight bits may count as what they stand for already.
      constexpr bool kOffset = !kMin && !(kCodeBits<kCode> == 8 && Simd::kSubtracts128);
      if constexpr (kOffset) {
        sums[c] = Simd::template ShiftLeft32<kShift>(Simd::Broadcast(x.sums + c));
      } else {
        sums[c] = Simd::Zero();
      }
    }
    AddProducts32<Simd, kCode, kColumns>(main + format.kCodesAt, x.quants, sums);
    if constexpr (kMin) {
      const Floats min = Simd::LoadHalves(scales + 32);
      FORETOKEN_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        total[c] = Simd::Fma(min, Simd::BroadcastFloat(x.scaled_sums + c), total[c]);
      }
    }
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      total[c] = Simd::Fma(Simd::ToFloats(sums[c]),
                           Simd::Mul(scale, Simd::BroadcastFloat(x.scales + c)), total[c]);
    }
    main += kMainBytes;
    scales += kScaleStride<decltype(format)>;
    x = {x.quants + 8 * kColumns, x.sums + kColumns, x.scaled_sums + kColumns, x.scales + kColumns};
  }
  FORETOKEN_UNROLL
  for (int c = 0; c < kColumns; ++c) Simd::StoreFloats(totals + 16 * c, total[c]);
}

// totals[c] += total[c] * scale of the column, the end of a block of 256.
template <typename Simd, int kColumns>
FORETOKEN_INLINE void AddScaled(const typename Simd::Floats (&total)[kColumns], const float* scales,
                                float* totals) {
  FORETOKEN_UNROLL
  for (int c = 0; c < kColumns; ++c) {
    Simd::StoreFloats(totals + 16 * c, Simd::Fma(total[c], Simd::BroadcastFloat(scales + c),
                                                 Simd::LoadFloats(totals + 16 * c)));
  }
}

template <typename Simd, int kColumns, WeightType kType, typename Block, Code kCode>
FORETOKEN_INLINE void MultiplyBlocks(FormatParts32<kType, Block, kCode> format, const uint8_t* main,
                                     const uint8_t* scales, int64_t blocks, BlockInputs x,
                                     Ahead ahead, float* totals) {
  using Ints = typename Simd::Ints;
  using Floats = typename Simd::Floats;
  for (int64_t block = 0; block < blocks; ++block) {
    const Floats scale = Simd::LoadHalves(scales);
    const Floats minus_min = Simd::Mul(Simd::LoadHalves(scales + 32), Simd::SetFloat(-1.0f));
    PrefetchAhead<Simd, format.kPartsAt>(ahead);
    Ints part_scales[2], mins[2];
    {
      const Ints first = Simd::Load(main + format.kPackedScalesAt);
      const Ints second = Simd::Load(main + format.kPackedScalesAt + 64);
      const Ints third = Simd::Load(main + format.kPackedScalesAt + 128);
      const Ints nibble = Simd::SetBytes(15);
      part_scales[0] = Simd::And(first, Simd::SetBytes(63));
      mins[0] = Simd::And(second, Simd::SetBytes(63));
      part_scales[1] = Simd::Select(
          nibble, third, Simd::And(Simd::template ShiftRight16<2>(first), Simd::SetBytes(48)));
      mins[1] = Simd::Select(nibble, Simd::template ShiftRight16<4>(third),
                             Simd::And(Simd::template ShiftRight16<2>(second), Simd::SetBytes(48)));
    }
    Floats total[kColumns];
    {
      Ints sums[kColumns];
      FORETOKEN_UNROLL
      for (int c = 0; c < kColumns; ++c) sums[c] = Simd::Zero();
      const int32_t* part_sums = x.sums + 8 * kColumns;
      Unrolled<2>([&](auto half) FORETOKEN_INLINE_LAMBDA {
        const int i = decltype(half)::kIndex;
        const Ints even = Simd::EvenBytes(mins[i]), odd = Simd::OddBytes(mins[i]);
        FORETOKEN_UNROLL
        for (int c = 0; c < kColumns; ++c) {
          sums[c] = Simd::AddPairDots(sums[c], even, part_sums + 2 * i * kColumns + c);
        }
        FORETOKEN_UNROLL
        for (int c = 0; c < kColumns; ++c) {
          sums[c] = Simd::AddPairDots(sums[c], odd, part_sums + (2 * i + 1) * kColumns + c);
        }
      });
      FORETOKEN_UNROLL
      for (int c = 0; c < kColumns; ++c) total[c] = Simd::Mul(Simd::ToFloats(sums[c]), minus_min);
    }
    Unrolled<8>([&](auto part) FORETOKEN_INLINE_LAMBDA {
      const int i = decltype(part)::kIndex;
      const uint8_t* codes = main + format.kPartsAt + i * format.kPartBytes;
      PrefetchAhead<Simd, format.kPartBytes>(ahead);
      const Floats part_scale =
          Simd::Mul(scale, Simd::ToFloats(Simd::template Byte<i % 4>(part_scales[i / 4])));
      Ints sums[kColumns];
      FORETOKEN_UNROLL
      for (int c = 0; c < kColumns; ++c) sums[c] = Simd::Zero();
      AddProducts32<Simd, kCode, kColumns>(codes, x.quants + 8 * i * kColumns, sums);
      FORETOKEN_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        total[c] = Simd::Fma(Simd::ToFloats(sums[c]), part_scale, total[c]);
      }
    });
    AddScaled<Simd, kColumns>(total, x.scales, totals);
    main += format.kPacked.main_bytes;
    scales += kScaleStride<decltype(format)>;
    x = {x.quants + 64 * kColumns, x.sums + kSums256 * kColumns, nullptr, x.scales + kColumns};
  }
}

template <typename Simd, int kColumns>
FORETOKEN_INLINE void MultiplyBlocks(FormatQ6K format, const uint8_t* main, const uint8_t* scales,
                                     int64_t blocks, BlockInputs x, Ahead& ahead, float* totals) {
  using Ints = typename Simd::Ints;
  using Floats = typename Simd::Floats;
  for (int64_t block = 0; block < blocks; ++block) {
    const Floats scale = Simd::LoadHalves(scales);
    const Floats minus_offset = Simd::Mul(scale, Simd::SetFloat(-32.0f));
    PrefetchAhead<Simd, format.kPartsAt>(ahead);
    Floats total[kColumns];
    {
      Ints sums[kColumns];
      FORETOKEN_UNROLL
      for (int c = 0; c < kColumns; ++c) sums[c] = Simd::Zero();
      Unrolled<4>([&](auto quarter) FORETOKEN_INLINE_LAMBDA {
        const int i = decltype(quarter)::kIndex;
        const Ints part_scales = Simd::Load(main + 64 * i);
        const Ints even = Simd::EvenBytes(part_scales), odd = Simd::OddBytes(part_scales);
        FORETOKEN_UNROLL
        for (int c = 0; c < kColumns; ++c) {
          sums[c] = Simd::AddPairDots(sums[c], even, x.sums + 2 * i * kColumns + c);
        }
        FORETOKEN_UNROLL
        for (int c = 0; c < kColumns; ++c) {
          sums[c] = Simd::AddPairDots(sums[c], odd, x.sums + (2 * i + 1) * kColumns + c);
        }
      });
      FORETOKEN_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        total[c] = Simd::Mul(Simd::ToFloats(sums[c]), minus_offset);
      }
    }
    Unrolled<16>([&](auto part) FORETOKEN_INLINE_LAMBDA {
      const int i = decltype(part)::kIndex;
      const uint8_t* codes = main + format.kPartsAt + i * format.kPartBytes;
      PrefetchAhead<Simd, format.kPartBytes>(ahead);
      const Ints part_scales = Simd::Load(main + 64 * (i / 4));
      const Floats part_scale =
          Simd::Mul(scale, Simd::ToFloats(Simd::template SignedByte<i % 4>(part_scales)));
      const Ints six_bits = Simd::SetBytes(63);
      const Ints stored[3] = {Simd::Load(codes), Simd::Load(codes + 64), Simd::Load(codes + 128)};
      const Ints low_bits =
          Simd::Select(Simd::SetBytes(3), Simd::template ShiftRight16<6>(stored[0]),
                       Simd::template ShiftRight16<4>(stored[1]));
      const Ints weights[4] = {Simd::And(stored[0], six_bits), Simd::And(stored[1], six_bits),
                               Simd::And(stored[2], six_bits),
                               Simd::And(Simd::Select(Simd::SetBytes(15), low_bits,
                                                      Simd::template ShiftRight16<2>(stored[2])),
                                         six_bits)};
      Ints sums[kColumns];
      FORETOKEN_UNROLL
      for (int c = 0; c < kColumns; ++c) sums[c] = Simd::Zero();
      const int32_t* quants = x.quants + 4 * i * kColumns;
      AddPair<Simd, 6, kColumns>(weights[0], quants, weights[1], quants + kColumns, sums, sums);
      AddPair<Simd, 6, kColumns>(weights[2], quants + 2 * kColumns, weights[3],
                                 quants + 3 * kColumns, sums, sums);
      FORETOKEN_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        total[c] = Simd::Fma(Simd::ToFloats(sums[c]), part_scale, total[c]);
      }
    });
    AddScaled<Simd, kColumns>(total, x.scales, totals);
    main += format.kPacked.main_bytes;
    scales += kScaleStride<decltype(format)>;
    x = {x.quants + 64 * kColumns, x.sums + kSums256 * kColumns, nullptr, x.scales + kColumns};
  }
}

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_PRODUCTS_H_
