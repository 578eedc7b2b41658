#ifndef FORETOKEN_KERNELS_GGUF_BLOCKS_H_
#define FORETOKEN_KERNELS_GGUF_BLOCKS_H_

#include <cstdint>

namespace foretoken {

// The blocks of GGUF's quantised formats as they lie in a file: a row of a matrix is blocks of 32
// or 256 weights, one after the other. All are bytes, so that they may lie anywhere; scales and
// mins are IEEE half precision, little endian.

struct BlockQ40 {  // 32 weights: scale * (quant - 8); byte i holds quants i (low) and i + 16 (high)
  uint8_t scale[2];
  uint8_t quants[16];
};
static_assert(sizeof(BlockQ40) == 18);

struct BlockQ41 {  // scale * quant + min
  uint8_t scale[2];
  uint8_t min[2];
  uint8_t quants[16];
};
static_assert(sizeof(BlockQ41) == 20);

struct BlockQ50 {  // scale * (quant - 16); bit i of high_bits is the fifth of quant i
  uint8_t scale[2];
  uint8_t high_bits[4];
  uint8_t quants[16];
};
static_assert(sizeof(BlockQ50) == 22);

struct BlockQ51 {  // scale * quant + min
  uint8_t scale[2];
  uint8_t min[2];
  uint8_t high_bits[4];
  uint8_t quants[16];
};
static_assert(sizeof(BlockQ51) == 24);

struct BlockQ80 {  // scale * quant, signed
  uint8_t scale[2];
  uint8_t quants[32];
};
static_assert(sizeof(BlockQ80) == 34);

struct BlockIq4Nl {  // scale * kIq4NlValues[quant]
  uint8_t scale[2];
  uint8_t quants[16];
};
static_assert(sizeof(BlockIq4Nl) == 18);

// What the codes of IQ4_NL stand for.
inline constexpr int8_t kIq4NlValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                            1,    13,   25,  38,  53,  69,  89,  113};

// 256 weights in 8 parts of 32: scale * scales[part] * quant - min * mins[part], scales and mins of
// six bits. Bytes 0 to 3 and 4 to 7 of packed_scales hold those of parts 0 to 3, the low bits of
// bytes 8 to 11 those of parts 4 to 7, whose two high bits are on top of bytes 0 to 7. Byte
// 32 * p + i of quants holds weight i of part 2 * p (low) and of part 2 * p + 1 (high).
struct BlockQ4K {
  uint8_t scale[2];
  uint8_t min[2];
  uint8_t packed_scales[12];
  uint8_t quants[128];
};
static_assert(sizeof(BlockQ4K) == 144);

struct BlockQ5K {  // as BlockQ4K; bit p of high_bits[i] is the fifth of weight i of part p
  uint8_t scale[2];
  uint8_t min[2];
  uint8_t packed_scales[12];
  uint8_t high_bits[32];
  uint8_t quants[128];
};
static_assert(sizeof(BlockQ5K) == 176);

// 256 weights in 16 parts of 16: scale * scales[part] * (quant - 32), quants of six bits. Of each
// half of 128, byte i of 64 in low_bits holds weights i (low) and i + 64 (high), and bits 2 * p and
// 2 * p + 1 of byte i of 32 in high_bits those of weight 32 * p + i.
struct BlockQ6K {
  uint8_t low_bits[128];
  uint8_t high_bits[64];
  int8_t scales[16];
  uint8_t scale[2];
};
static_assert(sizeof(BlockQ6K) == 210);

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_GGUF_BLOCKS_H_
