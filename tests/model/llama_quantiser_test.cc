// llama.cpp's quantiser, with models that the tests write themselves.
#include "model/llama_quantiser.h"

#include <ggml.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "model/gguf_reader.h"
#include "model/llama_fixture.h"
#include "testing/gguf_writer.h"

namespace foretoken {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class LlamaQuantiserTest : public LlamaTest {
 protected:
  QuantiseRequest Request(const std::string& input, std::string_view type, bool pure) {
    QuantiseRequest request;
    request.input_path = input;
    request.output_path = directory_.path() + "/out.gguf";
    request.type = *FindQuantisation(type);
    request.pure = pure;
    request.threads = 2;
    return request;
  }

  // A description without a model, and one matrix whose rows are blocks of every type.
  std::string WideMatrix() {
    testing::GgufWriter writer;
    writer.SetString("general.architecture", "llama");
    writer.SetUint32("llama.context_length", 64);
    writer.SetUint32("llama.embedding_length", 256);
    writer.SetUint32("llama.block_count", 1);
    writer.SetUint32("llama.feed_forward_length", 256);
    writer.SetUint32("llama.attention.head_count", 4);
    writer.SetFloat("llama.attention.layer_norm_rms_epsilon", 1e-5F);
    writer.SetUint32("llama.vocab_size", 4);
    writer.SetString("tokenizer.ggml.model", "no_vocab");
    std::vector<float> values(2 * 256);
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i) * 0.37F);
    writer.AddFloatTensor("blk.0.ffn_up.weight", {256, 2}, values);
    return Write("wide.gguf", writer.Bytes());
  }
  std::string ImportanceOfWideMatrix() {
    testing::GgufWriter writer;
    std::vector<float> sums(256);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = 1 + static_cast<float>(i % 7);
    writer.AddFloatTensor("blk.0.ffn_up.weight.in_sum2", {256}, sums);
    writer.AddFloatTensor("blk.0.ffn_up.weight.counts", {1}, {2});
    return Write("importance.gguf", writer.Bytes());
  }

  std::string Bytes(const GgufFile& file, const std::string& tensor) {
    const GgufTensor& found = *file.FindTensor(tensor);
    std::ifstream in(file.name(), std::ios::binary);
    in.seekg(static_cast<std::streamoff>(found.offset));
    std::string bytes(found.bytes, '\0');
    in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    EXPECT_TRUE(in.good());
    return bytes;
  }
};

uint16_t HalfOf(float value) {
  return ggml_fp32_to_fp16(value);
}

// Q4_0 by its definition: blocks of 32 with a scale, so that the value furthest from 0 becomes -8;
// the first half of a block in the low bits, the second in the high ones.
std::string ReferenceQ40(const std::vector<float>& values) {
  std::string bytes;
  for (size_t block = 0; block < values.size(); block += 32) {
    float furthest = 0;
    for (size_t i = 0; i < 32; ++i) {
      if (std::abs(values[block + i]) > std::abs(furthest)) furthest = values[block + i];
    }
    const float scale = furthest / -8;
    const float inverse = scale != 0 ? 1 / scale : 0;
    const uint16_t half = HalfOf(scale);
    bytes.append(reinterpret_cast<const char*>(&half), sizeof(half));  // NOLINT: as in the file
    const auto code = [&](size_t i) {
      return std::min(15, static_cast<int>(values[block + i] * inverse + 8.5F));
    };
    for (size_t i = 0; i < 16; ++i) bytes += static_cast<char>(code(i) | code(i + 16) << 4);
  }
  return bytes;
}

TEST_F(LlamaQuantiserTest, Q40IsWhatItsDefinitionSays) {
  const std::string input = Write("tiny.gguf", testing::TinyLlamaGguf(1).Bytes());
  const QuantiseRequest request = Request(input, "q4_0", /*pure=*/true);
  std::vector<std::string> tensors;
  uint64_t announced = 0;
  const Status status =
      QuantiseWithLlama(request, {[&](uint64_t bytes) { announced = bytes; },
                                  [&](std::string_view name) { tensors.emplace_back(name); }});
  ASSERT_EQ(status, OkStatus());
  const auto source = ReadGgufFile(input);
  const auto result = ReadGgufFile(request.output_path);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(CheckQuantised(*source, *result, request), OkStatus());
  uint64_t bytes = 0;
  for (const GgufTensor& tensor : source->tensors()) {
    const GgufTensor& made = *result->FindTensor(tensor.name);
    bytes += made.bytes;
    EXPECT_THAT(tensors, Contains(tensor.name));
    const std::string before = Bytes(*source, tensor.name);
    if (tensor.shape.size() < 2) {
      EXPECT_EQ(Bytes(*result, tensor.name), before);
      continue;
    }
    EXPECT_EQ(made.type->name, "Q4_0");
    std::vector<float> values(tensor.elements);
    std::memcpy(values.data(), before.data(), before.size());
    EXPECT_EQ(Bytes(*result, tensor.name), ReferenceQ40(values)) << tensor.name;
  }
  EXPECT_EQ(tensors.size(), source->tensors().size());
  EXPECT_NEAR(static_cast<double>(announced), static_cast<double>(bytes), 1 << 14);
  // It is a model still.
  const auto model = loader_->Load({.id = "q", .path = request.output_path});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
}

TEST_F(LlamaQuantiserTest, EveryTypeIsMade) {
  const std::string input = WideMatrix();
  for (const Quantisation& type : Quantisations()) {
    QuantiseRequest request = Request(input, type.name, /*pure=*/true);
    request.importance_path = ImportanceOfWideMatrix();
    ASSERT_EQ(QuantiseWithLlama(request, {}), OkStatus()) << type.name;
    const auto source = ReadGgufFile(input);
    const auto result = ReadGgufFile(request.output_path);
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    EXPECT_EQ(CheckQuantised(*source, *result, request), OkStatus()) << type.name;
    EXPECT_EQ(result->FindTensor("blk.0.ffn_up.weight")->type->id, type.tensor_type) << type.name;
  }
}

TEST_F(LlamaQuantiserTest, AnImportanceMatrixMovesTheRounding) {
  const std::string input = WideMatrix();
  QuantiseRequest request = Request(input, "q4_0", true);
  ASSERT_EQ(QuantiseWithLlama(request, {}), OkStatus());
  const std::string plain = Bytes(*ReadGgufFile(request.output_path), "blk.0.ffn_up.weight");
  request.importance_path = ImportanceOfWideMatrix();
  ASSERT_EQ(QuantiseWithLlama(request, {}), OkStatus());
  EXPECT_NE(Bytes(*ReadGgufFile(request.output_path), "blk.0.ffn_up.weight"), plain);
}

TEST_F(LlamaQuantiserTest, WhatItCannotDoIsSaidInALine) {
  const auto fails = [&](const QuantiseRequest& request, const std::string& words) {
    const Status status = QuantiseWithLlama(request, {});
    EXPECT_THAT(status.message(), HasSubstr(words)) << status.ToString();
    EXPECT_EQ(status.message().find('\n'), std::string::npos);
    return status.code();
  };
  EXPECT_EQ(fails(Request(WideMatrix(), "iq2_xs", true), "requires an imatrix"),
            StatusCode::kInternal);
  EXPECT_EQ(fails(Request(directory_.path() + "/absent.gguf", "q4_0", true), "absent.gguf"),
            StatusCode::kInternal);
  QuantiseRequest request = Request(WideMatrix(), "q4_0", true);
  request.importance_path = Write("matrix", "nothing");
  EXPECT_EQ(fails(request, "is no importance matrix"), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace foretoken
