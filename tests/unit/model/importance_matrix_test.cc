#include "model/importance_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "testing/gguf_writer.h"
#include "testing/temp_directory.h"

namespace foretoken {
namespace {

using testing::GgufWriter;
using ::testing::HasSubstr;

template <typename T>
void Put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value),
               sizeof(value));  // NOLINT: as it lies in files
}

// The older format: (name, calls, sums) and whatever follows.
std::string Older(int32_t calls = 4) {
  std::string bytes;
  Put<int32_t>(bytes, 2);
  for (const std::string name : {"blk.0.attn_q.weight", "output.weight"}) {
    Put(bytes, static_cast<int32_t>(name.size()));
    bytes += name;
    Put(bytes, calls);
    Put<int32_t>(bytes, 3);
    for (const float sum : {4.0F, 8.0F, 2.0F}) Put(bytes, sum);
  }
  return bytes;
}

class ImportanceMatrixTest : public ::testing::Test {
 protected:
  Result<ImportanceMatrix> Read(const std::string& bytes) {
    return ReadImportanceMatrix(directory_.Write("matrix", bytes));
  }
  void ExpectBroken(const std::string& bytes, const std::string& reason) {
    const Status status = Read(bytes).status();
    EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr("matrix"));
    EXPECT_THAT(status.message(), HasSubstr(reason));
  }

  const testing::TempDirectory directory_;
};

TEST_F(ImportanceMatrixTest, OfGgufIsTheMeanForEveryExpert) {
  GgufWriter writer;
  writer.AddFloatTensor("blk.0.ffn_up_exps.weight.in_sum2", {3, 2}, {2, 4, 6, 9, 9, 9});
  writer.AddFloatTensor("blk.0.ffn_up_exps.weight.counts", {1, 2}, {2, 0});
  writer.AddFloatTensor("output.weight.counts", {1}, {10});
  writer.AddFloatTensor("output.weight.in_sum2", {2}, {5, 10});
  const auto matrix = Read(writer.Bytes());
  ASSERT_TRUE(matrix.ok()) << matrix.status().ToString();
  EXPECT_EQ(*matrix, (ImportanceMatrix{{"blk.0.ffn_up_exps.weight", {1, 2, 3, 1, 1, 1}},
                                       {"output.weight", {0.5, 1}}}));
}

TEST_F(ImportanceMatrixTest, OfTheOlderFormatIsTheMeanOverTheCalls) {
  const ImportanceMatrix expected = {{"blk.0.attn_q.weight", {1, 2, 0.5}},
                                     {"output.weight", {1, 2, 0.5}}};
  for (const std::string& more : {std::string(), std::string("\x08\0\0\0\x04\0\0\0text", 12)}) {
    const auto matrix = Read(Older() + more);
    ASSERT_TRUE(matrix.ok()) << matrix.status().ToString();
    EXPECT_EQ(*matrix, expected);
  }
  EXPECT_EQ(Read(Older(0))->at("output.weight"), (std::vector<float>{4, 8, 2}));
}

TEST_F(ImportanceMatrixTest, AGgufFileWithoutWhatItNeedsIsRefused) {
  ExpectBroken(testing::SmallGguf().Bytes(), "no tensor's name ends in '.in_sum2'");
  GgufWriter writer;
  writer.AddFloatTensor("a.in_sum2", {4}, {1, 2, 3, 4});
  ExpectBroken(writer.Bytes(), "a.in_sum2 has no counts that fit");
  GgufWriter odd = writer;
  odd.AddFloatTensor("a.counts", {3}, {1, 2, 3});
  ExpectBroken(odd.Bytes(), "a.in_sum2 has no counts that fit");
  GgufWriter halves = writer;
  halves.AddTensor("a.counts", 1, {1}, std::string(2, '\0'));
  ExpectBroken(halves.Bytes(), "a.counts is not in F32");
  GgufWriter infinite;
  infinite.AddFloatTensor("a.in_sum2", {1}, {std::numeric_limits<float>::infinity()});
  infinite.AddFloatTensor("a.counts", {1}, {1});
  ExpectBroken(infinite.Bytes(), "what it has for a is not finite");
  const std::string bytes = writer.Bytes();
  ExpectBroken(bytes.substr(0, bytes.size() / 2), "");
}

// Wherever it is cut, and whatever its numbers say.
TEST_F(ImportanceMatrixTest, ABrokenOlderFileIsRefused) {
  const std::string whole = Older();
  for (size_t size = 0; size < whole.size(); ++size) {
    ExpectBroken(whole.substr(0, size), size < 4 ? "no entries" : "is not whole");
  }
  constexpr size_t kNumbers[] = {0, 4, 4 + 4 + 19 + 4};  // entries, bytes of a name, values
  for (const size_t offset : kNumbers) {
    for (const int32_t number :
         {-1, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}) {
      std::string broken = whole;
      std::memcpy(broken.data() + offset, &number, sizeof(number));
      ExpectBroken(broken, "");
    }
  }
}

TEST_F(ImportanceMatrixTest, AMissingFileIsNotFound) {
  const Status status = ReadImportanceMatrix(directory_.path() + "/absent").status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("absent: No such file"));
}

}  // namespace
}  // namespace foretoken
