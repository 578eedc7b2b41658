#ifndef FORETOKEN_KERNELS_GGML_WEIGHT_BUFFER_H_
#define FORETOKEN_KERNELS_GGML_WEIGHT_BUFFER_H_

#include <cstddef>
#include <optional>

#include <ggml-backend.h>
#include <ggml.h>

#include "kernels/weight_type.h"

namespace foretoken {

// The kernels' name of a ggml type; nothing for one that they do not multiply.
std::optional<WeightType> WeightTypeOf(ggml_type type);

// Whether the kernels have a packed layout for such a tensor of weights: matrices of a known type,
// one after the other.
bool IsPackable(const ggml_tensor& weights);

// What one matrix of a packable tensor takes in the packed layout.
size_t PackedMatrixBytes(const ggml_tensor& weights);

// A ggml buffer type whose tensors, all of them packable, hold weights in the kernels' packed
// layout: bytes written to a tensor are packed on the way, by all cores; they cannot be read back.
// `dispatch` is the ggml::cpu::extra_buffer_type that ggml finds in the buffer type's context, and
// lives as long as the process.
ggml_backend_buffer_type_t PackedWeightBufferType(void* dispatch);

// Whether the tensor lies in such a buffer.
bool HasPackedWeights(const ggml_tensor& weights);

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_GGML_WEIGHT_BUFFER_H_
