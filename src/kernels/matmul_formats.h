#ifndef FORETOKEN_KERNELS_MATMUL_FORMATS_H_
#define FORETOKEN_KERNELS_MATMUL_FORMATS_H_

#include <cstdint>

#include "kernels/gguf_blocks.h"
#include "kernels/matmul_kernels.h"

// For the sources of one instruction set only; matmul_kernels.h says what that asks for.

#if defined(FORETOKEN_LOOPS_STAY)
// Nor is everything inlined: with a sanitizer's checks in it that takes a compiler minutes.
#define FORETOKEN_INLINE static inline
#define FORETOKEN_INLINE_LAMBDA
#define FORETOKEN_UNROLL
#else
#define FORETOKEN_INLINE [[gnu::always_inline]] static inline
#define FORETOKEN_INLINE_LAMBDA __attribute__((always_inline))
#if defined(__clang__)
#define FORETOKEN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FORETOKEN_UNROLL _Pragma("GCC unroll 32")
#endif
#endif

namespace foretoken {

// The most columns that a kernel multiplies at a time. Under a sanitizer the code for many takes a
// compiler minutes; results do not depend on it.
static constexpr int GroupLimit(int best) {
#if defined(FORETOKEN_SMALL_GROUPS)
  return best < 2 ? best : 2;
#else
  return best;
#endif
}

template <int kValue>
struct Index {
  static constexpr int kIndex = kValue;
};

// Calls body(Index<i>()) for i in [0, kCount): for what needs i as a constant.
template <int kCount, int kBegin = 0, typename Body>
FORETOKEN_INLINE void Unrolled(const Body& body) {
  if constexpr (kBegin < kCount) {
    body(Index<kBegin>());
    Unrolled<kCount, kBegin + 1>(body);
  }
}

// How 32 weights of 16 rows lie in packed form. Lane r of a vector is row r; vector i holds the
// inputs 4 * i .. 4 * i + 3 in the four bytes of each lane.
enum class Code : uint8_t {
  kNibbles,   // 4 vectors: vector i in the low nibbles, vector i + 4 in the high ones
  kFiveBits,  // the same, and one vector whose byte b holds in bit i the fifth bits of vector i
  kBytes,     // 8 vectors of signed bytes + 128
  kIq4Nl,     // like kNibbles; stands for kIq4NlValues + 128
};

inline constexpr uint8_t kIq4NlCodes[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                            129, 141, 153, 166, 181, 197, 217, 241};
static_assert(kIq4NlCodes[0] == kIq4NlValues[0] + 128 && kIq4NlCodes[15] == kIq4NlValues[15] + 128);

// A format with blocks of 32 inputs. With a min, the main part is scales, mins and codes; without,
// it is the codes, and the scales are the side part.
template <WeightType kWeightType, typename SourceBlock, Code kBlockCode, bool kMin, int kShift>
struct Format32 {
  static constexpr PackedFormat kPacked = kPackedFormats[static_cast<int>(kWeightType)];
  static constexpr Code kCode = kBlockCode;
  static constexpr bool kHasMin = kMin;
  static constexpr int kOffsetShift = kShift;  // codes are the weights + (1 << kOffsetShift)
  static constexpr int kCodesAt = kMin ? 64 : 0;
  static constexpr bool kScalesInSide = !kMin;
  using Block = SourceBlock;
  static_assert(kPacked.inputs == 32 && kPacked.source_bytes == sizeof(Block));
};

// A format with blocks of 256 inputs in 8 parts of 32: scales, mins, the 12 bytes of packed scales
// as three vectors, then the codes of the parts.
template <WeightType kWeightType, typename SourceBlock, Code kBlockCode>
struct FormatParts32 {
  static constexpr PackedFormat kPacked = kPackedFormats[static_cast<int>(kWeightType)];
  static constexpr Code kCode = kBlockCode;
  static constexpr int kPartBytes = kBlockCode == Code::kNibbles ? 256 : 320;
  static constexpr int kPackedScalesAt = 64, kPartsAt = 256;
  static constexpr bool kScalesInSide = false;
  using Block = SourceBlock;
  static_assert(kPacked.inputs == 256 && kPacked.source_bytes == sizeof(Block) &&
                kPacked.main_bytes == kPartsAt + 8 * kPartBytes);
};

// Blocks of 256 inputs in 16 parts of 16: four vectors with the scales of the parts in the bytes
// of the lanes, then three vectors for each part: vectors 0, 1 and 2 of its codes of six bits, with
// two bits each of vector 3 on top. The side part is the blocks' scales.
struct FormatQ6K {
  static constexpr PackedFormat kPacked = kPackedFormats[static_cast<int>(WeightType::kQ6K)];
  static constexpr int kPartBytes = 192, kPartsAt = 256;
  static constexpr bool kScalesInSide = true;
  using Block = BlockQ6K;
  static_assert(kPacked.source_bytes == sizeof(Block) &&
                kPacked.main_bytes == kPartsAt + 16 * kPartBytes);
};

using FormatQ40 = Format32<WeightType::kQ4_0, BlockQ40, Code::kNibbles, false, 3>;
using FormatQ41 = Format32<WeightType::kQ4_1, BlockQ41, Code::kNibbles, true, 0>;
using FormatQ50 = Format32<WeightType::kQ5_0, BlockQ50, Code::kFiveBits, false, 4>;
using FormatQ51 = Format32<WeightType::kQ5_1, BlockQ51, Code::kFiveBits, true, 0>;
using FormatQ80 = Format32<WeightType::kQ8_0, BlockQ80, Code::kBytes, false, 7>;
using FormatIq4Nl = Format32<WeightType::kIq4Nl, BlockIq4Nl, Code::kIq4Nl, false, 7>;
using FormatQ4K = FormatParts32<WeightType::kQ4K, BlockQ4K, Code::kNibbles>;
using FormatQ5K = FormatParts32<WeightType::kQ5K, BlockQ5K, Code::kFiveBits>;

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_FORMATS_H_
