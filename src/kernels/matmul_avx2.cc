#include "kernels/matmul_avx2_lanes.h"
#include "kernels/matmul_table.h"

// Compiled for AVX2, FMA and F16C; matmul_kernels.h says what that asks for.

namespace foretoken {
namespace {

struct Avx2 : Avx2Lanes<Avx2> {
  static constexpr int kMaxGroup = GroupLimit(6);
  static constexpr bool kSubtracts128 = true, kAddsInPairs = true;

  // Products of four bytes are added as two sums of 16 bits first. With codes of up to six bits,
  // two vectors' fit: 4 * 63 * 127 < 2^15. Codes of eight bits are made signed again, and their
  // signs handed to the inputs: 2 * 128 * 127 < 2^15.
  template <int kBits>
  FORETOKEN_INLINE Ints AddTwoDots(Ints sums, Ints first, const int32_t* first_inputs, Ints second,
                                   const int32_t* second_inputs) {
    const Ints first_x = Broadcast(first_inputs), second_x = Broadcast(second_inputs);
    const Ints one = _mm256_set1_epi16(1);
    if constexpr (kBits == 8) {
      const Ints offset = SetBytes(128);
      const Ints a = Xor(first, offset), b = Xor(second, offset);
      const Ints products_a =
          _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(first_x, a));
      const Ints products_b =
          _mm256_maddubs_epi16(_mm256_abs_epi8(b), _mm256_sign_epi8(second_x, b));
      return Add(sums, Add(_mm256_madd_epi16(products_a, one), _mm256_madd_epi16(products_b, one)));
    } else {
      const Ints products = _mm256_add_epi16(_mm256_maddubs_epi16(first, first_x),
                                             _mm256_maddubs_epi16(second, second_x));
      return Add(sums, _mm256_madd_epi16(products, one));
    }
  }
  FORETOKEN_INLINE Ints AddPairDots(Ints sums, Ints pairs, const int32_t* inputs) {
    return Add(sums, _mm256_madd_epi16(pairs, Broadcast(inputs)));
  }
};

}  // namespace

const MatMulKernels& Avx2MatMulKernels() {
  static constexpr MatMulKernels kKernels = MakeMatMulKernels<Avx2>();
  return kKernels;
}

}  // namespace foretoken
