#ifndef FORETOKEN_KERNELS_WEIGHT_TYPE_H_
#define FORETOKEN_KERNELS_WEIGHT_TYPE_H_

#include <cstdint>

namespace foretoken {

// The weight formats of GGUF that the kernels multiply.
enum class WeightType : uint8_t {
  kF32,
  kF16,
  kBf16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kIq4Nl,
  kQ4K,
  kQ5K,
  kQ6K,
};

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_WEIGHT_TYPE_H_
