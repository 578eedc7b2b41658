#include "kernels/ggml_operations.h"

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/kernels/ggml_graph.h"

namespace foretoken {
namespace {

constexpr int64_t kWidth = 256;
constexpr int64_t kRows = 150;

struct SplitOperation {
  const char* name;
  std::function<ggml_tensor*(ggml_context* context, ggml_tensor* a, ggml_tensor* b)> make;
};

class GgmlSplitTest : public ::testing::TestWithParam<SplitOperation> {};

TEST_P(GgmlSplitTest, TheTeamComputesWhatGgmlDoes) {
  ThreadTeam team(3);
  GgmlForward forward(&team, nullptr, nullptr);
  GgmlGraph graph;
  ggml_tensor* a = ggml_new_tensor_2d(graph.tensors(), GGML_TYPE_F32, kWidth, kRows);
  ggml_tensor* b = ggml_new_tensor_2d(graph.tensors(), GGML_TYPE_F32, kWidth, kRows);
  ggml_tensor* result = GetParam().make(graph.tensors(), a, b);
  graph.Allocate();
  SetFloats(a, RandomFloats(kWidth * kRows, 1));
  SetFloats(b, RandomFloats(kWidth * kRows, 2));
  for (ggml_tensor* t = ggml_get_first_tensor(graph.tensors()); t != nullptr;
       t = ggml_get_next_tensor(graph.tensors(), t)) {
    if (t->type != GGML_TYPE_I32) continue;
    std::vector<int32_t> positions;
    for (int32_t i = 0; i < t->ne[0]; ++i) positions.push_back(i);
    ggml_backend_tensor_set(t, positions.data(), 0, positions.size() * sizeof(int32_t));
  }
  EXPECT_EQ(TakeOf(*result, forward), OperationTake::kSplit);
  const std::vector<float> stock = graph.Compute(result, nullptr);
  const std::vector<float> ours = graph.Compute(result, &forward);
  EXPECT_EQ(0, std::memcmp(ours.data(), stock.data(), stock.size() * sizeof(float)));
}

INSTANTIATE_TEST_SUITE_P(
    Operations, GgmlSplitTest,
    ::testing::Values(
        SplitOperation{"add", ggml_add}, SplitOperation{"mul", ggml_mul},
        SplitOperation{"swiglu", ggml_swiglu_split},
        SplitOperation{"rms_norm", [](ggml_context* context, ggml_tensor* a,
                                      ggml_tensor*) { return ggml_rms_norm(context, a, 1e-6f); }},
        SplitOperation{"rope",
                       [](ggml_context* context, ggml_tensor* a, ggml_tensor*) {
                         ggml_tensor* heads = ggml_reshape_3d(context, a, 64, kWidth / 64, kRows);
                         return ggml_rope(context, heads,
                                          ggml_new_tensor_1d(context, GGML_TYPE_I32, kRows), 64,
                                          GGML_ROPE_TYPE_NEOX);
                       }}),
    [](const auto& operation) { return std::string(operation.param.name); });

TEST(GgmlOperationsTest, SmallOnesAreNotWorthWakingAnyone) {
  ThreadTeam team(2);
  GgmlForward forward(&team, nullptr, nullptr);
  GgmlGraph graph;
  ggml_tensor* a = ggml_new_tensor_2d(graph.tensors(), GGML_TYPE_F32, kWidth, 1);
  EXPECT_EQ(TakeOf(*ggml_add(graph.tensors(), a, a), forward), OperationTake::kNot);
}

TEST(GgmlOperationsTest, OuterProductsAreNamed) {
  ThreadTeam team(1);
  GgmlForward forward(&team, nullptr, nullptr);
  GgmlGraph graph;
  ggml_tensor* a = ggml_new_tensor_2d(graph.tensors(), GGML_TYPE_F32, 8, 4);
  EXPECT_EQ(TakeOf(*ggml_out_prod(graph.tensors(), a, a), forward), OperationTake::kNot);
  EXPECT_EQ(forward.stock_operations().count("OUT_PROD (no kernel of ours)"), 1u);
}

}  // namespace
}  // namespace foretoken
