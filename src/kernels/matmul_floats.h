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
// round. The sums are of 16 lanes, whatever those of the Simd. products[row][column]
template <typename Simd, WeightType kType, int kRows, int kColumns>
FORETOKEN_INLINE void MultiplyRows(const uint8_t* const* rows, const float* const* columns,
                                   int64_t inputs, float (*products)[kColumns]) {
  constexpr int64_t kBytes = kType == WeightType::kF32 ? 4 : 2;
  constexpr int kVectors = 16 / Simd::kLanes;
  using Floats = typename Simd::Floats;
  Floats sums[kRows][kColumns][kVectors];
  FORETOKEN_UNROLL
  for (int r = 0; r < kRows; ++r) {
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      FORETOKEN_UNROLL
      for (int v = 0; v < kVectors; ++v) sums[r][c][v] = Simd::SetFloat(0.0f);
    }
  }
  const auto add = [&](const uint8_t* const* weights, const float* const* x,
                       int64_t at) FORETOKEN_INLINE_LAMBDA {
    FORETOKEN_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      Floats inputs_of[kColumns];
      FORETOKEN_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        inputs_of[c] = Simd::LoadFloats(x[c] + at + v * Simd::kLanes);
      }
      FORETOKEN_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Floats weight =
            LoadWeights<Simd, kType>(weights[r] + (at + v * Simd::kLanes) * kBytes);
        FORETOKEN_UNROLL
        for (int c = 0; c < kColumns; ++c) {
          sums[r][c][v] = Simd::Fma(weight, inputs_of[c], sums[r][c][v]);
        }
      }
    }
  };
  const int64_t whole = inputs / 16 * 16;
  for (int64_t i = 0; i < whole; i += 16) add(rows, columns, i);
  if (whole < inputs) {
    const size_t rest = static_cast<size_t>(inputs - whole);
    uint8_t padded_rows[kRows][16 * kBytes] = {};
    float padded_columns[kColumns][16] = {};
    const uint8_t* weights[kRows];
    const float* x[kColumns];
    for (int r = 0; r < kRows; ++r) {
      std::memcpy(padded_rows[r], rows[r] + whole * kBytes, rest * kBytes);
      weights[r] = padded_rows[r];
    }
    for (int c = 0; c < kColumns; ++c) {
      std::memcpy(padded_columns[c], columns[c] + whole, rest * sizeof(float));
      x[c] = padded_columns[c];
    }
    add(weights, x, 0);
  }
  FORETOKEN_UNROLL
  for (int r = 0; r < kRows; ++r) {
    FORETOKEN_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      Floats lanes = sums[r][c][0];
      if constexpr (kVectors == 2) lanes = Simd::AddFloats(lanes, sums[r][c][1]);
      const float sum = Simd::SumOfLanes(lanes);
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
