// Compiled for x86-64-v3; see attention_lanes.h for what may be used here.
#include <immintrin.h>

#include "kernels/attention_kernels_impl.h"

namespace foretoken {
namespace {

// Sixteen lanes in two registers.
struct Avx2Lanes {
  struct Vec {
    __m256 low;
    __m256 high;
  };
  using Mask = Vec;
  static constexpr int kTileVectors = 1;  // 6 x 1 x 2 sums, a key of two and a query: 15 of 16

  static FORETOKEN_INLINE Vec Zero() { return Broadcast(0); }
  static FORETOKEN_INLINE Vec Broadcast(float x) {
    const __m256 all = _mm256_set1_ps(x);
    return {all, all};
  }
  static FORETOKEN_INLINE Vec BroadcastF16(uint16_t x) {
    const __m256 all = _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(x)));
    return {all, all};
  }
  static FORETOKEN_INLINE Vec Load(const float* from) {
    return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
  }
  static FORETOKEN_INLINE Vec LoadF32(const unsigned char* from) {
    return Load(reinterpret_cast<const float*>(from));
  }
  static FORETOKEN_INLINE __m128i LoadEight(const unsigned char* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
  static FORETOKEN_INLINE Vec LoadF16(const unsigned char* from) {
    return {_mm256_cvtph_ps(LoadEight(from)), _mm256_cvtph_ps(LoadEight(from + 16))};
  }
  static FORETOKEN_INLINE Vec LoadBf16(const unsigned char* from) {
    const __m256i low = _mm256_cvtepu16_epi32(LoadEight(from));
    const __m256i high = _mm256_cvtepu16_epi32(LoadEight(from + 16));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))};
  }
  static FORETOKEN_INLINE Vec LoadInt8(const unsigned char* from) {
    const __m128i bytes = LoadEight(from);
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
  }
  static FORETOKEN_INLINE void Store(float* to, Vec x) {
    _mm256_storeu_ps(to, x.low);
    _mm256_storeu_ps(to + 8, x.high);
  }
  static FORETOKEN_INLINE float First(Vec x) { return _mm256_cvtss_f32(x.low); }

  static FORETOKEN_INLINE Vec Add(Vec a, Vec b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  static FORETOKEN_INLINE Vec Sub(Vec a, Vec b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  static FORETOKEN_INLINE Vec Mul(Vec a, Vec b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  static FORETOKEN_INLINE Vec Div(Vec a, Vec b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
  }
  static FORETOKEN_INLINE Vec Fma(Vec a, Vec b, Vec c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static FORETOKEN_INLINE Vec Max(Vec a, Vec b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  static FORETOKEN_INLINE Vec Min(Vec a, Vec b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
  }
  static FORETOKEN_INLINE __m256 PowerOfTwoOf(__m256 shifted) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(0x3f800000)));
  }
  static FORETOKEN_INLINE Vec PowerOfTwo(Vec shifted) {
    return {PowerOfTwoOf(shifted.low), PowerOfTwoOf(shifted.high)};
  }

  static FORETOKEN_INLINE Mask Less(Vec a, Vec b) {
    return {_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)};
  }
  static FORETOKEN_INLINE Mask IsNan(Vec x) {
    return {_mm256_cmp_ps(x.low, x.low, _CMP_UNORD_Q), _mm256_cmp_ps(x.high, x.high, _CMP_UNORD_Q)};
  }
  static FORETOKEN_INLINE __m256 MaskOfEight(__m256i bits, __m256i lanes) {
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(bits, lanes), lanes));
  }
  static FORETOKEN_INLINE Mask MaskOf(uint16_t bits) {
    const __m256i all = _mm256_set1_epi32(bits);
    const __m256i low = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return {MaskOfEight(all, low), MaskOfEight(all, _mm256_slli_epi32(low, 8))};
  }
  static FORETOKEN_INLINE Vec Select(Mask mask, Vec yes, Vec no) {
    return {_mm256_blendv_ps(no.low, yes.low, mask.low),
            _mm256_blendv_ps(no.high, yes.high, mask.high)};
  }

  static FORETOKEN_INLINE float ReduceAdd(Vec x) {
    const __m256 a = _mm256_add_ps(x.low, x.high);
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
  }
  static FORETOKEN_INLINE float ReduceMax(Vec x) {
    const __m256 a = _mm256_max_ps(x.low, x.high);
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
  }

  static FORETOKEN_INLINE void TransposeEight(__m256* rows) {
    __m256 pairs[8];
    for (int i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    // fours[4 * k + j], half l: element 4 * l + j of rows 4 * k to 4 * k + 3.
    __m256 fours[8];
    for (int i = 0; i < 8; i += 4) {
      for (int j = 0; j < 2; ++j) {
        const __m256d a = _mm256_castps_pd(pairs[i + j]);
        const __m256d b = _mm256_castps_pd(pairs[i + j + 2]);
        fours[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
        fours[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
      }
    }
    for (int j = 0; j < 4; ++j) {
      rows[j] = _mm256_permute2f128_ps(fours[j], fours[4 + j], 0x20);
      rows[4 + j] = _mm256_permute2f128_ps(fours[j], fours[4 + j], 0x31);
    }
  }

  static FORETOKEN_INLINE void Transpose(Vec* rows) {
    __m256 quarter[4][8];  // rows 0 to 7 low and high, rows 8 to 15 low and high
    for (int i = 0; i < 8; ++i) {
      quarter[0][i] = rows[i].low;
      quarter[1][i] = rows[i].high;
      quarter[2][i] = rows[8 + i].low;
      quarter[3][i] = rows[8 + i].high;
    }
    for (int q = 0; q < 4; ++q) TransposeEight(quarter[q]);
    for (int i = 0; i < 8; ++i) {
      rows[i] = {quarter[0][i], quarter[2][i]};
      rows[8 + i] = {quarter[1][i], quarter[3][i]};
    }
  }

  static FORETOKEN_INLINE uint32_t Signs(__m256i low, __m256i high) {
    // Packing works by halves of a register; the permutation mends the order.
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
    return static_cast<uint32_t>(_mm256_movemask_epi8(bytes));
  }
  static FORETOKEN_INLINE uint64_t VisibleBits(const uint16_t* mask, bool* added) {
    const __m256i infinity = _mm256_set1_epi16(static_cast<int16_t>(0xfc00));
    uint64_t visible = 0;
    for (int half = 0; half < 2; ++half) {
      const auto* from = reinterpret_cast<const __m256i*>(mask + half * 32);
      const __m256i a = _mm256_loadu_si256(from);
      const __m256i b = _mm256_loadu_si256(from + 1);
      const uint32_t seen =
          ~Signs(_mm256_cmpeq_epi16(a, infinity), _mm256_cmpeq_epi16(b, infinity));
      const __m256i zero = _mm256_setzero_si256();
      const uint32_t nonzero = ~Signs(_mm256_cmpeq_epi16(_mm256_add_epi16(a, a), zero),
                                      _mm256_cmpeq_epi16(_mm256_add_epi16(b, b), zero));
      *added |= (seen & nonzero) != 0;
      visible |= static_cast<uint64_t>(seen) << (half * 32);
    }
    return visible;
  }
};

}  // namespace

constinit const AttentionKernels kAttentionAvx2 = MakeAttentionKernels<Avx2Lanes>();

}  // namespace foretoken
