#ifndef FORETOKEN_KERNELS_GGML_OPERATIONS_H_
#define FORETOKEN_KERNELS_GGML_OPERATIONS_H_

#include <cstdint>

#include <ggml.h>

#include "kernels/ggml_forward.h"

namespace foretoken {

// What the kernels make of an operation of a graph.
enum class OperationTake : uint8_t {
  kNot,     // left to ggml
  kKernel,  // computed by a kernel of ours
  kSplit,   // computed by ggml's own code, on the threads of the team
};

// Whether and how a graph's operation is taken over. One that is left to ggml although its bits may
// depend on the batch is noted in `forward`.
OperationTake TakeOf(const ggml_tensor& operation, GgmlForward& forward);

// Computes an operation of kKernel or kSplit on the team.
void ComputeTaken(ggml_tensor& operation, GgmlForward& forward);

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_GGML_OPERATIONS_H_
