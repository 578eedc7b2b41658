#include "kernels/ggml_weight_buffer.h"

#include <set>

#include <gtest/gtest.h>

#include "unit/kernels/ggml_graph.h"

namespace foretoken {
namespace {

TEST(GgmlWeightBufferTest, TypesAreToldApart) {
  std::set<WeightType> types;
  int known = 0;
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    if (const auto type = WeightTypeOf(static_cast<ggml_type>(i))) {
      types.insert(*type);
      ++known;
    }
  }
  EXPECT_EQ(known, 12);
  EXPECT_EQ(types.size(), 12u);
  EXPECT_FALSE(WeightTypeOf(GGML_TYPE_I32));
}

TEST(GgmlWeightBufferTest, WholeMatricesOfQuantisedTypesArePackable) {
  GgmlGraph graph;
  ggml_context* context = graph.weights();
  EXPECT_TRUE(IsPackable(*ggml_new_tensor_2d(context, GGML_TYPE_Q4_K, 512, 3)));
  EXPECT_TRUE(IsPackable(*ggml_new_tensor_3d(context, GGML_TYPE_Q8_0, 96, 3, 4)));
  EXPECT_FALSE(IsPackable(*ggml_new_tensor_2d(context, GGML_TYPE_F16, 512, 3)));
  EXPECT_FALSE(IsPackable(*ggml_new_tensor_2d(context, GGML_TYPE_Q2_K, 512, 3)));
  ggml_tensor* whole = ggml_new_tensor_2d(context, GGML_TYPE_Q4_K, 512, 8);
  EXPECT_FALSE(IsPackable(*ggml_view_2d(context, whole, 256, 8, whole->nb[1], 0)));
}

TEST(GgmlWeightBufferTest, ATensorTakesItsPackedMatrices) {
  GgmlGraph graph;
  ggml_backend_buffer_type_t type = PackedWeightBufferType(nullptr);
  ggml_tensor* experts = ggml_new_tensor_3d(graph.weights(), GGML_TYPE_Q4_K, 256, 20, 3);
  EXPECT_EQ(ggml_backend_buft_get_alloc_size(type, experts), 3 * PackedMatrixBytes(*experts));
  EXPECT_GE(PackedMatrixBytes(*experts), ggml_row_size(GGML_TYPE_Q4_K, 256) * 32);
}

}  // namespace
}  // namespace foretoken
