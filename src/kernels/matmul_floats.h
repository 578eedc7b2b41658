#ifndef FORETOKEN_KERNELS_MATMUL_FLOATS_H_
#define FORETOKEN_KERNELS_MATMUL_FLOATS_H_

#include <cstring>

#include "kernels/matmul_formats.h"

// Products of rows of float weights with columns, for a Simd as in matmul_products.h. For the
// sources of one instruction set only.

namespace foretoken {

template <typename Simd, WeightType kType>
FORETOKEN_INLINE typename Simd::Floats LoadWeights(const uint8_t* weights) {
  if constexpr (kType == WeightType::kF16) {
    return Simd::LoadHalves(weights);
  } else if constexpr (kType == WeightType::kBf16) {
    return Simd::LoadBf16(weights);
  } else {
    return Simd::LoadFloats(weights);
  }
}

// kRows rows with kColumns columns: every load of a weight serves all columns, and the other way
// round. products[row][column]
template <typename Simd, WeightType kType, int kRows, int kColumns>
FORETOKEN_INLINE void MultiplyRows(const uint8_t* const* rows, const float* const* columns,
                                   int64_t inputs, float (*products)[kColumns]) {
  constexpr int64_t kBytes = kType == WeightType::kF32 ? 4 : 2;
  using Floats = typename Simd::Floats;
  Floats sums[kRows][kColumns];
  FORETOKEN_UNROLL
  for (int r = 0; r < kRows; ++r) {
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) sums[r][c] = Simd::SetFloat(0.0f);
  }
  const auto add = [&](const Floats(&x)[kColumns], int r, Floats weights) FORETOKEN_INLINE_LAMBDA {
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) sums[r][c] = Simd::Fma(weights, x[c], sums[r][c]);
  };
  const int64_t whole = inputs / 16 * 16;
  for (int64_t i = 0; i < whole; i += 16) {
    Floats x[kColumns];
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) x[c] = Simd::LoadFloats(columns[c] + i);
    FORETOKEN_UNROLL
    for (int r = 0; r < kRows; ++r) add(x, r, LoadWeights<Simd, kType>(rows[r] + i * kBytes));
  }
  if (whole < inputs) {
    const size_t rest = static_cast<size_t>(inputs - whole);
    Floats x[kColumns];
    for (int c = 0; c < kColumns; ++c) {
      float padded[16] = {};
      std::memcpy(padded, columns[c] + whole, rest * sizeof(float));
      x[c] = Simd::LoadFloats(padded);
    }
    for (int r = 0; r < kRows; ++r) {
      uint8_t padded[16 * kBytes] = {};
      std::memcpy(padded, rows[r] + whole * kBytes, rest * kBytes);
      add(x, r, LoadWeights<Simd, kType>(padded));
    }
  }
  FORETOKEN_UNROLL
  for (int r = 0; r < kRows; ++r) {
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      const float sum = Simd::SumOfLanes(sums[r][c]);
      products[r][c] = sum == sum ? sum : __builtin_nanf("");
    }
  }
}

template <typename Simd, WeightType kType, int kColumns>
[[gnu::noinline]] void MultiplyRowsOfTile(const TileSource& source, const float* const* columns,
                                          int64_t inputs, const TileOutputs& y) {
  constexpr int kRows = Simd::kFloatRows;
  for (int32_t first = 0; first < source.rows; first += kRows) {
    const uint8_t* rows[kRows];
    for (int r = 0; r < kRows; ++r) {
      // The last row again, in place of those beyond it.
      const int32_t row = first + r < source.rows ? first + r : source.rows - 1;
      rows[r] = source.data + static_cast<size_t>(row) * source.row_bytes;
    }
    float products[kRows][kColumns];
    MultiplyRows<Simd, kType, kRows, kColumns>(rows, columns, inputs, products);
    for (int r = 0; r < kRows && first + r < source.rows; ++r) {
      for (int c = 0; c < kColumns; ++c) y.columns[c][y.first_row + first + r] = products[r][c];
    }
  }
}

// MultiplyRowsOfTile for `count` columns, at most kColumns.
template <typename Simd, WeightType kType, int kColumns>
FORETOKEN_INLINE void MultiplyFewColumns(int64_t count, const TileSource& source,
                                         const float* const* columns, int64_t inputs,
                                         const TileOutputs& y) {
  if constexpr (kColumns > 0) {
    if (count == kColumns) {
      MultiplyRowsOfTile<Simd, kType, kColumns>(source, columns, inputs, y);
    } else {
      MultiplyFewColumns<Simd, kType, kColumns - 1>(count, source, columns, inputs, y);
    }
  }
}

template <typename Simd, WeightType kType>
void MultiplyFloats(const TileSource& source, const FloatColumns& x, IndexRange columns,
                    const TileOutputs& y) {
  for (int64_t c = columns.first; c < columns.last; c += Simd::kFloatColumns) {
    const int64_t left = columns.last - c;
    MultiplyFewColumns<Simd, kType, Simd::kFloatColumns>(
        left < Simd::kFloatColumns ? left : Simd::kFloatColumns, source, x.columns + c, x.inputs,
        {y.columns + c, y.first_row, y.rows});
  }
}

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_FLOATS_H_
