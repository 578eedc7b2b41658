#include "kernels/matmul.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "testing/weight_matrix.h"

namespace foretoken {
namespace {

std::string NameOf(const ::testing::TestParamInfo<WeightType>& info) {
  return WeightTypeName(info.param);
}

// Columns of normally distributed floats, with exact zeros, outliers and small blocks among them.
std::vector<std::vector<float>> RandomColumns(int64_t count, int64_t inputs,
                                              std::mt19937_64& random) {
  std::normal_distribution<float> bell(0, 1);
  std::vector<std::vector<float>> columns(static_cast<size_t>(count));
  for (std::vector<float>& column : columns) {
    column.resize(static_cast<size_t>(inputs));
    for (float& x : column) {
      x = bell(random);
      if (random() % 50 == 0) x *= 20;
      if (random() % 50 == 0) x = 0;
    }
  }
  return columns;
}

struct Setting {
  InstructionSet set = InstructionSet::kGeneric;
  int32_t threads = 1;
  bool packed = true;
};

// Products of `weights` with `columns`: result[column][row].
std::vector<std::vector<float>> Multiply(const WeightMatrix& weights,
                                         const std::vector<std::vector<float>>& columns,
                                         const Setting& setting) {
  std::vector<std::vector<float>> outputs(columns.size());
  std::vector<const float*> inputs;
  std::vector<float*> results;
  for (size_t c = 0; c < columns.size(); ++c) {
    outputs[c].assign(static_cast<size_t>(weights.rows), -77.0f);
    inputs.push_back(columns[c].data());
    results.push_back(outputs[c].data());
  }
  MatMulJob job;
  job.type = weights.type;
  job.rows = weights.rows;
  job.columns = weights.columns;
  job.weights = weights.data();
  job.row_bytes = weights.row_bytes;
  job.inputs = inputs;
  job.outputs = results;
  std::vector<uint8_t> packed;
  if (setting.packed && CanPack(weights.type, weights.columns)) {
    packed.resize(PackedBytes(weights.type, weights.rows, weights.columns));
    PackTiles({weights.type, weights.rows, weights.columns, weights.data(), weights.row_bytes,
               packed.data()},
              0, (weights.rows + 15) / 16, setting.set);
    job.weights = packed.data();
    job.packed = true;
  }
  ThreadTeam team(setting.threads);
  std::vector<uint8_t> scratch(MatMulScratchBytes(job, team.size()));
  team.Run([&](TeamMember& member) { MatMul(job, scratch.data(), member, setting.set); });
  return outputs;
}

class MatMulTest : public ::testing::TestWithParam<WeightType> {};

TEST_P(MatMulTest, EverySettingGivesTheSameBits) {
  std::mt19937_64 random(1);
  for (const auto& [rows, inputs] : {std::pair<int64_t, int64_t>{37, 768}, {16, 256}, {5, 1280}}) {
    const WeightMatrix weights = RandomWeights(GetParam(), rows, inputs, random);
    const auto columns = RandomColumns(64, inputs, random);
    const auto expected = Multiply(weights, columns, {InstructionSet::kGeneric, 1, true});
    for (const InstructionSet set : SupportedInstructionSets()) {
      for (size_t n = 1; n <= columns.size(); n += set == InstructionSet::kGeneric ? 7 : 1) {
        Setting setting;
        setting.set = set;
        setting.threads = 1 + static_cast<int32_t>(n % 4);
        setting.packed = n % 3 != 0;
        // Any n of the columns, not always the first ones.
        const auto some =
            std::vector(columns.end() - static_cast<std::ptrdiff_t>(n), columns.end());
        const auto result = Multiply(weights, some, setting);
        for (size_t c = 0; c < n; ++c) {
          ASSERT_EQ(std::memcmp(result[c].data(), expected[columns.size() - n + c].data(),
                                static_cast<size_t>(rows) * sizeof(float)),
                    0)
              << InstructionSetName(set) << " n " << n << " column " << c << " rows " << rows;
        }
      }
    }
  }
}

TEST_P(MatMulTest, IsTheProductUpToTheRoundingOfItsInput) {
  std::mt19937_64 random(2);
  constexpr int64_t kRows = 33, kInputs = 1024;
  const WeightMatrix weights = RandomWeights(GetParam(), kRows, kInputs, random);
  const auto columns = RandomColumns(3, kInputs, random);
  const auto result = Multiply(weights, columns, {});
  for (size_t c = 0; c < columns.size(); ++c) {
    for (int64_t row = 0; row < kRows; ++row) {
      const std::vector<double> values = weights.Dequantize(row);
      double product = 0, allowed = 0;
      const size_t block = static_cast<size_t>(weights.InputBlock());
      for (size_t at = 0; at < values.size(); at += block) {
        double largest = 0;
        for (size_t i = at; i < at + block; ++i) {
          product += values[i] * static_cast<double>(columns[c][i]);
          largest = std::max(largest, std::abs(static_cast<double>(columns[c][i])));
        }
        for (size_t i = at; i < at + block; ++i) {
          // Half a step of the input, and the roundings of the sum.
          allowed += std::abs(values[i]) * largest * (block > 1 ? 0.5001 / 127 : 1e-5) + 1e-6;
        }
      }
      ASSERT_NEAR(result[c][static_cast<size_t>(row)], product, allowed) << "row " << row;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MatMulTest, ::testing::ValuesIn(kAllWeightTypes), NameOf);

}  // namespace
}  // namespace foretoken
