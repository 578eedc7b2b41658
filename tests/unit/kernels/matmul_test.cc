#include "kernels/matmul.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "testing/weight_matrix.h"

namespace foretoken {
namespace {

using Columns = std::vector<std::vector<float>>;

constexpr uint32_t kQuietNan = 0x7fc00000;

std::string NameOf(const ::testing::TestParamInfo<WeightType>& info) {
  return WeightTypeName(info.param);
}

// Columns of normally distributed floats with zeros and outliers among them; every eighth column is
// as large as can be everywhere.
Columns RandomColumns(size_t count, int64_t inputs, std::mt19937_64& random) {
  std::normal_distribution<float> bell(0, 1);
  Columns columns(count);
  for (size_t c = 0; c < count; ++c) {
    columns[c].resize(static_cast<size_t>(inputs));
    for (float& x : columns[c]) {
      x = bell(random);
      if (random() % 50 == 0) x *= 20;
      if (random() % 50 == 0) x = 0;
      if (c % 8 == 7) x = c % 16 == 7 || x > 0 ? 3.0f : -3.0f;
    }
  }
  return columns;
}

// A product to compute and where its results go.
class Product {
 public:
  Product(const WeightMatrix& weights, const Columns& columns) : weights_(weights) {
    for (const std::vector<float>& column : columns) {
      outputs_.emplace_back(static_cast<size_t>(weights.rows), -77.0f);
      inputs_.push_back(column.data());
    }
    for (std::vector<float>& output : outputs_) output_pointers_.push_back(output.data());
  }

  void Pack(InstructionSet set) {
    if (!CanPack(weights_.type, weights_.columns)) return;
    packed_.assign(PackedBytes(weights_.type, weights_.rows, weights_.columns), 0xee);
    const PackJob job = {weights_.type,   weights_.rows,      weights_.columns,
                         weights_.data(), weights_.row_bytes, packed_.data()};
    // In two ranges, the later one first.
    const int64_t tiles = (weights_.rows + kMatMulTileRows - 1) / kMatMulTileRows;
    PackTiles(job, tiles / 2, tiles, set);
    PackTiles(job, 0, tiles / 2, set);
  }

  MatMulJob job() const {
    MatMulJob job = {weights_.type, weights_.rows, weights_.columns};
    job.packed = !packed_.empty();
    job.weights = job.packed ? packed_.data() : weights_.data();
    job.row_bytes = weights_.row_bytes;
    job.inputs = inputs_;
    job.outputs = output_pointers_;
    return job;
  }

  const std::vector<uint8_t>& packed() const { return packed_; }
  const Columns& outputs() const { return outputs_; }

