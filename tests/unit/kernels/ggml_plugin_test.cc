#include "kernels/ggml_plugin.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/ggml_weight_buffer.h"
#include "unit/kernels/ggml_graph.h"

namespace foretoken {
namespace {

std::vector<ggml_backend_buffer_type_t> BufferTypes() {
  RegisterGgmlKernels();
  RegisterGgmlKernels();
  auto* get =
      reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(ggml_backend_reg_get_proc_address(
          ggml_backend_cpu_reg(), "ggml_backend_dev_get_extra_bufts"));
  std::vector<ggml_backend_buffer_type_t> types;
  for (auto* type = get(ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0)); *type != nullptr;
       ++type) {
    types.push_back(*type);
  }
  return types;
}

// What a loader of ggml asks before it places a tensor: a buffer of the type without memory.
bool LoaderMayPlace(ggml_type type, ggml_op operation) {
  GgmlGraph graph;
  ggml_tensor* weights = ggml_new_tensor_2d(graph.weights(), type, 512, 64);
  ggml_tensor* ids = ggml_new_tensor_1d(graph.tensors(), GGML_TYPE_I32, 8);
  ggml_tensor* input = ggml_new_tensor_2d(graph.tensors(), GGML_TYPE_F32, 512, 512);
  ggml_tensor* node = operation == GGML_OP_GET_ROWS ? ggml_get_rows(graph.tensors(), weights, ids)
                                                    : ggml_mul_mat(graph.tensors(), weights, input);
  weights->buffer = ggml_backend_buft_alloc_buffer(BufferTypes().front(), 0);
  const bool supported =
      ggml_backend_dev_supports_op(ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0), node);
  ggml_backend_buffer_free(weights->buffer);
  weights->buffer = nullptr;
  return supported;
}

TEST(GgmlPluginTest, OurBufferTypeIsAskedFirstAndOnlyOnce) {
  const auto types = BufferTypes();
  ASSERT_FALSE(types.empty());
  EXPECT_EQ(std::string(ggml_backend_buft_name(types.front())), "CPU_FORETOKEN");
  for (size_t i = 1; i < types.size(); ++i) {
    EXPECT_NE(std::string(ggml_backend_buft_name(types[i])), "CPU_FORETOKEN");
  }
}

TEST(GgmlPluginTest, WeightsArePackedOnlyWhereThatIsAskedFor) {
  EXPECT_FALSE(LoaderMayPlace(GGML_TYPE_Q4_K, GGML_OP_MUL_MAT));
  {
    const PackWeightsScope pack;
    EXPECT_TRUE(LoaderMayPlace(GGML_TYPE_Q4_K, GGML_OP_MUL_MAT));
    EXPECT_FALSE(LoaderMayPlace(GGML_TYPE_F16, GGML_OP_MUL_MAT));
    EXPECT_FALSE(LoaderMayPlace(GGML_TYPE_Q2_K, GGML_OP_MUL_MAT));
    EXPECT_FALSE(LoaderMayPlace(GGML_TYPE_Q4_K, GGML_OP_GET_ROWS));
  }
  EXPECT_FALSE(LoaderMayPlace(GGML_TYPE_Q4_K, GGML_OP_MUL_MAT));
}

}  // namespace
}  // namespace foretoken
