#include "kernels/ggml_matmul.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/ggml_weight_buffer.h"
#include "unit/kernels/ggml_graph.h"

namespace foretoken {
namespace {

constexpr int64_t kColumns = 512;
constexpr int64_t kRows = 75;  // the last tile of 16 is not full
constexpr int64_t kVectors = 7;

// Any object that lives on: ggml asks the buffer type's context only in a model's loader.
ggml_backend_buffer_type_t PackedType() {
  for (ggml_backend_buffer_type_t* type =
           [] {
             RegisterGgmlKernels();
             auto* device = ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0);
             auto* get = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
                 ggml_backend_reg_get_proc_address(ggml_backend_cpu_reg(),
                                                   "ggml_backend_dev_get_extra_bufts"));
             return get(device);
           }();
       *type != nullptr; ++type) {
    if (std::string(ggml_backend_buft_name(*type)) == "CPU_FORETOKEN") return *type;
  }
  return nullptr;
}

double RelativeError(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0;
  double size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

class GgmlMatMulTest : public ::testing::TestWithParam<ggml_type> {
 protected:
  ThreadTeam team_{2};
  GgmlForward forward_{&team_, nullptr, nullptr};
};

TEST_P(GgmlMatMulTest, AgreesWithGgmlAndWithItselfWhereverTheWeightsLie) {
  const ggml_type type = GetParam();
  std::vector<std::vector<float>> results;  // stock, plain buffer, packed
  for (const bool packed : {false, true}) {
    if (packed && !ggml_is_quantized(type)) continue;
    GgmlGraph graph(packed ? PackedType() : nullptr);
    ggml_tensor* weights = ggml_new_tensor_2d(graph.weights(), type, kColumns, kRows);
    ggml_tensor* input = ggml_new_tensor_2d(graph.tensors(), GGML_TYPE_F32, kColumns, kVectors);
    ggml_tensor* product = ggml_mul_mat(graph.tensors(), weights, input);
    graph.Allocate();
    EXPECT_EQ(HasPackedWeights(*weights), packed);
    SetFloats(weights, RandomFloats(kColumns * kRows, 1));
    SetFloats(input, RandomFloats(kColumns * kVectors, 2));
    if (!packed) results.push_back(graph.Compute(product, nullptr));
    results.push_back(graph.Compute(product, &forward_));
  }
  EXPECT_TRUE(forward_.stock_operations().empty());
  EXPECT_LT(RelativeError(results[1], results[0]), 0.01);
  if (results.size() > 2) {
    EXPECT_EQ(0,
              std::memcmp(results[1].data(), results[2].data(), results[1].size() * sizeof(float)));
  }
}

TEST_P(GgmlMatMulTest, ExpertsGetTheColumnsThatNameThem) {
  const ggml_type type = GetParam();
  constexpr int64_t kExperts = 5;
  constexpr int64_t kUsed = 2;
  std::vector<std::vector<float>> results;
  for (const bool packed : {false, true}) {
    if (packed && !ggml_is_quantized(type)) continue;
    GgmlGraph graph(packed ? PackedType() : nullptr);
    ggml_tensor* weights = ggml_new_tensor_3d(graph.weights(), type, kColumns, kRows, kExperts);
    ggml_tensor* input = ggml_new_tensor_3d(graph.tensors(), GGML_TYPE_F32, kColumns, 1, kVectors);
    ggml_tensor* ids = ggml_new_tensor_2d(graph.tensors(), GGML_TYPE_I32, kUsed, kVectors);
    ggml_tensor* product = ggml_mul_mat_id(graph.tensors(), weights, input, ids);
    graph.Allocate();
    SetFloats(weights, RandomFloats(kColumns * kRows * kExperts, 3));
    SetFloats(input, RandomFloats(kColumns * kVectors, 4));
    std::vector<int32_t> chosen;
    for (int32_t i = 0; i < kUsed * kVectors; ++i) chosen.push_back(i * 3 % (kExperts - 1));
    ggml_backend_tensor_set(ids, chosen.data(), 0, chosen.size() * sizeof(int32_t));
    if (!packed) results.push_back(graph.Compute(product, nullptr));
    results.push_back(graph.Compute(product, &forward_));
  }
  EXPECT_TRUE(forward_.stock_operations().empty());
  EXPECT_LT(RelativeError(results[1], results[0]), 0.01);
  if (results.size() > 2) {
    EXPECT_EQ(0,
              std::memcmp(results[1].data(), results[2].data(), results[1].size() * sizeof(float)));
  }
}

INSTANTIATE_TEST_SUITE_P(Types, GgmlMatMulTest,
                         ::testing::Values(GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16,
                                           GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0,
                                           GGML_TYPE_Q5_1, GGML_TYPE_Q8_0, GGML_TYPE_IQ4_NL,
                                           GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K),
                         [](const auto& type) { return std::string(ggml_type_name(type.param)); });

TEST(GgmlMatMulShapeTest, MatricesAreRepeatedOverTheInputs) {
  ThreadTeam team(3);
  GgmlForward forward(&team, nullptr, nullptr);
  GgmlGraph graph;
  ggml_tensor* weights = ggml_new_tensor_3d(graph.weights(), GGML_TYPE_F16, 96, 33, 2);
  ggml_tensor* input = ggml_new_tensor_4d(graph.tensors(), GGML_TYPE_F32, 96, 5, 6, 3);
  ggml_tensor* product = ggml_mul_mat(graph.tensors(), weights, input);
  graph.Allocate();
  SetFloats(weights, RandomFloats(96 * 33 * 2, 5));
  SetFloats(input, RandomFloats(96 * 5 * 6 * 3, 6));
  const std::vector<float> stock = graph.Compute(product, nullptr);
  const std::vector<float> ours = graph.Compute(product, &forward);
  EXPECT_LT(RelativeError(ours, stock), 0.002);
}

TEST(GgmlMatMulShapeTest, WhatIsLeftToGgmlIsNamed) {
  ThreadTeam team(1);
  GgmlForward forward(&team, nullptr, nullptr);
  GgmlGraph graph;
  ggml_tensor* weights = ggml_new_tensor_2d(graph.weights(), GGML_TYPE_Q2_K, 256, 16);
  ggml_tensor* input = ggml_new_tensor_2d(graph.tensors(), GGML_TYPE_F32, 256, 2);
  ggml_tensor* product = ggml_mul_mat(graph.tensors(), weights, input);
  graph.Allocate();
  SetFloats(weights, RandomFloats(256 * 16, 7));
  SetFloats(input, RandomFloats(256 * 2, 8));
  EXPECT_EQ(graph.Compute(product, nullptr), graph.Compute(product, &forward));
  ASSERT_EQ(forward.stock_operations().size(), 1u);
  EXPECT_EQ(*forward.stock_operations().begin(), "MUL_MAT (q2_K)");
}

}  // namespace
}  // namespace foretoken
