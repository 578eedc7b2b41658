#include "model/gguf_model_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "model/gguf_reader.h"
#include "testing/gguf_writer.h"

namespace foretoken {
namespace {

using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::SmallGguf;

Status CheckBytes(const std::string& bytes) {
  auto file = ParseGguf(bytes, "test");
  if (!file.ok()) return file.status();
  return CheckGgufModel(*file);
}

TEST(GgufModelCheckTest, AcceptsModels) {
  EXPECT_EQ(CheckBytes(SmallGguf().Bytes()), OkStatus());
  EXPECT_EQ(CheckBytes(testing::TinyLlamaGguf(1).Bytes()), OkStatus());
}

TEST(GgufModelCheckTest, AcceptsTheFormsThatRealModelsUse) {
  GgufWriter writer = SmallGguf();
  writer.SetString("general.type", "model");
  writer.SetInts("llama.attention.head_count", {2});
  writer.SetInts("llama.attention.head_count_kv", {0});  // a layer without attention
  writer.SetUint32("llama.expert_count", 4);
  writer.SetUint32("llama.expert_used_count", 2);
  writer.SetString("llama.rope.scaling.type", "yarn");
  writer.SetStrings("tokenizer.ggml.tokens", {"a", "", "", "<|im_end|>"});
  writer.SetUint32("tokenizer.ggml.bos_token_id", 4'294'967'295u);  // none; nothing adds it
  EXPECT_EQ(CheckBytes(writer.Bytes()), OkStatus());
}

struct WrongModel {
  const char* words;
  void (*change)(GgufWriter&);
  StatusCode code = StatusCode::kDataLoss;
};

class WrongModelTest : public ::testing::TestWithParam<WrongModel> {};

TEST_P(WrongModelTest, IsRefusedWithTheReason) {
  GgufWriter writer = SmallGguf();
  GetParam().change(writer);
  const Status status = CheckBytes(writer.Bytes());
  EXPECT_EQ(status.code(), GetParam().code) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr(GetParam().words));
}

using W = GgufWriter;
constexpr StatusCode kArgument = StatusCode::kInvalidArgument;
constexpr StatusCode kUnimplemented = StatusCode::kUnimplemented;

INSTANTIATE_TEST_SUITE_P(
    Kind, WrongModelTest,
    ::testing::Values(WrongModel{"'general.architecture' is missing",
                                 [](W& w) { w.Remove("general.architecture"); }},
                      WrongModel{"'general.architecture' is missing",
                                 [](W& w) { w.SetUint32("general.architecture", 1); }},
                      WrongModel{"a part of a model",
                                 [](W& w) { w.SetString("general.type", "adapter"); }, kArgument},
                      WrongModel{"one of 3 parts", [](W& w) { w.SetUint32("split.count", 3); },
                                 kUnimplemented},
                      WrongModel{"holds no weights",
                                 [](W& w) {
                                   w = GgufWriter();
                                   w.SetString("general.architecture", "llama");
                                 },
                                 kArgument}));

INSTANTIATE_TEST_SUITE_P(
    Sizes, WrongModelTest,
    ::testing::Values(
        WrongModel{"'llama.context_length' is missing",
                   [](W& w) { w.Remove("llama.context_length"); }},
        WrongModel{"'llama.context_length' is 0",
                   [](W& w) { w.SetUint32("llama.context_length", 0); }},
        WrongModel{"'llama.context_length' is 4294967295",
                   [](W& w) { w.SetUint32("llama.context_length", 0xFFFFFFFF); }},
        WrongModel{"of type string; uint32 is right",
                   [](W& w) { w.SetString("llama.context_length", "64"); }},
        WrongModel{"'llama.embedding_length' is missing",
                   [](W& w) { w.Remove("llama.embedding_length"); }},
        WrongModel{"'llama.block_count' is 513",
                   [](W& w) { w.SetUint32("llama.block_count", 513); }},
        WrongModel{"'llama.block_count' is missing", [](W& w) { w.Remove("llama.block_count"); }},
        WrongModel{"'llama.nextn_predict_layers' is 2",
                   [](W& w) { w.SetUint32("llama.nextn_predict_layers", 2); }},
        WrongModel{"has 2 elements, but the model has 1 layers",
                   [](W& w) {
                     w.SetInts("llama.attention.head_count", {2, 2});
                   }},
        WrongModel{"is -1 for layer 0",
                   [](W& w) { w.SetInts("llama.attention.head_count", {-1}); }},
        WrongModel{"array of float32", [](W& w) { w.SetFloats("llama.feed_forward_length", {1}); }},
        WrongModel{"'llama.attention.head_count' is 5",
                   [](W& w) { w.SetUint32("llama.attention.head_count", 5); }},
        WrongModel{"2 heads and 3 KV heads",
                   [](W& w) { w.SetUint32("llama.attention.head_count_kv", 3); }},
        WrongModel{"'llama.attention.key_length' is 0",
                   [](W& w) { w.SetUint32("llama.attention.key_length", 0); }},
        WrongModel{"0 experts and uses 2", [](W& w) { w.SetUint32("llama.expert_used_count", 2); }},
        WrongModel{"4 experts and uses 0", [](W& w) { w.SetUint32("llama.expert_count", 4); }},
        WrongModel{"'llama.expert_count' is 1025",
                   [](W& w) { w.SetUint32("llama.expert_count", 1025); }},
        WrongModel{"4 experts cannot be in 3 groups",
                   [](W& w) {
                     w.SetUint32("llama.expert_count", 4);
                     w.SetUint32("llama.expert_used_count", 1);
                     w.SetUint32("llama.expert_group_count", 3);
                     w.SetUint32("llama.expert_group_used_count", 1);
                   }},
        WrongModel{"epsilon' is -1; a float of 0 or more",
                   [](W& w) { w.SetFloat("llama.attention.layer_norm_rms_epsilon", -1); }},
        WrongModel{"epsilon' is nan",
                   [](W& w) { w.SetFloat("llama.attention.layer_norm_epsilon", NAN); }},
        WrongModel{"epsilon' is of another type",
                   [](W& w) { w.SetUint32("llama.attention.group_norm_epsilon", 1); }},
        WrongModel{"'llama.rope.scaling.type' is 'odd'",
                   [](W& w) { w.SetString("llama.rope.scaling.type", "odd"); }}));

INSTANTIATE_TEST_SUITE_P(
    Tokenizer, WrongModelTest,
    ::testing::Values(
        WrongModel{"'tokenizer.ggml.model' is missing",
                   [](W& w) { w.Remove("tokenizer.ggml.model"); }},
        WrongModel{"no tokenizer", [](W& w) { w.SetString("tokenizer.ggml.model", "none"); },
                   kUnimplemented},
        WrongModel{"'tokenizer.ggml.pre' is not a string",
                   [](W& w) { w.SetUint32("tokenizer.ggml.pre", 1); }},
        WrongModel{"'tokenizer.ggml.tokens' is missing",
                   [](W& w) { w.Remove("tokenizer.ggml.tokens"); }},
        WrongModel{"array of int32; string is right",
                   [](W& w) { w.SetInts("tokenizer.ggml.tokens", {1}); }},
        WrongModel{"'tokenizer.ggml.tokens' is no array",
                   [](W& w) { w.SetString("tokenizer.ggml.tokens", "a"); }},
        WrongModel{"has 0 tokens", [](W& w) { w.SetStrings("tokenizer.ggml.tokens", {}); }},
        WrongModel{"token_type' has 3 elements, but there are 4",
                   [](W& w) {
                     w.SetInts("tokenizer.ggml.token_type", {1, 1, 1});
                   }},
        WrongModel{"scores' has 5 elements, but there are 4",
                   [](W& w) { w.SetFloats("tokenizer.ggml.scores", std::vector<float>(5)); }},
        WrongModel{"array of int32; string is right",
                   [](W& w) { w.SetInts("tokenizer.ggml.merges", {1}); }},
        WrongModel{"token 3 of the vocabulary has the text of another",
                   [](W& w) {
                     w.SetStrings("tokenizer.ggml.tokens", {"a", "b", "c", "a"});
                   }},
        WrongModel{"token 1 of the vocabulary has the text of another",
                   [](W& w) {
                     w.SetStrings("tokenizer.ggml.tokens", {"a", std::string("a\0b", 3), "c", "d"});
                   }},
        WrongModel{"token 2 of the vocabulary has the text of another",
                   [](W& w) {
                     w.SetStrings("tokenizer.ggml.tokens", {"a", "[EMPTY_2]", "", "d"});
                   }},
        WrongModel{"token 1 is a byte token",
                   [](W& w) {
                     w.SetString("tokenizer.ggml.model", "llama");
                     w.SetInts("tokenizer.ggml.token_type", {1, 6, 3, 1});
                   }},
        WrongModel{"'tokenizer.ggml.bos_token_id' names no token of the 4",
                   [](W& w) {
                     w.SetUint32("tokenizer.ggml.bos_token_id", 4);
                     w.SetBool("tokenizer.ggml.add_bos_token", true);
                   }},
        WrongModel{"'tokenizer.ggml.eos_token_id' names no token of the 4",
                   [](W& w) {
                     w.Remove("tokenizer.ggml.eos_token_id");
                     w.SetBool("tokenizer.ggml.add_eos_token", true);
                   }},
        WrongModel{"has the shape [4, 4], but the width and the vocabulary are [4, 3]", [](W& w) {
                     w.SetStrings("tokenizer.ggml.tokens", {"a", "b", "c"});
                     w.SetInts("tokenizer.ggml.token_type", {1, 1, 3});
                   }}));

TEST(GgufModelCheckTest, TensorsThatCannotBeMappedAreRefused) {
  GgufWriter writer = SmallGguf();
  writer.SetUint32("general.alignment", 8);
  writer.AddTensor("x", 0, {1}, std::string(4, '\0'));
  writer.MoveLastTensor(72);
  const Status status = CheckBytes(writer.Bytes() + std::string(64, '\0'));
  EXPECT_EQ(status.code(), kUnimplemented) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr("a multiple of 32"));
}

}  // namespace
}  // namespace foretoken
