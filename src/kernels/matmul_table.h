#ifndef FORETOKEN_KERNELS_MATMUL_TABLE_H_
#define FORETOKEN_KERNELS_MATMUL_TABLE_H_

#include "kernels/matmul_floats.h"
#include "kernels/matmul_pack.h"
#include "kernels/matmul_quantize.h"
#include "kernels/matmul_tiles.h"

namespace foretoken {

template <typename Simd, typename Format>
constexpr void AddFormat(WeightType type, MatMulKernels& kernels) {
  kernels.pack_tile[static_cast<int>(type)] = &PackTile<Simd, Format>;
  kernels.multiply_tile[static_cast<int>(type)] = &MultiplyTile<Simd, Format>;
}

// The kernels for a Simd, which is of an anonymous namespace.
template <typename Simd>
constexpr MatMulKernels MakeMatMulKernels() {
  MatMulKernels kernels = {};
  kernels.max_group = Simd::kMaxGroup;
  kernels.panel_columns = Simd::kPanelColumns;
  AddFormat<Simd, FormatQ40>(WeightType::kQ4_0, kernels);
  AddFormat<Simd, FormatQ41>(WeightType::kQ4_1, kernels);
  AddFormat<Simd, FormatQ50>(WeightType::kQ5_0, kernels);
  AddFormat<Simd, FormatQ51>(WeightType::kQ5_1, kernels);
  AddFormat<Simd, FormatQ80>(WeightType::kQ8_0, kernels);
  AddFormat<Simd, FormatIq4Nl>(WeightType::kIq4Nl, kernels);
  AddFormat<Simd, FormatQ4K>(WeightType::kQ4K, kernels);
  AddFormat<Simd, FormatQ5K>(WeightType::kQ5K, kernels);
  AddFormat<Simd, FormatQ6K>(WeightType::kQ6K, kernels);
  kernels.multiply_floats[static_cast<int>(WeightType::kF32)] =
      &MultiplyFloats<Simd, WeightType::kF32>;
  kernels.multiply_floats[static_cast<int>(WeightType::kF16)] =
      &MultiplyFloats<Simd, WeightType::kF16>;
  kernels.multiply_floats[static_cast<int>(WeightType::kBf16)] =
      &MultiplyFloats<Simd, WeightType::kBf16>;
  kernels.quantize_32 = &QuantizeUnits<Simd, 32>;
  kernels.quantize_256 = &QuantizeUnits<Simd, 256>;
  return kernels;
}

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_TABLE_H_
