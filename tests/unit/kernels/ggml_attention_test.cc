#include "kernels/ggml_attention.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "unit/kernels/ggml_graph.h"

namespace foretoken {
namespace {

constexpr int64_t kHeadSize = 64;
constexpr int64_t kHeads = 6;
constexpr int64_t kKvHeads = 2;
constexpr int64_t kCells = 160;
constexpr int64_t kRows = 5;

struct Variant {
  const char* name;
  ggml_type type = GGML_TYPE_F16;
  float max_bias = 0;
  float softcap = 0;
  bool sinks = false;
  bool mask = true;
};

// Every cell's position is what a test says.
class SaidPositions : public CellPositions {
 public:
  bool Knows(const ggml_tensor& /*tensor*/) const override { return true; }
  std::span<const int32_t> Of(const ggml_tensor& /*keys*/, int64_t /*cells*/) override {
    return positions;
  }
  std::vector<int32_t> positions;
};

// One attention whose row r sees the cells of position `first_row` + r and before, with cell c's
// content given by `position_of[c]`; a negative one is a cell that nobody sees.
class AttentionGraph {
 public:
  AttentionGraph(const Variant& variant, const std::vector<int32_t>& position_of, int32_t first_row,
                 int64_t rows) {
    const auto cells = static_cast<int64_t>(position_of.size());
    ggml_context* context = graph_.tensors();
    query_ = ggml_new_tensor_3d(context, GGML_TYPE_F32, kHeadSize, kHeads, rows);
    keys_ = ggml_new_tensor_3d(context, variant.type, kHeadSize, kKvHeads, cells);
    values_ = ggml_new_tensor_3d(context, variant.type, kHeadSize, kKvHeads, cells);
    mask_ = ggml_new_tensor_2d(context, GGML_TYPE_F16, cells, rows);
    sinks_ = ggml_new_tensor_1d(context, GGML_TYPE_F32, kHeads);
    result_ = ggml_flash_attn_ext(
        context, ggml_permute(context, query_, 0, 2, 1, 3),
        ggml_permute(context, keys_, 0, 2, 1, 3), ggml_permute(context, values_, 0, 2, 1, 3),
        variant.mask ? mask_ : nullptr, 0.125f, variant.max_bias, variant.softcap);
    if (variant.sinks) ggml_flash_attn_ext_add_sinks(result_, sinks_);
    graph_.Allocate();
    SetFloats(sinks_, RandomFloats(kHeads, 9));
    std::vector<float> queries;
    for (int64_t row = 0; row < rows; ++row) {
      Append(queries,
             RandomFloats(kHeadSize * kHeads, 1000 + static_cast<uint32_t>(first_row + row), 2.0f));
    }
    SetFloats(query_, queries);
    std::vector<float> keys;
    std::vector<float> values;
    for (const int32_t position : position_of) {
      // Cells that nobody sees hold what must not matter.
      const auto seed = static_cast<uint32_t>(position < 0 ? 77777 : position);
      Append(keys, RandomFloats(kHeadSize * kKvHeads, 2 * seed, 2.0f));
      Append(values, RandomFloats(kHeadSize * kKvHeads, 2 * seed + 1));
    }
    SetFloats(keys_, keys);
    SetFloats(values_, values);
    std::vector<ggml_fp16_t> mask;
    for (int64_t row = 0; row < rows; ++row) {
      for (const int32_t position : position_of) {
        const auto distance = static_cast<float>(position - first_row - row);
        const bool seen = position >= 0 && distance <= 0;
        mask.push_back(ggml_fp32_to_fp16(!seen ? -std::numeric_limits<float>::infinity()
                                         : variant.max_bias > 0 ? distance
                                                                : 0.0f));
      }
    }
    ggml_backend_tensor_set(mask_, mask.data(), 0, mask.size() * sizeof(ggml_fp16_t));
  }

  std::vector<float> Compute(GgmlForward* forward) { return graph_.Compute(result_, forward); }

 private:
  static void Append(std::vector<float>& to, const std::vector<float>& values) {
    to.insert(to.end(), values.begin(), values.end());
  }

