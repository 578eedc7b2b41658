#ifndef FORETOKEN_KERNELS_GGML_ATTENTION_H_
#define FORETOKEN_KERNELS_GGML_ATTENTION_H_

#include <ggml.h>

#include "kernels/ggml_forward.h"

namespace foretoken {

// ggml's FLASH_ATTN_EXT on the kernel of attention.h.

// Null: taken over; otherwise why not.
const char* WhyNoAttention(const ggml_tensor& operation, CellPositions* positions);
void ComputeAttention(const ggml_tensor& operation, GgmlForward& forward);

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_GGML_ATTENTION_H_
