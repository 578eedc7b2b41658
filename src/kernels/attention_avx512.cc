// Compiled for x86-64-v4; see attention_lanes.h for what may be used here.
#include <immintrin.h>

#include "kernels/attention_kernels_impl.h"

namespace foretoken {
namespace {

// Sixteen lanes in one register.
struct Avx512Lanes {
  using Vec = __m512;
  using Mask = __mmask16;
  static constexpr int kTileVectors = 4;  // 6 x 4 sums, 4 keys and a query: 29 of 32 registers

  static FORETOKEN_INLINE Vec Zero() { return _mm512_setzero_ps(); }
  static FORETOKEN_INLINE Vec Broadcast(float x) { return _mm512_set1_ps(x); }
  static FORETOKEN_INLINE Vec BroadcastF16(uint16_t x) {
    return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(x)));
  }
  static FORETOKEN_INLINE Vec Load(const float* from) { return _mm512_loadu_ps(from); }
  static FORETOKEN_INLINE Vec LoadF32(const unsigned char* from) { return _mm512_loadu_ps(from); }
  static FORETOKEN_INLINE Vec LoadF16(const unsigned char* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static FORETOKEN_INLINE Vec LoadBf16(const unsigned char* from) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  static FORETOKEN_INLINE Vec LoadInt8(const unsigned char* from) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }
  static FORETOKEN_INLINE void Store(float* to, Vec x) { _mm512_storeu_ps(to, x); }
  static FORETOKEN_INLINE float First(Vec x) { return _mm512_cvtss_f32(x); }

  static FORETOKEN_INLINE Vec Add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static FORETOKEN_INLINE Vec Sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  static FORETOKEN_INLINE Vec Mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static FORETOKEN_INLINE Vec Div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
  static FORETOKEN_INLINE Vec Fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static FORETOKEN_INLINE Vec Max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  static FORETOKEN_INLINE Vec Min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
  static FORETOKEN_INLINE Vec PowerOfTwo(Vec shifted) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(0x3f800000)));
  }

  static FORETOKEN_INLINE Mask Less(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static FORETOKEN_INLINE Mask IsNan(Vec x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }
  static FORETOKEN_INLINE Mask MaskOf(uint16_t bits) { return bits; }
  static FORETOKEN_INLINE Vec Select(Mask mask, Vec yes, Vec no) {
    return _mm512_mask_blend_ps(mask, no, yes);
  }

  static FORETOKEN_INLINE float ReduceAdd(Vec x) {
    const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
  }
  static FORETOKEN_INLINE float ReduceMax(Vec x) {
    const __m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
  }

  static FORETOKEN_INLINE void Transpose(Vec* rows) {
    Vec pairs[kLanes];
    for (int i = 0; i < kLanes; i += 2) {
      pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    // fours[4 * k + j], quarter l: element 4 * l + j of rows 4 * k to 4 * k + 3.
    Vec fours[kLanes];
    for (int i = 0; i < kLanes; i += 4) {
      for (int j = 0; j < 2; ++j) {
        const __m512d a = _mm512_castps_pd(pairs[i + j]);
        const __m512d b = _mm512_castps_pd(pairs[i + j + 2]);
        fours[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        fours[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
      }
    }
    for (int j = 0; j < 4; ++j) {
      const Vec a = _mm512_shuffle_f32x4(fours[j], fours[4 + j], 0x44);
      const Vec b = _mm512_shuffle_f32x4(fours[j], fours[4 + j], 0xee);
      const Vec c = _mm512_shuffle_f32x4(fours[8 + j], fours[12 + j], 0x44);
      const Vec d = _mm512_shuffle_f32x4(fours[8 + j], fours[12 + j], 0xee);
      rows[j] = _mm512_shuffle_f32x4(a, c, 0x88);
      rows[4 + j] = _mm512_shuffle_f32x4(a, c, 0xdd);
      rows[8 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
      rows[12 + j] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
  }

  static FORETOKEN_INLINE uint64_t VisibleBits(const uint16_t* mask, bool* added) {
    uint64_t visible = 0;
    for (int half = 0; half < 2; ++half) {
      const __m512i x = _mm512_loadu_si512(mask + half * 32);
      const uint32_t seen =
          _mm512_cmpneq_epi16_mask(x, _mm512_set1_epi16(static_cast<int16_t>(0xfc00)));
      const uint32_t nonzero = _mm512_test_epi16_mask(x, _mm512_set1_epi16(0x7fff));
      *added |= (seen & nonzero) != 0;
      visible |= static_cast<uint64_t>(seen) << (half * 32);
    }
    return visible;
  }
};

}  // namespace

constinit const AttentionKernels kAttentionAvx512 = MakeAttentionKernels<Avx512Lanes>();

}  // namespace foretoken
