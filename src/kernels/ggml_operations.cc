#include "kernels/ggml_operations.h"

#include <cstdint>

#include <binary-ops.h>
#include <ggml-cpu-impl.h>
#include <ggml-impl.h>
#include <ops.h>

#include "kernels/ggml_attention.h"
#include "kernels/ggml_matmul.h"

namespace foretoken {
namespace {

// Of the inputs of an operation that is worth waking the team for.
constexpr int64_t kSplitElements = 16 * 1024;

using GgmlCompute = void (*)(const ggml_compute_params*, ggml_tensor*);

// ggml's code for the operations between the matrix products that take time with many rows. Each
// works row by row, so neither their number nor the threads change a bit, and none has a barrier.
GgmlCompute SplittableCompute(const ggml_tensor& operation) {
  switch (operation.op) {
    case GGML_OP_ADD:
      return ggml_is_quantized(operation.src[0]->type) ? nullptr : ggml_compute_forward_add;
    case GGML_OP_GLU:
      return ggml_compute_forward_glu;
    case GGML_OP_MUL:
      return ggml_compute_forward_mul;
    case GGML_OP_RMS_NORM:
      return ggml_compute_forward_rms_norm;
    case GGML_OP_ROPE:
      return ggml_compute_forward_rope;
    default:
      return nullptr;
  }
}

// ROPE keeps a row of sines and cosines for each thread.
size_t SplitBytes(const ggml_tensor& operation, int32_t threads) {
  if (operation.op != GGML_OP_ROPE) return 0;
  return (static_cast<size_t>(operation.ne[0]) * sizeof(float) + CACHE_LINE_SIZE) *
         static_cast<size_t>(threads);
}

void ComputeSplit(ggml_tensor& operation, GgmlForward& forward) {
  const GgmlCompute compute = SplittableCompute(operation);
  const size_t scratch_bytes = SplitBytes(operation, forward.team().size());
  void* const scratch = forward.Scratch(scratch_bytes);
  forward.team().Run([&](TeamMember& member) {
    const ggml_compute_params params = {.ith = member.index(),
                                        .nth = member.size(),
                                        .wsize = scratch_bytes,
                                        .wdata = scratch,
                                        .threadpool = nullptr,
                                        .use_ref = false};
    compute(&params, &operation);
  });
}

// Whether the operation reads a KV cache: then its sums must follow the cells' positions.
bool ReadsCache(const ggml_tensor& operation, GgmlForward& forward) {
  return forward.positions() != nullptr && forward.positions()->Knows(*operation.src[0]);
}

OperationTake TakeOfMatMul(const ggml_tensor& operation, GgmlForward& forward) {
  // ggml's Hadamard transform works on one row at a time and is faster than a product.
  if (operation.op == GGML_OP_MUL_MAT &&
      ggml_get_op_params_i32(&operation, 1) == GGML_HINT_SRC0_IS_HADAMARD) {
    return OperationTake::kNot;
  }
  const char* reason = WhyNoMatMul(operation);
  if (reason == nullptr && ReadsCache(operation, forward)) {
    forward.NoteStock(operation, "attention that is not one operation");
    return OperationTake::kKernel;
  }
  if (reason == nullptr) return OperationTake::kKernel;
  forward.NoteStock(operation, reason);
  return OperationTake::kNot;
}

}  // namespace

OperationTake TakeOf(const ggml_tensor& operation, GgmlForward& forward) {
  switch (operation.op) {
    case GGML_OP_MUL_MAT:
    case GGML_OP_MUL_MAT_ID:
      return TakeOfMatMul(operation, forward);
    case GGML_OP_FLASH_ATTN_EXT:
      if (const char* reason = WhyNoAttention(operation, forward.positions())) {
        forward.NoteStock(operation, reason);
        return OperationTake::kNot;
      }
      return OperationTake::kKernel;
    case GGML_OP_OUT_PROD:
      forward.NoteStock(operation, "no kernel of ours");
      return OperationTake::kNot;
    default:
      break;
  }
  if (SplittableCompute(operation) != nullptr && forward.team().size() > 1 &&
      ggml_nelements(&operation) >= kSplitElements) {
    return OperationTake::kSplit;
  }
  return OperationTake::kNot;
}

void ComputeTaken(ggml_tensor& operation, GgmlForward& forward) {
  switch (operation.op) {
    case GGML_OP_MUL_MAT:
    case GGML_OP_MUL_MAT_ID:
      ComputeMatMul(operation, forward);
      return;
    case GGML_OP_FLASH_ATTN_EXT:
      ComputeAttention(operation, forward);
      return;
    default:
      ComputeSplit(operation, forward);
  }
}

}  // namespace foretoken
