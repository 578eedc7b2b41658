#ifndef FORETOKEN_KERNELS_MATMUL_AVX2_LANES_H_
#define FORETOKEN_KERNELS_MATMUL_AVX2_LANES_H_

#include <immintrin.h>

#include "kernels/matmul_formats.h"

namespace foretoken {

// What AVX2, with and without VNNI, has in common: 8 lanes are one register. Simd, the type that
// derives from it, is of an anonymous namespace. For the sources of one instruction set only.
template <typename Simd>
struct Avx2Lanes {
  using Ints = __m256i;
  using Floats = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kPanelColumns = 64;
  static constexpr int kFloatRows = 2, kFloatColumns = 2;

  FORETOKEN_INLINE Ints Load(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
  }
  FORETOKEN_INLINE void Store(void* to, Ints a) {
    _mm256_storeu_si256(static_cast<__m256i*>(to), a);
  }
  FORETOKEN_INLINE Ints Zero() { return _mm256_setzero_si256(); }
  FORETOKEN_INLINE Ints Set(uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); }
  FORETOKEN_INLINE Ints SetBytes(uint8_t value) {
    return _mm256_set1_epi8(static_cast<char>(value));
  }
  FORETOKEN_INLINE Ints Broadcast(const int32_t* from) { return _mm256_set1_epi32(*from); }
  FORETOKEN_INLINE Ints Add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  FORETOKEN_INLINE Ints And(Ints a, Ints b) { return _mm256_and_si256(a, b); }
  FORETOKEN_INLINE Ints Xor(Ints a, Ints b) { return _mm256_xor_si256(a, b); }
  FORETOKEN_INLINE Ints Max(Ints a, Ints b) { return _mm256_max_epi32(a, b); }
  // The bits of `a` where `mask` has ones, those of `b` elsewhere.
  FORETOKEN_INLINE Ints Select(Ints mask, Ints a, Ints b) {
    return _mm256_or_si256(_mm256_and_si256(mask, a), _mm256_andnot_si256(mask, b));
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftLeft16(Ints a) {
    return _mm256_slli_epi16(a, kBits);
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftRight16(Ints a) {
    return _mm256_srli_epi16(a, kBits);
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftLeft32(Ints a) {
    return _mm256_slli_epi32(a, kBits);
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftRight32(Ints a) {
    return _mm256_srli_epi32(a, kBits);
  }
  // Byte kByte of each lane.
  template <int kByte>
  FORETOKEN_INLINE Ints Byte(Ints a) {
    return _mm256_and_si256(_mm256_srli_epi32(a, 8 * kByte), _mm256_set1_epi32(255));
  }
  template <int kByte>
  FORETOKEN_INLINE Ints SignedByte(Ints a) {
    return _mm256_srai_epi32(_mm256_slli_epi32(a, 24 - 8 * kByte), 24);
  }
  // Signed bytes 0 and 2, or 1 and 3, of each lane as int16.
  FORETOKEN_INLINE Ints EvenBytes(Ints a) { return _mm256_srai_epi16(_mm256_slli_epi16(a, 8), 8); }
  FORETOKEN_INLINE Ints OddBytes(Ints a) { return _mm256_srai_epi16(a, 8); }
  FORETOKEN_INLINE Ints LoadTable(const uint8_t* from) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  FORETOKEN_INLINE Ints LookUp(Ints table, Ints bytes) { return _mm256_shuffle_epi8(table, bytes); }
  FORETOKEN_INLINE void Prefetch(const uint8_t* address) {
    asm volatile("prefetcht0 %0" : : "m"(*address));
  }

  FORETOKEN_INLINE Floats LoadFloats(const void* from) {
    return _mm256_loadu_ps(static_cast<const float*>(from));
  }
  FORETOKEN_INLINE void StoreFloats(float* to, Floats a) { _mm256_storeu_ps(to, a); }
  FORETOKEN_INLINE Floats SetFloat(float value) { return _mm256_set1_ps(value); }
  FORETOKEN_INLINE Floats BroadcastFloat(const float* from) { return _mm256_broadcast_ss(from); }
  FORETOKEN_INLINE Floats LoadHalves(const void* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(from)));
  }
  FORETOKEN_INLINE Floats LoadBf16(const void* from) {
    const __m128i halves = _mm_loadu_si128(static_cast<const __m128i*>(from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  FORETOKEN_INLINE Floats AddFloats(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  FORETOKEN_INLINE Floats Mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  FORETOKEN_INLINE Floats Fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  FORETOKEN_INLINE Floats ToFloats(Ints a) { return _mm256_cvtepi32_ps(a); }
  FORETOKEN_INLINE Ints ToInts(Floats a) { return _mm256_cvtps_epi32(a); }
  FORETOKEN_INLINE Ints MagnitudeBits(Floats a) {
    return _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7fffffff));
  }
  FORETOKEN_INLINE Floats CanonicalNan(Floats a) {
    const __m256 nan = _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
    return _mm256_blendv_ps(a, _mm256_set1_ps(__builtin_nanf("")), nan);
  }
  FORETOKEN_INLINE float SumOfLanes(Floats a) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  FORETOKEN_INLINE int32_t LargestOf(Ints a) {
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
  }
  // The sum of each 16 signed bytes, in each of their four lanes.
  FORETOKEN_INLINE Ints SumsOfSixteen(Ints bytes) {
    const Ints pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    Ints sums = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xb1));
    return _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));
  }
  // The low bytes of four vectors, one after the other.
  FORETOKEN_INLINE Ints PackBytes(const Ints* vectors) {
    // Packing works within halves of a register; dword i of half h comes from vector i.
    const Ints bytes = _mm256_packs_epi16(_mm256_packs_epi32(vectors[0], vectors[1]),
                                          _mm256_packs_epi32(vectors[2], vectors[3]));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }

  FORETOKEN_INLINE void LoadTransposed(const uint8_t* rows, size_t stride, Ints* vectors) {
    Ints by_four[4];  // rows i, i + 4
    for (size_t i = 0; i < 4; ++i) {
      by_four[i] = _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(rows + (i + 4) * stride),
                                       reinterpret_cast<const __m128i*>(rows + i * stride));
    }
    const Ints low01 = _mm256_unpacklo_epi32(by_four[0], by_four[1]);
    const Ints high01 = _mm256_unpackhi_epi32(by_four[0], by_four[1]);
    const Ints low23 = _mm256_unpacklo_epi32(by_four[2], by_four[3]);
    const Ints high23 = _mm256_unpackhi_epi32(by_four[2], by_four[3]);
    vectors[0] = _mm256_unpacklo_epi64(low01, low23);
    vectors[1] = _mm256_unpackhi_epi64(low01, low23);
    vectors[2] = _mm256_unpacklo_epi64(high01, high23);
    vectors[3] = _mm256_unpackhi_epi64(high01, high23);
  }
};

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_AVX2_LANES_H_
