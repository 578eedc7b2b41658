#ifndef FORETOKEN_KERNELS_MATMUL_TILES_H_
#define FORETOKEN_KERNELS_MATMUL_TILES_H_

#include <cstring>

#include "kernels/matmul_products.h"

// A packed tile with any number of columns. For the sources of one instruction set only.

namespace foretoken {

template <typename Simd, typename Format, int kColumns>
[[gnu::noinline]] void MultiplyGroup(const uint8_t* main, const uint8_t* side, int64_t blocks,
                                     BlockInputs x, float* totals) {
  MultiplyBlocks<Simd, kColumns>(Format(), main, side, blocks, x, totals);
}

// MultiplyGroup for every number of columns.
template <typename Simd, typename Format>
struct GroupKernels {
  using Kernel = void (*)(const uint8_t*, const uint8_t*, int64_t, BlockInputs, float*);
  Kernel by_columns[Simd::kMaxGroup + 1] = {};

  constexpr GroupKernels() { Fill<Simd::kMaxGroup>(); }
  template <int kColumns>
  constexpr void Fill() {
    by_columns[kColumns] = &MultiplyGroup<Simd, Format, kColumns>;
    if constexpr (kColumns > 1) Fill<kColumns - 1>();
  }
};

template <typename Simd>
FORETOKEN_INLINE void StoreColumn(const float* totals, float* output, int32_t rows) {
  const typename Simd::Floats products = Simd::CanonicalNan(Simd::LoadFloats(totals));
  if (rows == kTileRows) {
    Simd::StoreFloats(output, products);
    return;
  }
  float tail[kTileRows];
  Simd::StoreFloats(tail, products);
  std::memcpy(output, tail, static_cast<size_t>(rows) * sizeof(float));
}

template <typename Simd, typename Format>
void MultiplyTile(const uint8_t* packed, const Activations& x, IndexRange groups,
                  const TileOutputs& y) {
  static constexpr GroupKernels<Simd, Format> kKernels{};
  constexpr PackedFormat kPacked = Format::kPacked;
  constexpr int64_t kQuants = kPacked.inputs / 4;
  constexpr int64_t kSums = kPacked.inputs == 256 ? kSums256 : 1;
  const int64_t group_count = GroupCount(x.columns, x.max_group);
  const uint8_t* side = packed + x.blocks * kPacked.main_bytes;
  // Several groups go over a few blocks before the next blocks, which then stay in the first cache.
  const int64_t step = groups.last - groups.first == 1 ? x.blocks : 256 / kPacked.inputs;
  const int64_t first_column = GroupAt(x.columns, group_count, groups.first).first;
  alignas(64) float totals[Simd::kPanelColumns * kTileRows] = {};
  for (int64_t block = 0; block < x.blocks; block += step) {
    const int64_t blocks = step < x.blocks - block ? step : x.blocks - block;
    for (int64_t index = groups.first; index < groups.last; ++index) {
      const ColumnGroup group = GroupAt(x.columns, group_count, index);
      const int64_t at = group.first * x.blocks + block * group.size;
      const BlockInputs inputs = {x.quants + at * kQuants, x.sums + at * kSums,
                                  kPacked.inputs == 32 ? x.scaled_sums + at : nullptr,
                                  x.scales + at};
      kKernels.by_columns[group.size](packed + block * kPacked.main_bytes,
                                      side + block * kPacked.side_bytes, blocks, inputs,
                                      totals + (group.first - first_column) * kTileRows);
    }
  }
  const ColumnGroup last = GroupAt(x.columns, group_count, groups.last - 1);
  for (int64_t c = first_column; c < last.first + last.size; ++c) {
    StoreColumn<Simd>(totals + (c - first_column) * kTileRows, y.columns[c] + y.first_row, y.rows);
  }
}

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_TILES_H_
