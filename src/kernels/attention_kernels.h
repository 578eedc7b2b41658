#ifndef FORETOKEN_KERNELS_ATTENTION_KERNELS_H_
#define FORETOKEN_KERNELS_ATTENTION_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "kernels/attention_job.h"

namespace foretoken {

// Where a (row, head) stands in the softmax of a span or of all spans so far: the largest logit,
// the sum of exp(logit - largest), and from kStateHeader on the values weighted by the same.
constexpr int32_t kStateHeader = 16;

// One (row, head) while a block is computed.
struct AttentionPair {
  const float* query;
  float* state;
  const float* mask;  // to add, by lane; null: nothing
  uint64_t visible;   // lanes that the row sees
  float slope;
  float factor;  // what the state is to be multiplied by when the block's values are added
};

// The blocks of one span as far as one tile of rows sees them, for one KV head.
struct AttentionSpanTask {
  const AttentionJob* job;
  int32_t kv_head;
  const int32_t* rows;  // their numbers in the job
  int32_t row_count;
  const int32_t* block_ids;  // in the order of their positions
  int32_t block_count;
  const int32_t* next_cells;  // of the block that the caller computes after these; null: not known
  const int32_t* cells;       // block b, lane l: cells[b * 64 + l], -1 where there is none
  const uint64_t* visible;  // block b, row r of the tile: lanes it sees, visible[b * row_count + r]
  bool add_mask;            // the mask holds other numbers than 0 and -inf
  float* states;            // row r of the tile, head h of the group: r * heads per group + h
  void* workspace;          // AttentionWorkspaceBytes
};

// What attention needs of one instruction set. All of them give the same bits.
struct AttentionKernels {
  // Writes a bit per cell, 0 for -inf, in whole words; true if a number is neither 0 nor -inf.
  bool (*scan_mask)(const uint16_t* mask, int32_t cells, uint64_t* bits);
  void (*compute_span)(const AttentionSpanTask& task);
  // Adds a later span's state.
  void (*merge)(const AttentionJob& job, const float* span, float* state);
  // Divides by the sum, with the head's sink if there is one.
  void (*finish)(const AttentionJob& job, int32_t head, const float* state, float* output);
};

enum class InstructionSet : uint8_t;

// The reference where this build has none of its own.
const AttentionKernels& AttentionKernelsOf(InstructionSet set);

// For compute_span with `rows` rows.
size_t AttentionWorkspaceBytes(const AttentionJob& job, int32_t rows);

extern const AttentionKernels kAttentionGeneric;
#if defined(__x86_64__)
extern const AttentionKernels kAttentionAvx2;
extern const AttentionKernels kAttentionAvx512;
#endif

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_KERNELS_H_
