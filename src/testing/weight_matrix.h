#ifndef FORETOKEN_TESTING_WEIGHT_MATRIX_H_
#define FORETOKEN_TESTING_WEIGHT_MATRIX_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/weight_type.h"

namespace foretoken {

inline constexpr WeightType kAllWeightTypes[] = {
    WeightType::kF32,   WeightType::kF16,  WeightType::kBf16, WeightType::kQ4_0,
    WeightType::kQ4_1,  WeightType::kQ5_0, WeightType::kQ5_1, WeightType::kQ8_0,
    WeightType::kIq4Nl, WeightType::kQ4K,  WeightType::kQ5K,  WeightType::kQ6K};

const char* WeightTypeName(WeightType type);

// Bytes between rows: they need not follow each other closely.
inline constexpr size_t kRowGap = 3;

// A weight matrix as it lies in a GGUF file, and what it stands for.
struct WeightMatrix {
  WeightType type = WeightType::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  size_t row_bytes = 0;
  std::vector<uint8_t> bytes;

  // At an odd address: GGUF's rows may lie anywhere.
  const uint8_t* data() const { return bytes.data() + 1; }
  uint8_t* data() { return bytes.data() + 1; }

  // The inputs that are quantised together; 1: they are not.
  int64_t InputBlock() const;

  // Written from the format's description, weight by weight.
  std::vector<double> Dequantize(int64_t row) const;
};

// Random codes and scales; the weights are about 1 in size. In some rows all codes are the largest
// or smallest there are.
WeightMatrix RandomWeights(WeightType type, int64_t rows, int64_t columns, std::mt19937_64& random);

}  // namespace foretoken

#endif  // FORETOKEN_TESTING_WEIGHT_MATRIX_H_
