#ifndef FORETOKEN_KERNELS_MATMUL_PACK_H_
#define FORETOKEN_KERNELS_MATMUL_PACK_H_

#include <cstring>

#include "kernels/matmul_formats.h"

// GGUF rows to packed tiles, for a Simd as in matmul_products.h; one of 8 lanes packs a tile as two
// halves, 8 rows each. For the sources of one instruction
// set only. matmul_formats.h has the layouts.

namespace foretoken {

// The block of each row.
struct RowBlocks {
  const uint8_t* first;
  size_t stride;
};

// What lies `at` bytes into the blocks.
static inline RowBlocks MemberAt(RowBlocks blocks, size_t at) {
  return {blocks.first + at, blocks.stride};
}

// 2 bytes of each row, one after the other.
template <typename Simd>
FORETOKEN_INLINE void PackHalves(RowBlocks source, uint8_t* packed) {
  for (int row = 0; row < Simd::kLanes; ++row) {
    std::memcpy(packed + 2 * row, source.first + static_cast<size_t>(row) * source.stride, 2);
  }
}

// 16 bytes of each row as four vectors, which have bytes 4 * i .. 4 * i + 3 in each lane.
template <typename Simd>
FORETOKEN_INLINE void LoadRows(RowBlocks source, size_t at, typename Simd::Ints* vectors) {
  Simd::LoadTransposed(source.first + at, source.stride, vectors);
}

// Swaps bit i + kShift of `low` with bit i of `high` for every bit i of `mask`.
template <typename Simd, int kShift>
FORETOKEN_INLINE void SwapBits(typename Simd::Ints* low, typename Simd::Ints* high,
                               typename Simd::Ints mask) {
  const typename Simd::Ints change =
      Simd::And(Simd::Xor(Simd::template ShiftRight32<kShift>(*low), *high), mask);
  *high = Simd::Xor(*high, change);
  *low = Simd::Xor(*low, Simd::template ShiftLeft32<kShift>(change));
}

// Bit 4 * i + b of each lane, the fifth bit of code 4 * i + b, goes to bit i of byte b.
template <typename Simd>
FORETOKEN_INLINE void PackFifthBits(RowBlocks source, uint8_t* packed) {
  uint32_t rows[Simd::kLanes];
  for (int row = 0; row < Simd::kLanes; ++row) {
    std::memcpy(rows + row, source.first + static_cast<size_t>(row) * source.stride, 4);
  }
  // A bit's number is i (3 bits), b (2 bits) and becomes b, i. A swap of bits k and l of the number
  // moves the bits of the lane that have k clear and l set to where it is the other way round.
  typename Simd::Ints bits = Simd::Load(rows);
  const auto swap = [&](auto shift, uint32_t mask) FORETOKEN_INLINE_LAMBDA {
    constexpr int kShift = decltype(shift)::kIndex;
    const typename Simd::Ints change =
        Simd::And(Simd::Xor(Simd::template ShiftRight32<kShift>(bits), bits), Simd::Set(mask));
    bits = Simd::Xor(Simd::Xor(bits, change), Simd::template ShiftLeft32<kShift>(change));
  };
  swap(Index<15>(), 0x0000aaaa);  // 4 and 0: i2 i1 i0 b1 b0 -> b0 i1 i0 b1 i2
  swap(Index<6>(), 0x00cc00cc);   // 3 and 1: -> b0 b1 i0 i1 i2
  swap(Index<8>(), 0x0000ff00);   // 4 and 3: -> b1 b0 i0 i1 i2
  swap(Index<3>(), 0x0a0a0a0a);   // 2 and 0: -> b1 b0 i2 i1 i0
  Simd::Store(packed, bits);
}

template <typename Simd, WeightType kType, typename Block, Code kCode, bool kMin, int kShift>
FORETOKEN_INLINE void PackBlock(Format32<kType, Block, kCode, kMin, kShift> format,
                                RowBlocks source, uint8_t* main, uint8_t* scales) {
  typename Simd::Ints vectors[8];
  PackHalves<Simd>(source, scales);
  if constexpr (kMin) PackHalves<Simd>(MemberAt(source, offsetof(Block, min)), scales + 32);
  uint8_t* codes = main + format.kCodesAt;
  if constexpr (kCode == Code::kFiveBits) {
    PackFifthBits<Simd>(MemberAt(source, offsetof(Block, high_bits)), codes + 256);
  }
  LoadRows<Simd>(source, offsetof(Block, quants), vectors);
  if constexpr (kCode == Code::kBytes) {
    LoadRows<Simd>(source, offsetof(Block, quants) + 16, vectors + 4);
    for (int i = 0; i < 8; ++i) {
      Simd::Store(codes + 64 * i, Simd::Xor(vectors[i], Simd::SetBytes(128)));
    }
  } else {
    for (int i = 0; i < 4; ++i) Simd::Store(codes + 64 * i, vectors[i]);
  }
}

template <typename Simd, WeightType kType, typename Block, Code kCode>
FORETOKEN_INLINE void PackBlock(FormatParts32<kType, Block, kCode> format, RowBlocks source,
                                uint8_t* main, uint8_t* scales) {
  using Ints = typename Simd::Ints;
  PackHalves<Simd>(source, scales);
  PackHalves<Simd>(MemberAt(source, offsetof(Block, min)), scales + 32);
  Ints head[4];  // scale and min, packed scales
  LoadRows<Simd>(source, 0, head);
  for (int i = 0; i < 3; ++i) Simd::Store(main + format.kPackedScalesAt + 64 * i, head[i + 1]);
  uint8_t* parts = main + format.kPartsAt;
  if constexpr (kCode == Code::kFiveBits) {
    // Byte b of vector i holds in bit p the bit of weight 4 * i + b of part p: as a square of bits,
    // vectors by bits, it is transposed.
    Ints bits[8];
    LoadRows<Simd>(source, offsetof(Block, high_bits), bits);
    LoadRows<Simd>(source, offsetof(Block, high_bits) + 16, bits + 4);
    for (int i = 0; i < 4; ++i) SwapBits<Simd, 4>(bits + i, bits + i + 4, Simd::SetBytes(0x0f));
    for (int i = 0; i < 8; i += (i & 1) ? 3 : 1) {
      SwapBits<Simd, 2>(bits + i, bits + i + 2, Simd::SetBytes(0x33));
    }
    for (int i = 0; i < 8; i += 2) SwapBits<Simd, 1>(bits + i, bits + i + 1, Simd::SetBytes(0x55));
    for (int i = 0; i < 8; ++i) Simd::Store(parts + format.kPartBytes * i + 256, bits[i]);
  }
  const Ints low = Simd::SetBytes(15), high = Simd::SetBytes(0xf0);
  for (int pair = 0; pair < 4; ++pair) {
    Ints vectors[8];
    LoadRows<Simd>(source, offsetof(Block, quants) + 32 * static_cast<size_t>(pair), vectors);
    LoadRows<Simd>(source, offsetof(Block, quants) + 32 * static_cast<size_t>(pair) + 16,
                   vectors + 4);
    uint8_t* first = parts + format.kPartBytes * 2 * pair;
    uint8_t* second = first + format.kPartBytes;
    for (int i = 0; i < 4; ++i) {
      const Ints a = vectors[i], b = vectors[i + 4];
      Simd::Store(first + 64 * i, Simd::Select(low, a, Simd::template ShiftLeft16<4>(b)));
      Simd::Store(second + 64 * i, Simd::Select(high, b, Simd::template ShiftRight16<4>(a)));
    }
  }
}

template <typename Simd>
FORETOKEN_INLINE void PackBlock(FormatQ6K format, RowBlocks source, uint8_t* main,
                                uint8_t* scales) {
  using Ints = typename Simd::Ints;
  PackHalves<Simd>(MemberAt(source, offsetof(BlockQ6K, scale)), scales);
  Ints part_scales[4];
  LoadRows<Simd>(source, offsetof(BlockQ6K, scales), part_scales);
  for (int i = 0; i < 4; ++i) Simd::Store(main + 64 * i, part_scales[i]);
  const Ints low = Simd::SetBytes(15), high = Simd::SetBytes(0x30), top = Simd::SetBytes(0xc0);
  for (int half = 0; half < 2; ++half) {
    for (int quarter = 0; quarter < 2; ++quarter) {  // of the 64 low and the 32 high bytes
      for (int pair = 0; pair < 2; ++pair) {  // weights 32 * pair on, low nibbles; 64 more, high
        Ints nibbles[4], bits[4], codes[2][4];
        LoadRows<Simd>(source,
                       64 * static_cast<size_t>(half) + 32 * static_cast<size_t>(pair) +
                           16 * static_cast<size_t>(quarter),
                       nibbles);
        LoadRows<Simd>(
            source, offsetof(BlockQ6K, high_bits) + static_cast<size_t>(32 * half + 16 * quarter),
            bits);
        for (int i = 0; i < 4; ++i) {
          const Ints two = pair == 0 ? bits[i] : Simd::template ShiftRight16<2>(bits[i]);
          codes[0][i] =
              Simd::Select(low, nibbles[i], Simd::And(Simd::template ShiftLeft16<4>(two), high));
          codes[1][i] =
              Simd::Select(low, Simd::template ShiftRight16<4>(nibbles[i]), Simd::And(two, high));
        }
        for (int upper = 0; upper < 2; ++upper) {
          const int part = 8 * half + 4 * upper + 2 * pair + quarter;
          uint8_t* packed = main + format.kPartsAt + format.kPartBytes * part;
          const Ints last = codes[upper][3];
          Simd::Store(packed,
                      Simd::Select(top, Simd::template ShiftLeft16<6>(last), codes[upper][0]));
          Simd::Store(packed + 64,
                      Simd::Select(top, Simd::template ShiftLeft16<4>(last), codes[upper][1]));
          Simd::Store(packed + 128,
                      Simd::Select(top, Simd::template ShiftLeft16<2>(last), codes[upper][2]));
        }
      }
    }
  }
}

template <typename Simd, typename Format>
void PackTile(const TileSource& source, int64_t blocks, uint8_t* packed) {
  using Block = typename Format::Block;
  constexpr PackedFormat kPacked = Format::kPacked;
  uint8_t* side = packed + blocks * kPacked.main_bytes;
  Block padded[kTileRows] = {};  // the blocks of a tile that has fewer rows, then zeros
  for (int64_t block = 0; block < blocks; ++block) {
    RowBlocks rows = {source.data + static_cast<size_t>(block) * sizeof(Block), source.row_bytes};
    if (source.rows < kTileRows) {
      for (int32_t row = 0; row < source.rows; ++row) {
        std::memcpy(padded + row, rows.first + static_cast<size_t>(row) * rows.stride,
                    sizeof(Block));
      }
      rows = {reinterpret_cast<const uint8_t*>(padded), sizeof(Block)};
    }
    uint8_t* main = packed + block * kPacked.main_bytes;
    uint8_t* scales = Format::kScalesInSide ? side + block * kPacked.side_bytes : main;
    for (int lane = 0; lane < kTileRows; lane += Simd::kLanes) {
      PackBlock<Simd>(Format(), MemberAt(rows, static_cast<size_t>(lane) * rows.stride),
                      main + 4 * lane, scales + 2 * lane);
    }
  }
  const size_t side_bytes = static_cast<size_t>(blocks * kPacked.side_bytes);
  if (side_bytes % 64 != 0) std::memset(side + side_bytes, 0, 64 - side_bytes % 64);
}

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_PACK_H_
