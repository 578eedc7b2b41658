#ifndef FORETOKEN_KERNELS_MATMUL_TILES_H_
#define FORETOKEN_KERNELS_MATMUL_TILES_H_

#include <cstring>

#include "kernels/matmul_products.h"

// A packed tile with any number of columns. For the sources of one instruction set only.

namespace foretoken {

template <typename Simd, typename Format, int kColumns>
[[gnu::noinline]] void MultiplyGroup(const uint8_t* main, const uint8_t* scales, int64_t blocks,
                                     BlockInputs x, float* totals) {
  for (int lane = 0; lane < kTileRows; lane += Simd::kLanes) {
    MultiplyBlocks<Simd, kColumns>(Format(), main + 4 * lane, scales + 2 * lane, blocks, x,
                                   totals + lane);
  }
}

// MultiplyGroup for every number of columns.
template <typename Simd, typename Format>
struct GroupKernels {
  using Kernel = void (*)(const uint8_t* main, const uint8_t* scales, int64_t blocks, BlockInputs x,
                          float* totals);
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
  float tail[kTileRows];
  float* const whole = rows == kTileRows ? output : tail;
  FORETOKEN_UNROLL
  for (int lane = 0; lane < kTileRows; lane += Simd::kLanes) {
    Simd::StoreFloats(whole + lane, Simd::CanonicalNan(Simd::LoadFloats(totals + lane)));
  }
  if (rows < kTileRows) std::memcpy(output, tail, static_cast<size_t>(rows) * sizeof(float));
}

#ifndef STEPB
#define STEPB 16384
#endif
inline constexpr int64_t kStepBytes = STEPB;

template <typename Simd, typename Format>
void MultiplyTile(const uint8_t* packed, const Activations& x, IndexRange groups,
                  const TileOutputs& y) {
  static constexpr GroupKernels<Simd, Format> kKernels{};
  constexpr PackedFormat kPacked = Format::kPacked;
  constexpr int64_t kQuants = kPacked.inputs / 4;
  constexpr int64_t kSums = kPacked.inputs == 256 ? kSums256 : 1;
  const int64_t group_count = GroupCount(x.columns, x.max_group);
  const uint8_t* scales = Format::kScalesInSide ? packed + x.blocks * kPacked.main_bytes : packed;
  const int64_t first_column = GroupAt(x.columns, group_count, groups.first).first;
  const ColumnGroup last = GroupAt(x.columns, group_count, groups.last - 1);
  const int64_t columns = last.first + last.size - first_column;
  // What is gone over several times, by groups or halves of a tile, is as many blocks as stay in
  // the first cache meanwhile.
  const bool at_once = groups.last - groups.first == 1 && Simd::kLanes == kTileRows;
  int64_t step_inputs = kStepBytes / columns / 256 * 256;
  if (step_inputs < 256) step_inputs = 256;
  const int64_t step = at_once ? x.blocks : step_inputs / kPacked.inputs;
  alignas(64) float totals[Simd::kPanelColumns * kTileRows];
  for (int64_t i = 0; i < columns * kTileRows; i += Simd::kLanes) {
    Simd::StoreFloats(totals + i, Simd::SetFloat(0.0f));
  }
  for (int64_t block = 0; block < x.blocks; block += step) {
    const int64_t blocks = step < x.blocks - block ? step : x.blocks - block;
    for (int64_t index = groups.first; index < groups.last; ++index) {
      const ColumnGroup group = GroupAt(x.columns, group_count, index);
      const int64_t at = group.first * x.blocks + block * group.size;
      const BlockInputs inputs = {x.quants + at * kQuants, x.sums + at * kSums,
                                  kPacked.inputs == 32 ? x.scaled_sums + at : nullptr,
                                  x.scales + at};
      kKernels.by_columns[group.size](packed + block * kPacked.main_bytes,
                                      scales + block * kScaleStride<Format>, blocks, inputs,
                                      totals + (group.first - first_column) * kTileRows);
    }
  }
  for (int64_t c = 0; c < columns; ++c) {
    StoreColumn<Simd>(totals + c * kTileRows, y.columns[first_column + c] + y.first_row, y.rows);
  }
}

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_TILES_H_
