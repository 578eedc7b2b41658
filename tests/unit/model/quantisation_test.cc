#include "model/quantisation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <set>
#include <string>
#include <vector>

#include "model/gguf_reader.h"
#include "model/gguf_types.h"
#include "testing/gguf_writer.h"

namespace foretoken {
namespace {

using testing::GgufWriter;
using ::testing::HasSubstr;

TEST(QuantisationTest, NamesAreThoseOfTheFileTypes) {
  std::set<std::string_view> names;
  for (const Quantisation& type : Quantisations()) {
    EXPECT_TRUE(names.insert(type.name).second) << type.name;
    EXPECT_EQ(FindQuantisation(type.name)->file_type, type.file_type);
    ASSERT_NE(FindGgmlType(type.tensor_type), nullptr) << type.name;
    if (type.name == "COPY") continue;
    // The file says MXFP4, and llama.cpp's quantiser takes it for mixtures of experts.
    const std::string_view expected = type.name == "MXFP4_MOE" ? "MXFP4" : type.name;
    EXPECT_EQ(GgufFileTypeName(type.file_type), expected);
    // What most matrices get is of the name's family.
    const std::string_view stored = FindGgmlType(type.tensor_type)->name;
    EXPECT_EQ(stored.substr(0, stored.find('_')), type.name.substr(0, type.name.find('_')));
  }
  EXPECT_EQ(names.size(), 36u);
}

TEST(QuantisationTest, AreFoundInAnyCaseAndByTheirFamily) {
  EXPECT_EQ(FindQuantisation("q4_k_m")->name, "Q4_K_M");
  EXPECT_EQ(FindQuantisation("iQ4_Nl")->name, "IQ4_NL");
  EXPECT_EQ(FindQuantisation("q3_k")->name, "Q3_K_M");
  EXPECT_EQ(FindQuantisation("Q4_K")->name, "Q4_K_M");
  EXPECT_EQ(FindQuantisation("q5_K")->name, "Q5_K_M");
  for (const char* wrong : {"", "q4", "q4_0 ", "q4_00", "nvfp4", "2"}) {
    EXPECT_EQ(FindQuantisation(wrong), nullptr) << wrong;
  }
}

QuantiseRequest Request(std::string_view type, bool pure) {
  QuantiseRequest request;
  request.input_path = "a file.gguf";
  request.output_path = "--out";
  request.type = *FindQuantisation(type);
  request.pure = pure;
  return request;
}

TEST(QuantisationTest, ARequestSurvivesTheCommandLine) {
  for (const bool pure : {true, false}) {
    QuantiseRequest request = Request("q4_0", pure);
    request.threads = 3;
    request.importance_path = pure ? "" : "matrix";
    const auto parsed = ParseQuantiseArguments(QuantiseArguments(request));
    ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
    EXPECT_EQ(parsed->input_path, request.input_path);
    EXPECT_EQ(parsed->output_path, request.output_path);
    EXPECT_EQ(parsed->type.name, "Q4_0");
    EXPECT_EQ(parsed->pure, pure);
    EXPECT_EQ(parsed->importance_path, request.importance_path);
    EXPECT_EQ(parsed->threads, 3);
  }
}

TEST(QuantisationTest, OtherCommandLinesAreRefused) {
  const std::vector<std::string> right = QuantiseArguments(Request("q4_0", true));
  for (size_t i = 0; i < right.size(); ++i) {
    if (i == 1 || i == 2 || i == 5) continue;  // any text will do
    std::vector<std::string> wrong = right;
    wrong[i] += "x";
    EXPECT_EQ(ParseQuantiseArguments(wrong).status().code(), StatusCode::kInvalidArgument) << i;
  }
  std::vector<std::string> wrong = right;
  wrong.pop_back();
  EXPECT_FALSE(ParseQuantiseArguments(wrong).ok());
  EXPECT_FALSE(ParseQuantiseArguments({}).ok());
}

constexpr uint32_t kF32 = 0;
constexpr uint32_t kF16 = 1;
constexpr uint32_t kQ40 = 2;
constexpr uint32_t kQ80 = 8;

struct Stored {
  uint32_t embedding = kF32;
  uint32_t matrix = kF32;
  uint32_t odd = kF32;
  uint32_t vector = kF32;
  uint32_t file_type = 0;
};

// One tensor of each kind.
GgufWriter Model(const Stored& stored) {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetUint32("general.file_type", stored.file_type);
  writer.SetStrings("tokenizer.ggml.tokens", {"a", "b"});
  const auto add = [&](const std::string& name, uint32_t type, std::vector<uint64_t> shape) {
    const GgmlType& facts = *FindGgmlType(type);
    uint64_t elements = 1;
    for (const uint64_t extent : shape) elements *= extent;
    writer.AddTensor(name, type, std::move(shape),
                     std::string(elements / facts.block_elements * facts.block_bytes, '\0'));
  };
  add("token_embd.weight", stored.embedding, {64, 2});
  add("blk.0.ffn_up.weight", stored.matrix, {64, 3});
  add("blk.0.odd.weight", stored.odd, {20, 3});  // no whole block of 32
  add("output_norm.weight", stored.vector, {64});
  return writer;
}

GgufFile Parsed(const GgufWriter& writer) {
  auto file = ParseGguf(writer.Bytes(), "model.gguf");
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  return std::move(file).value();
}

class CheckQuantisedTest : public ::testing::Test {
 protected:
  void ExpectRight(const GgufWriter& result, std::string_view type, bool pure) {
    EXPECT_EQ(CheckQuantised(source_, Parsed(result), Request(type, pure)), OkStatus());
  }
  void ExpectWrong(const GgufWriter& result, const std::string& reason, bool pure = false) {
    const Status status = CheckQuantised(source_, Parsed(result), Request("q4_0", pure));
    EXPECT_EQ(status.code(), StatusCode::kDataLoss);
    EXPECT_THAT(status.message(), HasSubstr("model.gguf is wrong: " + reason));
  }

