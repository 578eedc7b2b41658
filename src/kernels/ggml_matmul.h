#ifndef FORETOKEN_KERNELS_GGML_MATMUL_H_
#define FORETOKEN_KERNELS_GGML_MATMUL_H_

#include <ggml.h>

#include "kernels/ggml_forward.h"

namespace foretoken {

// ggml's MUL_MAT and MUL_MAT_ID on the kernels of matmul.h.

// Null: taken over; otherwise why not.
const char* WhyNoMatMul(const ggml_tensor& operation);
void ComputeMatMul(const ggml_tensor& operation, GgmlForward& forward);

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_GGML_MATMUL_H_
