#include <immintrin.h>

#include "kernels/matmul_table.h"

// Compiled for AVX-512 with VNNI; matmul_kernels.h says what that asks for.

namespace foretoken {
namespace {

// 16 lanes are one register.
struct Avx512Vnni {
  using Ints = __m512i;
  using Floats = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kMaxGroup =
      GroupLimit(12);  // with two registers a column, what 32 registers hold
  static constexpr int kPanelColumns = 64;
  static constexpr int kFloatRows = 4, kFloatColumns = 4;
  static constexpr bool kSubtracts128 = false, kAddsInPairs = false;

  FORETOKEN_INLINE Ints Load(const void* from) {
    Ints loaded = _mm512_loadu_si512(from);
    // Loads are what the products run out of first: what is used twice is not to be loaded twice.
    asm("" : "+v"(loaded));
    return loaded;
  }
  FORETOKEN_INLINE void Store(void* to, Ints a) { _mm512_storeu_si512(to, a); }
  FORETOKEN_INLINE Ints Zero() { return _mm512_setzero_si512(); }
  FORETOKEN_INLINE Ints Set(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }
  FORETOKEN_INLINE Ints SetBytes(uint8_t value) {
    return _mm512_set1_epi8(static_cast<char>(value));
  }
  FORETOKEN_INLINE Ints Broadcast(const int32_t* from) { return _mm512_set1_epi32(*from); }
  FORETOKEN_INLINE Ints Add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  FORETOKEN_INLINE Ints And(Ints a, Ints b) { return _mm512_and_si512(a, b); }
  FORETOKEN_INLINE Ints Xor(Ints a, Ints b) { return _mm512_xor_si512(a, b); }
  FORETOKEN_INLINE Ints Max(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
  // The bits of `a` where `mask` has ones, those of `b` elsewhere.
  FORETOKEN_INLINE Ints Select(Ints mask, Ints a, Ints b) {
    return _mm512_ternarylogic_epi32(mask, a, b, 0xca);
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftLeft16(Ints a) {
    return _mm512_slli_epi16(a, kBits);
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftRight16(Ints a) {
    return _mm512_srli_epi16(a, kBits);
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftLeft32(Ints a) {
    return _mm512_slli_epi32(a, kBits);
  }
  template <int kBits>
  FORETOKEN_INLINE Ints ShiftRight32(Ints a) {
    return _mm512_srli_epi32(a, kBits);
  }
  // Byte kByte of each lane.
  template <int kByte>
  FORETOKEN_INLINE Ints Byte(Ints a) {
    return _mm512_and_si512(_mm512_srli_epi32(a, 8 * kByte), _mm512_set1_epi32(255));
  }
  template <int kByte>
  FORETOKEN_INLINE Ints SignedByte(Ints a) {
    return _mm512_srai_epi32(_mm512_slli_epi32(a, 24 - 8 * kByte), 24);
  }
  // Signed bytes 0 and 2, or 1 and 3, of each lane as int16.
  FORETOKEN_INLINE Ints EvenBytes(Ints a) { return _mm512_srai_epi16(_mm512_slli_epi16(a, 8), 8); }
  FORETOKEN_INLINE Ints OddBytes(Ints a) { return _mm512_srai_epi16(a, 8); }
  FORETOKEN_INLINE Ints LoadTable(const uint8_t* from) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  FORETOKEN_INLINE Ints LookUp(Ints table, Ints bytes) { return _mm512_shuffle_epi8(table, bytes); }

  // The compiler would gather the prefetches at the start of the loop, and load broadcasts into
  // registers it does not have; volatile assembly stays in order and broadcasts as it is written.
  FORETOKEN_INLINE Ints AddDots(Ints sums, Ints weights, const int32_t* inputs) {
    asm volatile("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums) : "v"(weights), "m"(*inputs));
    return sums;
  }
  FORETOKEN_INLINE Ints AddPairDots(Ints sums, Ints pairs, const int32_t* inputs) {
    asm volatile("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sums) : "v"(pairs), "m"(*inputs));
    return sums;
  }
  FORETOKEN_INLINE void Prefetch(const uint8_t* address) {
    asm volatile("prefetcht0 %0" : : "m"(*address));
  }

  FORETOKEN_INLINE Floats LoadFloats(const void* from) { return _mm512_loadu_ps(from); }
  FORETOKEN_INLINE void StoreFloats(float* to, Floats a) { _mm512_storeu_ps(to, a); }
  FORETOKEN_INLINE Floats SetFloat(float value) { return _mm512_set1_ps(value); }
  FORETOKEN_INLINE Floats BroadcastFloat(const float* from) { return _mm512_set1_ps(*from); }
  FORETOKEN_INLINE Floats LoadHalves(const void* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
  }
  FORETOKEN_INLINE Floats LoadBf16(const void* from) {
    const __m256i halves = _mm256_loadu_si256(static_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  FORETOKEN_INLINE Floats Mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  FORETOKEN_INLINE Floats Fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  FORETOKEN_INLINE Floats ToFloats(Ints a) { return _mm512_cvtepi32_ps(a); }
  FORETOKEN_INLINE Ints ToInts(Floats a) { return _mm512_cvtps_epi32(a); }
  FORETOKEN_INLINE Ints MagnitudeBits(Floats a) {
    return _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fffffff));
  }
  FORETOKEN_INLINE Floats CanonicalNan(Floats a) {
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    return _mm512_mask_blend_ps(nan, a, _mm512_set1_ps(__builtin_nanf("")));
  }
  FORETOKEN_INLINE float SumOfLanes(Floats a) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  FORETOKEN_INLINE int32_t LargestOf(Ints a) { return _mm512_reduce_max_epi32(a); }
  // The sum of each 16 signed bytes, in each of their four lanes.
  FORETOKEN_INLINE Ints SumsOfSixteen(Ints bytes) {
    Ints sums = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1), bytes);
    sums = _mm512_add_epi32(sums, _mm512_shuffle_epi32(sums, _MM_PERM_CDAB));
    return _mm512_add_epi32(sums, _mm512_shuffle_epi32(sums, _MM_PERM_BADC));
  }
  // The low bytes of four vectors, one after the other.
  FORETOKEN_INLINE Ints PackBytes(const Ints* vectors) {
    // Packing works within quarters of a register; dword i of quarter q comes from vector i.
    const Ints bytes = _mm512_packs_epi16(_mm512_packs_epi32(vectors[0], vectors[1]),
                                          _mm512_packs_epi32(vectors[2], vectors[3]));
    const Ints order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, bytes);
  }

  FORETOKEN_INLINE void LoadTransposed(const uint8_t* rows, size_t stride, Ints* vectors) {
    Ints by_four[4];  // rows i, i + 4, i + 8, i + 12
    for (size_t i = 0; i < 4; ++i) {
      const auto row = [&](size_t r) FORETOKEN_INLINE_LAMBDA {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows + r * stride));
      };
      Ints four = _mm512_castsi128_si512(row(i));
      four = _mm512_inserti32x4(four, row(i + 4), 1);
      four = _mm512_inserti32x4(four, row(i + 8), 2);
      by_four[i] = _mm512_inserti32x4(four, row(i + 12), 3);
    }
    const Ints low01 = _mm512_unpacklo_epi32(by_four[0], by_four[1]);
    const Ints high01 = _mm512_unpackhi_epi32(by_four[0], by_four[1]);
    const Ints low23 = _mm512_unpacklo_epi32(by_four[2], by_four[3]);
    const Ints high23 = _mm512_unpackhi_epi32(by_four[2], by_four[3]);
    vectors[0] = _mm512_unpacklo_epi64(low01, low23);
    vectors[1] = _mm512_unpackhi_epi64(low01, low23);
    vectors[2] = _mm512_unpacklo_epi64(high01, high23);
    vectors[3] = _mm512_unpackhi_epi64(high01, high23);
  }
};

}  // namespace

const MatMulKernels& Avx512VnniMatMulKernels() {
  static constexpr MatMulKernels kKernels = MakeMatMulKernels<Avx512Vnni>();
  return kKernels;
}

}  // namespace foretoken