 private:
  const WeightMatrix& weights_;
  std::vector<uint8_t> packed_;
  std::vector<const float*> inputs_;
  Columns outputs_;
  std::vector<float*> output_pointers_;
};

struct Setting {
  InstructionSet set = InstructionSet::kGeneric;
  int32_t threads = 1;
  bool packed = true;
};

// result[column][row]
Columns Multiply(const WeightMatrix& weights, const Columns& columns, const Setting& setting) {
  Product product(weights, columns);
  if (setting.packed) product.Pack(setting.set);
  const MatMulJob job = product.job();
  ThreadTeam team(setting.threads);
  std::vector<uint8_t> scratch(MatMulScratchBytes(job, team.size()), 0xee);
  team.Run([&](TeamMember& member) { MatMul(job, scratch.data(), member, setting.set); });
  return product.outputs();
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

class MatMulTest : public ::testing::TestWithParam<WeightType> {
 protected:
  bool IsFloat() const { return GetParam() < WeightType::kQ4_0; }

  void ExpectTheSameBitsEverywhere(const WeightMatrix& weights, const Columns& columns) {
    const Columns expected = Multiply(weights, columns, {});
    for (const InstructionSet set : SupportedInstructionSets()) {
      for (const bool packed : {false, true}) {
        const Columns result = Multiply(weights, columns, {set, 2, packed});
        for (size_t c = 0; c < columns.size(); ++c) {
          EXPECT_TRUE(SameBits(result[c], expected[c]))
              << InstructionSetName(set) << " column " << c << " packed " << packed;
        }
      }
    }
  }
};

TEST_P(MatMulTest, AColumnHasTheSameBitsInEverySetting) {
  std::mt19937_64 random(1);
  constexpr size_t kMost = 64;
  const int64_t odd = IsFloat() ? 5 : 0;
  for (const auto& [rows, inputs] : {std::pair<int64_t, int64_t>{37, 768 + odd}, {5, 1280 - odd}}) {
    const WeightMatrix weights = RandomWeights(GetParam(), rows, inputs, random);
    const Columns columns = RandomColumns(kMost, inputs, random);
    const Columns expected = Multiply(weights, columns, {});
    for (const InstructionSet set : SupportedInstructionSets()) {
      for (size_t n = 1; n <= kMost; n += set == InstructionSet::kGeneric ? 9 : 1) {
        const Setting setting = {set, 1 + static_cast<int32_t>(n % 4), n % 3 != 0};
        const size_t first = kMost - n;
        const Columns some(columns.begin() + static_cast<std::ptrdiff_t>(first), columns.end());
        const Columns result = Multiply(weights, some, setting);
        for (size_t c = 0; c < n; ++c) {
          ASSERT_TRUE(SameBits(result[c], expected[first + c]))
              << InstructionSetName(set) << " n " << n << " column " << c << " rows " << rows;
        }
      }
    }
  }
}

TEST_P(MatMulTest, MoreColumnsThanArePutTogetherAreNoDifferent) {
  std::mt19937_64 random(2);
  const WeightMatrix weights = RandomWeights(GetParam(), 40, 512, random);
  const Columns columns = RandomColumns(150, 512, random);
  const Columns alone = Multiply(weights, {columns[149]}, {});
  for (const InstructionSet set : SupportedInstructionSets()) {
    EXPECT_TRUE(SameBits(Multiply(weights, columns, {set, 3, true})[149], alone[0]));
  }
}

// Integers of up to 127, one of them in every block, are quantised without an error: what is left
// are the roundings of floats.
TEST_P(MatMulTest, IsTheProductOfWhatTheWeightsStandFor) {
  std::mt19937_64 random(3);
  constexpr int64_t kRows = 41, kInputs = 1024;
  const WeightMatrix weights = RandomWeights(GetParam(), kRows, kInputs, random);
  Columns columns = RandomColumns(9, kInputs, random);
  for (std::vector<float>& column : columns) {
    for (size_t i = 0; i < column.size(); ++i) {
      column[i] = std::clamp(std::round(column[i] * 40), -127.0f, 127.0f);
      if (i % 32 == random() % 32 || i % 32 == 31) column[i] = 127;
    }
  }
  for (const InstructionSet set : SupportedInstructionSets()) {
    const Columns result = Multiply(weights, columns, {set, 2, true});
    for (int64_t row = 0; row < kRows; ++row) {
      const std::vector<double> values = weights.Dequantize(row);
      for (size_t c = 0; c < columns.size(); ++c) {
        double product = 0, size = 0;
        for (size_t i = 0; i < values.size(); ++i) {
          const double term = values[i] * static_cast<double>(columns[c][i]);
          product += term;
          size += std::abs(term);
        }
        ASSERT_NEAR(static_cast<double>(result[c][static_cast<size_t>(row)]), product, 2e-6 * size)
            << InstructionSetName(set) << " row " << row << " column " << c;
      }
    }
  }
}

TEST_P(MatMulTest, IsOffByNoMoreThanHalfAStepOfTheInput) {
  std::mt19937_64 random(4);
  constexpr int64_t kRows = 33, kInputs = 1024;
  const WeightMatrix weights = RandomWeights(GetParam(), kRows, kInputs, random);
  const Columns columns = RandomColumns(3, kInputs, random);
  const Columns result = Multiply(weights, columns, {});
  const size_t block = IsFloat() ? 1 : static_cast<size_t>(weights.InputBlock());
  for (int64_t row = 0; row < kRows; ++row) {
    const std::vector<double> values = weights.Dequantize(row);
    for (size_t c = 0; c < columns.size(); ++c) {
      double product = 0, allowed = 0;
      for (size_t at = 0; at < values.size(); at += block) {
        double largest = 0, size = 0;
        for (size_t i = at; i < at + block; ++i) {
          const double x = static_cast<double>(columns[c][i]);
          product += values[i] * x;
          largest = std::max(largest, std::abs(x));
          size += std::abs(values[i]);
        }
        allowed += size * largest * (IsFloat() ? 2e-6 : 0.5 / 127 + 2e-6);
      }
      ASSERT_NEAR(static_cast<double>(result[c][static_cast<size_t>(row)]), product, allowed);
    }
  }
}

TEST_P(MatMulTest, AnInfinityOrNanMakesItsColumnNanAndNoOther) {
  std::mt19937_64 random(5);
  constexpr size_t kColumns = 14;
  const WeightMatrix weights = RandomWeights(GetParam(), 20, 512, random);
  const Columns clean = RandomColumns(kColumns, 512, random);
  const Columns expected = Multiply(weights, clean, {});
  Columns columns = clean;
  columns[2][511] = std::numeric_limits<float>::quiet_NaN();
  columns[5][0] = -std::numeric_limits<float>::quiet_NaN();
  columns[9][40] = std::numeric_limits<float>::infinity();
  columns[9][300] = -std::numeric_limits<float>::infinity();
  for (const InstructionSet set : SupportedInstructionSets()) {
    const Columns result = Multiply(weights, columns, {set, 2, true});
    for (size_t c = 0; c < kColumns; ++c) {
      if (c != 2 && c != 5 && c != 9) {
        EXPECT_TRUE(SameBits(result[c], expected[c])) << InstructionSetName(set) << " " << c;
        continue;
      }
      for (const float value : result[c]) {
        // With float weights, an infinity of each sign may meet weights of any sign or zero.
        if (IsFloat() && c == 9 && !std::isnan(value)) {
          EXPECT_TRUE(std::isinf(value));
        } else {
          EXPECT_EQ(BitsOf(value), kQuietNan) << InstructionSetName(set) << " " << c;
        }
      }
    }
  }
}

TEST_P(MatMulTest, HugeAndTinyInputsAreNoDifferent) {
  std::mt19937_64 random(6);
  const WeightMatrix weights = RandomWeights(GetParam(), 24, 1024, random);
  Columns columns = RandomColumns(6, 1024, random);
  const float largest = std::numeric_limits<float>::max();
  const float scales[] = {largest / 128, 1e30f, 1e-28f, 1e-33f, 1e-38f, 1e-44f};
  for (size_t c = 0; c < columns.size(); ++c) {
    for (float& x : columns[c]) {
      x = std::clamp(x * scales[c], -largest, largest);
    }
  }
  columns[0][3] = largest;
  columns[5][700] = 1.0f;  // in one block; the others are denormal
  ExpectTheSameBitsEverywhere(weights, columns);
  if (IsFloat()) return;
  const Columns result = Multiply(weights, columns, {});
  for (const float value : result[4]) EXPECT_EQ(value, 0.0f);
  for (size_t i = 0; i < columns[5].size(); ++i) columns[5][i] = i == 700 ? 1.0f : 0.0f;
  EXPECT_EQ(Multiply(weights, columns, {})[5], result[5]);
}

// Scales that are infinite or NaN, and everything else: what a broken file may hold.
TEST_P(MatMulTest, AnyBytesAreWeights) {
  std::mt19937_64 random(7);
  WeightMatrix weights = RandomWeights(GetParam(), 50, 512, random);
  for (uint8_t& byte : weights.bytes) byte = static_cast<uint8_t>(random());
  ExpectTheSameBitsEverywhere(weights, RandomColumns(5, 512, random));
}

TEST_P(MatMulTest, PackedBytesAreTheSameFromAllAndHardlyMoreThanGguf) {
  if (IsFloat()) {
    EXPECT_FALSE(CanPack(GetParam(), 1024));
    return;
  }
  std::mt19937_64 random(8);
  const WeightMatrix weights = RandomWeights(GetParam(), 45, 768, random);
  EXPECT_TRUE(CanPack(GetParam(), 768));
  EXPECT_FALSE(CanPack(GetParam(), 752));
  Product expected(weights, {});
  expected.Pack(InstructionSet::kGeneric);
  const size_t gguf_bytes = 48 * (weights.row_bytes - kRowGap);
  EXPECT_GE(expected.packed().size(), gguf_bytes);
  EXPECT_LT(expected.packed().size(), gguf_bytes + 3 * 64);
  for (const InstructionSet set : SupportedInstructionSets()) {
    Product product(weights, {});
    product.Pack(set);
    EXPECT_EQ(product.packed(), expected.packed()) << InstructionSetName(set);
  }
}

TEST_P(MatMulTest, NothingToComputeIsNoError) {
  std::mt19937_64 random(9);
  const WeightMatrix none = RandomWeights(GetParam(), 0, 256, random);
  EXPECT_TRUE(
      Multiply(none, RandomColumns(3, 256, random), {BestInstructionSet(), 2, true})[2].empty());
  const WeightMatrix weights = RandomWeights(GetParam(), 16, 256, random);
  EXPECT_TRUE(Multiply(weights, {}, {BestInstructionSet(), 2, true}).empty());
  const WeightMatrix no_inputs = RandomWeights(GetParam(), 16, 0, random);
  const Columns zeros = Multiply(no_inputs, Columns(2), {BestInstructionSet(), 2, true});
  EXPECT_EQ(zeros, Columns(2, std::vector<float>(16, 0.0f)));
}

INSTANTIATE_TEST_SUITE_P(Types, MatMulTest, ::testing::ValuesIn(kAllWeightTypes), NameOf);

// Several matrices with one input, and the next ones in the same run and scratch memory.
TEST(MatMulJobsTest, JobsWithOneInputAreAsThoseAlone) {
  std::mt19937_64 random(10);
  constexpr int64_t kInputs = 512;
  for (const size_t n : {1, 7, 70}) {
    const Columns columns = RandomColumns(n, kInputs, random);
    std::vector<WeightMatrix> weights;
    for (const WeightType type : kAllWeightTypes) {
      weights.push_back(
          RandomWeights(type, static_cast<int64_t>(10 + random() % 90), kInputs, random));
    }
    for (const InstructionSet set : SupportedInstructionSets()) {
      std::vector<Product> products;
      products.reserve(weights.size());
      std::vector<MatMulJob> jobs;
      for (const WeightMatrix& matrix : weights) {
        products.emplace_back(matrix, columns);
        if (matrix.type != WeightType::kQ5K) products.back().Pack(set);
        jobs.push_back(products.back().job());
        jobs.back().inputs = jobs.front().inputs;
      }
      const std::span<const MatMulJob> all = jobs;
      ThreadTeam team(3);
      std::vector<uint8_t> scratch(MatMulScratchBytes(all, team.size()));
      team.Run([&](TeamMember& member) {
        MatMul(all.first(5), scratch.data(), member, set);
        MatMul(all.subspan(5), scratch.data(), member, set);
      });
      for (size_t i = 0; i < weights.size(); ++i) {
        EXPECT_EQ(products[i].outputs(), Multiply(weights[i], columns, {set, 1, true}))
            << InstructionSetName(set) << " " << WeightTypeName(weights[i].type);
      }
    }
  }
}

}  // namespace
}  // namespace foretoken
