#ifndef FORETOKEN_KERNELS_MATMUL_TILES_H_
#define FORETOKEN_KERNELS_MATMUL_TILES_H_

#include <cstring>

#include "kernels/matmul_products.h"

// A packed tile with any number of columns. For the sources of one instruction set only.

namespace foretoken {

template <typename Simd, typename Format, int kColumns>
[[gnu::noinline]] void MultiplyGroup(const uint8_t* main, const uint8_t* scales, int64_t blocks,
                                     BlockInputs x, Ahead ahead, float* totals) {
  for (int lane = 0; lane < kTileRows; lane += Simd::kLanes) {
    MultiplyBlocks<Simd, kColumns>(Format(), main + 4 * lane, scales + 2 * lane, blocks, x, ahead,
                                   totals + lane);
  }
}

// MultiplyGroup for every number of columns.
template <typename Simd, typename Format>
struct GroupKernels {
  using Kernel = void (*)(const uint8_t* main, const uint8_t* scales, int64_t blocks, BlockInputs x,
                          Ahead ahead, float* totals);
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

// Far enough ahead for memory to answer, near enough for the first cache.
inline constexpr int64_t kPrefetchBytes = 4096;

// What several groups or halves of a tile go over, one after the other, is so many bytes of input
// and of weights at a time: the first cache holds them, and the weights that follow, meanwhile.
inline constexpr int64_t kStepInputBytes = 32768;
inline constexpr int64_t kStepWeightBytes = 18432;

template <typename Simd, typename Format>
void MultiplyTile(const uint8_t* packed, const Activations& x, IndexRange groups,
                  const TileOutputs& y) {
  static constexpr GroupKernels<Simd, Format> kKernels{};
  constexpr PackedFormat kPacked = Format::kPacked;
  constexpr int64_t kQuants = kPacked.inputs / 4;
  constexpr int64_t kSums = kPacked.inputs == 256 ? kSums256 : 1;
  constexpr int64_t kMostGroups = Simd::kPanelColumns / Simd::kMaxGroup;
  const uint8_t* scales = Format::kScalesInSide ? packed + x.blocks * kPacked.main_bytes : packed;
  const int64_t all_groups = GroupCount(x.columns, x.max_group);
  const int64_t count = groups.last - groups.first;
  ColumnGroup panel[kMostGroups];
  int64_t columns = 0;
  for (int64_t i = 0; i < count; ++i) {
    panel[i] = GroupAt(x.columns, all_groups, groups.first + i);
    columns += panel[i].size;
  }
  int64_t step = x.blocks;
  const int64_t passes = count * (kTileRows / Simd::kLanes);
  if (passes > 1) {
    step = kStepInputBytes / columns / kPacked.inputs;
    const int64_t most = kStepWeightBytes / kPacked.main_bytes;
    if (step > most) step = most;
    if (step < 1) step = 1;
  }
  alignas(64) float totals[Simd::kPanelColumns * kTileRows];
  for (int64_t i = 0; i < columns * kTileRows; i += Simd::kLanes) {
    Simd::StoreFloats(totals + i, Simd::SetFloat(0.0f));
  }
  for (int64_t block = 0; block < x.blocks; block += step) {
    const int64_t blocks = step < x.blocks - block ? step : x.blocks - block;
    const int64_t bytes = blocks * kPacked.main_bytes;
    const uint8_t* main = packed + block * kPacked.main_bytes;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = panel[i].first * x.blocks + block * panel[i].size;
      const BlockInputs inputs = {x.quants + at * kQuants, x.sums + at * kSums,
                                  kPacked.inputs == 32 ? x.scaled_sums + at : nullptr,
                                  x.scales + at};
      // Each pass fetches its share of what the next step reads.
      const uint8_t* ahead_of_pass = main + bytes + bytes * i / count;
      const Ahead ahead = {passes == 1 ? main + kPrefetchBytes : ahead_of_pass, 64 / passes};
      kKernels.by_columns[panel[i].size](main, scales + block * kScaleStride<Format>, blocks,
                                         inputs, ahead,
                                         totals + (panel[i].first - panel[0].first) * kTileRows);
    }
  }
  for (int64_t c = 0; c < columns; ++c) {
    StoreColumn<Simd>(totals + c * kTileRows, y.columns[panel[0].first + c] + y.first_row, y.rows);
  }
}

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_TILES_H_
