#ifndef FORETOKEN_KERNELS_MATMUL_H_
#define FORETOKEN_KERNELS_MATMUL_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/instruction_set.h"
#include "kernels/thread_team.h"
#include "kernels/weight_type.h"

namespace foretoken {

// Products of a weight matrix with a few or many columns of floats, made so that several columns
// cost little more than one.
//
// The rule of bits: a column of the result depends on that column of the input and the weights
// alone. Whatever the instruction set, the number of threads, the other columns and whether the
// weights are packed, it is the same bit for bit:
// - Input is quantised to eight bits in blocks of 256 (Q4_K, Q5_K, Q6_K) or 32 (the other
//   quantised types): q = round to nearest even(x * (127 / m)), scale m / 127, m the largest
//   magnitude of the block. With float weights (F32, F16, BF16) it is not quantised.
// - Sums of integers are exact. Floats are added with one rounding (fma) in the order of the
//   blocks; for float weights in 16 lanes, lane i taking weights i, i + 16, ..., then halved four
//   times by adding the upper lanes to the lower.
// - A block of input below 2^-100 counts as zero. One that holds an infinity or a NaN makes its
//   whole column NaN. What is too large for a float becomes infinite as usual. Every NaN in the
//   result is the quiet NaN 0x7fc00000.
// All of this assumes the processor's default rounding, with denormals kept.

// Rows of weights that are packed and multiplied together.
inline constexpr int64_t kMatMulTileRows = 16;

// Whether a matrix of this type with `columns` inputs has a packed form: quantised types, whole
// blocks. Others can be multiplied (float types) or not at all (quantised types with part blocks).
bool CanPack(WeightType type, int64_t columns);

// Bytes of a matrix in packed form: those of GGUF for rows rounded up to a multiple of 16, and at
// most 63 more for every 16 rows. Requires CanPack.
size_t PackedBytes(WeightType type, int64_t rows, int64_t columns);

struct MatMulJob {
  WeightType type = WeightType::kF32;
  int64_t rows = 0;     // outputs
  int64_t columns = 0;  // inputs
  // Packed: what PackTiles wrote. Otherwise GGUF rows, row_bytes apart, at any address.
  const void* weights = nullptr;
  size_t row_bytes = 0;
  bool packed = false;
  std::span<const float* const> inputs;  // one pointer to `columns` floats for each column
  std::span<float* const> outputs;       // one pointer to `rows` floats for each column
};

// Packs tiles [first_tile, last_tile) of 16 rows each, out of GGUF rows `row_bytes` apart, to their
// place in `packed`, which begins at a multiple of 64. Disjoint ranges may be packed by different
// threads. Rows beyond the last are packed as zeros. Requires CanPack.
struct PackJob {
  WeightType type = WeightType::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  const void* source = nullptr;
  size_t row_bytes = 0;
  void* packed = nullptr;
};
void PackTiles(const PackJob& job, int64_t first_tile, int64_t last_tile,
               InstructionSet set = BestInstructionSet());

// Bytes of scratch memory that MatMul needs, at any address.
size_t MatMulScratchBytes(std::span<const MatMulJob> jobs, int32_t team_size);
size_t MatMulScratchBytes(const MatMulJob& job, int32_t team_size);

// Computes all jobs, which have the same `columns` and `inputs`: these are quantised once. Every
// member of a team calls it with the same arguments. It meets the others at a barrier after the
// inputs are quantised, and at another before it returns: then all outputs are written, and scratch
// and inputs may be overwritten. Nobody may have taken an item since the last barrier. `set` must
// be supported by this machine.
void MatMul(std::span<const MatMulJob> jobs, void* scratch, TeamMember& member,
            InstructionSet set = BestInstructionSet());
void MatMul(const MatMulJob& job, void* scratch, TeamMember& member,
            InstructionSet set = BestInstructionSet());

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_MATMUL_H_
