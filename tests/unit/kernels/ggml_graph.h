#ifndef FORETOKEN_UNIT_KERNELS_GGML_GRAPH_H_
#define FORETOKEN_UNIT_KERNELS_GGML_GRAPH_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include "kernels/ggml_forward.h"
#include "kernels/ggml_plugin.h"

namespace foretoken {

template <auto kFree>
struct GgmlFree {
  template <typename T>
  void operator()(T* handle) const {
    kFree(handle);
  }
};

// A graph of ggml's on its CPU back end with one thread, to be computed with and without our
// kernels. Weights may be put into a buffer type of their own.
class GgmlGraph {
 public:
  GgmlGraph() : GgmlGraph(nullptr) {}
  explicit GgmlGraph(ggml_backend_buffer_type_t weight_type) : weight_type_(weight_type) {
    RegisterGgmlKernels();
    ggml_init_params params = {.mem_size = 1 << 20, .mem_buffer = nullptr, .no_alloc = true};
    weights_.reset(ggml_init(params));
    tensors_.reset(ggml_init(params));
    backend_.reset(ggml_backend_cpu_init());
    ggml_backend_cpu_set_n_threads(backend_.get(), 1);
  }

  ggml_context* weights() { return weights_.get(); }
  ggml_context* tensors() { return tensors_.get(); }

  // To be called once all tensors are there and before any data is set.
  void Allocate() {
    ggml_backend_buffer_type_t type =
        weight_type_ != nullptr ? weight_type_ : ggml_backend_cpu_buffer_type();
    if (ggml_get_first_tensor(weights_.get()) != nullptr) {
      weight_buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(weights_.get(), type));
    }
    buffer_.reset(ggml_backend_alloc_ctx_tensors(tensors_.get(), backend_.get()));
  }

  // Computes `result` and all it needs, on our kernels where `forward` is given.
  std::vector<float> Compute(ggml_tensor* result, GgmlForward* forward) {
    ggml_cgraph* graph = ggml_new_graph(tensors_.get());
    ggml_build_forward_expand(graph, result);
    const ForwardScope scope(forward);
    if (ggml_backend_graph_compute(backend_.get(), graph) != GGML_STATUS_SUCCESS) return {};
    std::vector<float> values(static_cast<size_t>(ggml_nelements(result)));
    ggml_backend_tensor_get(result, values.data(), 0, values.size() * sizeof(float));
    return values;
  }

 private:
  ggml_backend_buffer_type_t weight_type_;
  std::unique_ptr<ggml_context, GgmlFree<ggml_free>> weights_;
  std::unique_ptr<ggml_context, GgmlFree<ggml_free>> tensors_;
  std::unique_ptr<ggml_backend, GgmlFree<ggml_backend_free>> backend_;
  std::unique_ptr<ggml_backend_buffer, GgmlFree<ggml_backend_buffer_free>> weight_buffer_;
  std::unique_ptr<ggml_backend_buffer, GgmlFree<ggml_backend_buffer_free>> buffer_;
};

inline std::vector<float> RandomFloats(size_t count, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// The values in a tensor's own type.
inline std::vector<uint8_t> InType(ggml_type type, std::span<const float> values, int64_t row) {
  std::vector<uint8_t> data(ggml_row_size(type, static_cast<int64_t>(values.size())));
  if (type == GGML_TYPE_F32) {
    std::memcpy(data.data(), values.data(), data.size());
    return data;
  }
  const std::vector<float> importance(static_cast<size_t>(row), 1.0f);
  ggml_quantize_chunk(type, values.data(), data.data(), 0,
                      static_cast<int64_t>(values.size()) / row, row, importance.data());
  return data;
}

inline void SetFloats(ggml_tensor* tensor, std::span<const float> values) {
  const std::vector<uint8_t> data = InType(tensor->type, values, tensor->ne[0]);
  ggml_backend_tensor_set(tensor, data.data(), 0, data.size());
}

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_KERNELS_GGML_GRAPH_H_