  const GgufFile source_ = Parsed(Model({}));
  const Stored pure_ = {kQ40, kQ40, kF16, kF32, 2};
};

TEST_F(CheckQuantisedTest, WhatWasAskedForIsRight) {
  ExpectRight(Model(pure_), "q4_0", true);
  ExpectRight(Model(pure_), "q4_0", false);
  ExpectRight(Model({kQ80, kQ40, kF32, kF32, 2}), "q4_0", false);  // a mixture
  ExpectRight(Model({}), "f32", true);
  ExpectRight(Model({}), "copy", false);
  ExpectRight(Model({.file_type = 17}), "copy", true);  // as it was, whatever it says
}

TEST_F(CheckQuantisedTest, WhatIsOtherwiseIsNamed) {
  ExpectWrong(Model({kQ80, kQ40, kF16, kF32, 2}), "the tensor token_embd.weight has the type Q8_0",
              /*pure=*/true);
  ExpectWrong(Model({kQ40, kQ40, kF16, kF32, 7}), "its 'general.file_type' is 7, not 2");
  GgufWriter result = Model(pure_);
  result.SetString("general.architecture", "qwen2");
  ExpectWrong(result, "its 'general.architecture' is another one");
  result = Model(pure_);
  result.SetStrings("tokenizer.ggml.tokens", {"a", "c"});
  ExpectWrong(result, "its vocabulary is another one");
  result.Remove("tokenizer.ggml.tokens");
  ExpectWrong(result, "its vocabulary is another one");
  result = Model(pure_);
  result.AddFloatTensor("more", {1}, {0});
  ExpectWrong(result, "5 tensors, not 4");
  GgufWriter other;
  for (const char* name : {"token_embd.weight", "blk.0.ffn_up.weight", "a", "b"}) {
    other.AddFloatTensor(name, {64, 2}, std::vector<float>(128));
  }
  ExpectWrong(other, "the tensor blk.0.ffn_up.weight is 64 x 2, not 64 x 3");
  GgufWriter none;
  for (const char* name : {"a", "b", "c", "d"}) none.AddFloatTensor(name, {1}, {0});
  ExpectWrong(none, "the tensor token_embd.weight is missing");
  const Status copied = CheckQuantised(source_, Parsed(Model(pure_)), Request("copy", false));
  EXPECT_THAT(copied.message(), HasSubstr("the tensor token_embd.weight has the type Q4_0"));
}

}  // namespace
}  // namespace foretoken
