#ifndef FORETOKEN_KERNELS_ATTENTION_JOB_H_
#define FORETOKEN_KERNELS_ATTENTION_JOB_H_

#include <cstddef>
#include <cstdint>

namespace foretoken {

// How keys and values lie in memory; kQ8_0 is ggml's (an f16 scale and 32 int8).
enum class KvType : uint8_t { kF32, kF16, kBf16, kQ8_0 };

// Logical positions are cut into blocks of 64 and spans of 512: what a result's bits depend on.
constexpr int32_t kAttentionBlock = 64;
constexpr int32_t kAttentionSpan = 512;
constexpr int32_t kMaxHeadSize = 1024;

// One attention: the rows and cells of its plan, with what they hold. Strides are in bytes. A plain
// struct without functions, since sources that are compiled for one instruction set include it.
struct AttentionJob {
  int32_t heads;  // of the query, a multiple of kv_heads
  int32_t kv_heads;
  int32_t head_size_k;
  int32_t head_size_v;

  const float* query;  // row r, head h at r * query_row_bytes + h * query_head_bytes
  size_t query_row_bytes;
  size_t query_head_bytes;

  const void* key;  // cell c, kv head g at c * key_cell_bytes + g * key_head_bytes
  size_t key_cell_bytes;
  size_t key_head_bytes;
  KvType key_type;

  const void* value;  // like the key
  size_t value_cell_bytes;
  size_t value_head_bytes;
  KvType value_type;

  // f16, one number per row and cell: -inf hides the cell, anything else is added, times the head's
  // slope. Null: every row sees every cell. The one that the plan was built from, or an equal one.
  const uint16_t* mask;
  size_t mask_row_bytes;

  float* output;  // row r, head h at r * output_row_bytes + h * output_head_bytes
  size_t output_row_bytes;
  size_t output_head_bytes;

  float scale;
  float logit_softcap;  // 0: none; otherwise logits are cap * tanh(logit / cap)
  const float* slopes;  // per head; null: 1 for all
  const float* sinks;   // per head, a logit without a value; null: none
};

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_ATTENTION_JOB_H_
