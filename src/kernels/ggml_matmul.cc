#include "kernels/ggml_matmul.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include <ggml-backend.h>

#include "kernels/ggml_weight_buffer.h"
#include "kernels/matmul.h"

namespace foretoken {
namespace {

// One matrix of weights and the columns that it is multiplied with.
struct Product {
  const void* weights = nullptr;
  std::vector<const float*> inputs;
  std::vector<float*> outputs;
};

const char* DataOf(const ggml_tensor& tensor, int64_t i1, int64_t i2, int64_t i3) {
  return static_cast<const char*>(tensor.data) + static_cast<size_t>(i1) * tensor.nb[1] +
         static_cast<size_t>(i2) * tensor.nb[2] + static_cast<size_t>(i3) * tensor.nb[3];
}

const float* InputColumn(const ggml_tensor& tensor, int64_t i1, int64_t i2, int64_t i3) {
  return reinterpret_cast<const float*>(DataOf(tensor, i1, i2, i3));
}

float* OutputColumn(const ggml_tensor& tensor, int64_t i1, int64_t i2, int64_t i3) {
  return const_cast<float*>(InputColumn(tensor, i1, i2, i3));
}

// The matrix number (i2, i3) of the weights.
const void* MatrixAt(const ggml_tensor& weights, int64_t i2, int64_t i3) {
  if (!HasPackedWeights(weights)) return DataOf(weights, 0, i2, i3);
  return static_cast<const char*>(weights.data) +
         static_cast<size_t>(i2 + i3 * weights.ne[2]) * PackedMatrixBytes(weights);
}

// MUL_MAT: the matrices of the weights are repeated over the inputs' third and fourth dimension.
std::vector<Product> ProductsOf(const ggml_tensor& operation) {
  const ggml_tensor& weights = *operation.src[0];
  const ggml_tensor& input = *operation.src[1];
  std::vector<Product> products;
  const void* last_matrix = nullptr;
  const int64_t repeat2 = input.ne[2] / weights.ne[2];
  const int64_t repeat3 = input.ne[3] / weights.ne[3];
  for (int64_t i3 = 0; i3 < input.ne[3]; ++i3) {
    for (int64_t i2 = 0; i2 < input.ne[2]; ++i2) {
      const void* matrix = MatrixAt(weights, i2 / repeat2, i3 / repeat3);
      if (products.empty() || matrix != last_matrix) {
        products.push_back({.weights = matrix, .inputs = {}, .outputs = {}});
        last_matrix = matrix;
      }
      for (int64_t i1 = 0; i1 < input.ne[1]; ++i1) {
        products.back().inputs.push_back(InputColumn(input, i1, i2, i3));
        products.back().outputs.push_back(OutputColumn(operation, i1, i2, i3));
      }
    }
  }
  return products;
}

// MUL_MAT_ID: a column (slot, token) goes through the matrix that ids[slot, token] names.
std::vector<Product> ExpertProductsOf(const ggml_tensor& operation) {
  const ggml_tensor& weights = *operation.src[0];
  const ggml_tensor& input = *operation.src[1];
  const ggml_tensor& ids = *operation.src[2];
  std::vector<Product> products(static_cast<size_t>(weights.ne[2]));
  for (int64_t token = 0; token < ids.ne[1]; ++token) {
    for (int64_t slot = 0; slot < ids.ne[0]; ++slot) {
      const int32_t expert = *reinterpret_cast<const int32_t*>(
          static_cast<const char*>(ids.data) + static_cast<size_t>(slot) * ids.nb[0] +
          static_cast<size_t>(token) * ids.nb[1]);
      Product& product = products[static_cast<size_t>(expert)];
      product.weights = MatrixAt(weights, expert, 0);
      product.inputs.push_back(InputColumn(input, slot % input.ne[1], token, 0));
      product.outputs.push_back(OutputColumn(operation, slot, token, 0));
    }
  }
  std::erase_if(products, [](const Product& product) { return product.inputs.empty(); });
  return products;
}

MatMulJob JobOf(const ggml_tensor& weights, const Product& product) {
  return {.type = *WeightTypeOf(weights.type),
          .rows = weights.ne[1],
          .columns = weights.ne[0],
          .weights = product.weights,
          .row_bytes = weights.nb[1],
          .packed = HasPackedWeights(weights),
          .inputs = product.inputs,
          .outputs = product.outputs};
}

}  // namespace

const char* WhyNoMatMul(const ggml_tensor& operation) {
  const ggml_tensor& weights = *operation.src[0];
  const ggml_tensor& input = *operation.src[1];
  const auto type = WeightTypeOf(weights.type);
  if (!type) return ggml_type_name(weights.type);
  if (ggml_is_quantized(weights.type) && !CanPack(*type, weights.ne[0])) return "odd row length";
  if (input.type != GGML_TYPE_F32 || operation.type != GGML_TYPE_F32) return "inputs not f32";
  if (weights.nb[0] != ggml_type_size(weights.type) || input.nb[0] != sizeof(float) ||
      operation.nb[0] != sizeof(float)) {
    return "rows not contiguous";
  }
  if (!HasPackedWeights(weights) && weights.buffer != nullptr &&
      !ggml_backend_buffer_is_host(weights.buffer)) {
    return "weights not in host memory";
  }
  return nullptr;
}

void ComputeMatMul(const ggml_tensor& operation, GgmlForward& forward) {
  const std::vector<Product> products =
      operation.op == GGML_OP_MUL_MAT_ID ? ExpertProductsOf(operation) : ProductsOf(operation);
  std::vector<MatMulJob> jobs;
  size_t scratch_bytes = 0;
  for (const Product& product : products) {
    jobs.push_back(JobOf(*operation.src[0], product));
    scratch_bytes = std::max(scratch_bytes, MatMulScratchBytes(jobs.back(), forward.team().size()));
  }
  void* const scratch = forward.Scratch(scratch_bytes);
  forward.team().Run([&](TeamMember& member) {
    for (const MatMulJob& job : jobs) MatMul(job, scratch, member);
  });
}

}  // namespace foretoken