  GgmlGraph graph_;
  ggml_tensor* query_;
  ggml_tensor* keys_;
  ggml_tensor* values_;
  ggml_tensor* mask_;
  ggml_tensor* sinks_;
  ggml_tensor* result_;
};

std::vector<int32_t> InOrder(int64_t cells) {
  std::vector<int32_t> positions(static_cast<size_t>(cells));
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

class GgmlAttentionTest : public ::testing::TestWithParam<Variant> {
 protected:
  ThreadTeam team_{2};
  SaidPositions positions_;
  GgmlForward forward_{&team_, &positions_, nullptr};
};

TEST_P(GgmlAttentionTest, AgreesWithGgml) {
  positions_.positions = InOrder(kCells);
  AttentionGraph graph(GetParam(), positions_.positions, 90, kRows);
  const std::vector<float> stock = graph.Compute(nullptr);
  const std::vector<float> ours = graph.Compute(&forward_);
  EXPECT_TRUE(forward_.stock_operations().empty());
  ASSERT_EQ(ours.size(), stock.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    // ggml takes queries in the keys' type.
    const bool coarse = GetParam().type == GGML_TYPE_Q8_0 || GetParam().type == GGML_TYPE_BF16;
    ASSERT_NEAR(ours[i], stock[i], coarse ? 0.05 : 0.01) << i;
  }
}

// Without a mask every row sees every cell.
class GgmlMaskedAttentionTest : public GgmlAttentionTest {};

TEST_P(GgmlMaskedAttentionTest, NeitherThePlacesOfCellsNorTheRowsChangeABit) {
  const Variant& variant = GetParam();
  positions_.positions = InOrder(kCells);
  AttentionGraph together(variant, positions_.positions, 90, kRows);
  const std::vector<float> expected = together.Compute(&forward_);
  // The same cells anywhere in a larger cache.
  std::vector<int32_t> scattered = InOrder(kCells);
  scattered.resize(256, -1);
  std::shuffle(scattered.begin(), scattered.end(), std::mt19937(3));
  positions_.positions = scattered;
  for (int64_t row = 0; row < kRows; ++row) {
    AttentionGraph alone(variant, scattered, 90 + static_cast<int32_t>(row), 1);
    const std::vector<float> ours = alone.Compute(&forward_);
    ASSERT_EQ(0, std::memcmp(ours.data(), expected.data() + static_cast<size_t>(row) * ours.size(),
                             ours.size() * sizeof(float)))
        << row;
  }
}

const auto kMaskedVariants = ::testing::Values(
    Variant{.name = "f16"}, Variant{.name = "f32", .type = GGML_TYPE_F32},
    Variant{.name = "bf16", .type = GGML_TYPE_BF16},
    Variant{.name = "q8_0", .type = GGML_TYPE_Q8_0}, Variant{.name = "alibi", .max_bias = 8.0f},
    Variant{.name = "softcap", .softcap = 20.0f}, Variant{.name = "sinks", .sinks = true});
const auto kNameOfVariant = [](const auto& variant) { return std::string(variant.param.name); };
INSTANTIATE_TEST_SUITE_P(Masked, GgmlAttentionTest, kMaskedVariants, kNameOfVariant);
INSTANTIATE_TEST_SUITE_P(Unmasked, GgmlAttentionTest,
                         ::testing::Values(Variant{.name = "no_mask", .mask = false}),
                         kNameOfVariant);
INSTANTIATE_TEST_SUITE_P(Masked, GgmlMaskedAttentionTest, kMaskedVariants, kNameOfVariant);

TEST(GgmlAttentionKindTest, WhatIsLeftToGgmlIsNamed) {
  ThreadTeam team(1);
  SaidPositions positions;
  positions.positions = InOrder(kCells);
  GgmlForward forward(&team, &positions, nullptr);
  AttentionGraph graph({.name = "q4_0", .type = GGML_TYPE_Q4_0}, positions.positions, 90, kRows);
  EXPECT_EQ(graph.Compute(nullptr), graph.Compute(&forward));
  ASSERT_EQ(forward.stock_operations().size(), 1u);
  EXPECT_EQ(*forward.stock_operations().begin(), "FLASH_ATTN_EXT (q4_0)");
}

}  // namespace
}  // namespace foretoken
