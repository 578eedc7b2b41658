#ifndef FORETOKEN_KERNELS_MATMUL_KERNELS_H_
#define FORETOKEN_KERNELS_MATMUL_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/weight_type.h"

namespace foretoken {

// What matmul.cc shares with the kernels, which are compiled once for every instruction set. A
// linker keeps one copy of an inline function, and might keep the one that was compiled for a
// processor that this is not. So these headers, and the sources that include them for an
// instruction set, hold data, static functions, and templates over a type of an anonymous namespace
// (which makes them local to their source), and use nothing of the standard library but <cstdint>,
// <cstddef> and <cstring>.

inline constexpr int32_t kTileRows = 16;
inline constexpr int32_t kWeightTypes = 12;

// The packed form of a type: tiles of 16 rows. A tile is its blocks' main parts, one after the
// other, and then their side parts (what would put the main parts out of step with cache lines),
// rounded up to 64 bytes.
struct PackedFormat {
  int32_t inputs;        // weights of one row in a block; 0: never packed
  int32_t source_bytes;  // GGUF's block of one row
  int32_t main_bytes;    // of 16 rows
  int32_t side_bytes;
};

inline constexpr PackedFormat kPackedFormats[kWeightTypes] = {
    {0, 0, 0, 0},          // F32
    {0, 0, 0, 0},          // F16
    {0, 0, 0, 0},          // BF16
    {32, 18, 256, 32},     // Q4_0
    {32, 20, 320, 0},      // Q4_1
    {32, 22, 320, 32},     // Q5_0
    {32, 24, 384, 0},      // Q5_1
    {32, 34, 512, 32},     // Q8_0
    {32, 18, 256, 32},     // IQ4_NL
    {256, 144, 2304, 0},   // Q4_K
    {256, 176, 2816, 0},   // Q5_K
    {256, 210, 3328, 32},  // Q6_K
};

// Quantised columns. They are cut into groups of at most `max_group`, as equal as can be; one after
// the other, each group holds its blocks, and a block what a kernel reads of it, the columns
// interleaved: [group][block][...][column of the group].
struct Activations {
  int64_t columns;
  int64_t blocks;
  int32_t max_group;
  int32_t* quants;  // a quarter of the block's inputs: four signed bytes each
  // Blocks of 256: the sums of the 16 parts of 16, as pairs of int16 (0, 2), (1, 3), (4, 6), ...,
  // and those of the 8 parts of 32 as pairs in the same order: 12 in all. Blocks of 32: minus the
  // sum.
  int32_t* sums;
  float* scaled_sums;  // blocks of 32 only: scale * sum
  float* scales;
};

inline constexpr int32_t kSums256 = 12;

struct ColumnGroup {
  int64_t first;
  int32_t size;
};

static inline int64_t GroupCount(int64_t columns, int64_t max_group) {
  return (columns + max_group - 1) / max_group;
}

static inline ColumnGroup GroupAt(int64_t columns, int64_t groups, int64_t index) {
  const int64_t size = columns / groups, larger = columns % groups;
  return {index * size + (index < larger ? index : larger),
          static_cast<int32_t>(size + (index < larger ? 1 : 0))};
}

// At most 16 rows of GGUF.
struct TileSource {
  const uint8_t* data;
  size_t row_bytes;
  int32_t rows;
};

// Where the products of a tile go: to columns[c][first_row, first_row + rows).
struct TileOutputs {
  float* const* columns;
  int64_t first_row;
  int32_t rows;
};

struct IndexRange {
  int64_t first;
  int64_t last;
};

struct FloatColumns {
  const float* const* columns;
  int64_t inputs;
};

// The kernels of one instruction set, by WeightType where there is one for each.
struct MatMulKernels {
  int32_t max_group;
  int32_t panel_columns;  // about so many columns are multiplied with a tile before the next tile
  void (*pack_tile[kWeightTypes])(const TileSource& source, int64_t blocks, uint8_t* packed);
  void (*multiply_tile[kWeightTypes])(const uint8_t* packed, const Activations& x,
                                      IndexRange groups, const TileOutputs& y);
  void (*multiply_floats[kWeightTypes])(const TileSource& source, const FloatColumns& x,
                                        IndexRange columns, const TileOutputs& y);
  // Units are blocks of groups: unit = group * blocks + block.
  void (*quantize_32)(const float* const* columns, IndexRange units, const Activations& x);
  void (*quantize_256)(const float* const* columns, IndexRange units, const Activations& x);
};

const MatMulKernels& GenericMatMulKernels();
#if defined(__x86_64__)
const MatMulKernels& Avx2MatMulKernels();
const MatMulKernels& AvxVnniMatMulKernels();
const MatMulKernels& Avx512VnniMatMulKernels();
#endif

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_KERNELS_H_
