#include "kernels/matmul_avx2_lanes.h"
#include "kernels/matmul_table.h"

// Compiled for AVX2 with AVX-VNNI; matmul_kernels.h says what that asks for.

namespace foretoken {
namespace {

struct AvxVnni : Avx2Lanes<AvxVnni> {
  static constexpr int kMaxGroup = GroupLimit(6);
  static constexpr bool kSubtracts128 = false, kAddsInPairs = false;

  FORETOKEN_INLINE Ints AddDots(Ints sums, Ints weights, const int32_t* inputs) {
    return _mm256_dpbusd_avx_epi32(sums, weights, Broadcast(inputs));
  }
  FORETOKEN_INLINE Ints AddPairDots(Ints sums, Ints pairs, const int32_t* inputs) {
    return _mm256_dpwssd_avx_epi32(sums, pairs, Broadcast(inputs));
  }
};

}  // namespace

const MatMulKernels& AvxVnniMatMulKernels() {
  static constexpr MatMulKernels kKernels = MakeMatMulKernels<AvxVnni>();
  return kKernels;
}

}  // namespace foretoken
