#include "model/gguf_adapter_check.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "model/gguf_reader.h"
#include "testing/gguf_writer.h"

namespace foretoken {
namespace {

using testing::GgufWriter;

constexpr uint32_t kF32 = 0;
constexpr uint32_t kI32 = 26;

// A model of two matrices of 4 columns, one embedding and one stack of 3 experts.
GgufWriter Model(bool separate_output = true) {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  auto zeros = [&writer](const char* name, std::vector<uint64_t> shape, size_t elements) {
    writer.AddFloatTensor(name, std::move(shape), std::vector<float>(elements));
  };
  zeros("token_embd.weight", {4, 6}, 24);
  if (separate_output) zeros("output.weight", {4, 6}, 24);
  zeros("blk.0.attn_q.weight", {4, 8}, 32);
  zeros("blk.0.ffn_up_exps.weight", {4, 5, 3}, 60);
  return writer;
}

void AddPair(GgufWriter& writer, const std::string& name, const std::vector<uint64_t>& a,
             const std::vector<uint64_t>& b, uint32_t type = kF32) {
  for (const auto& [suffix, shape] : {std::pair(".lora_a", a), std::pair(".lora_b", b)}) {
    uint64_t elements = 1;
    for (const uint64_t extent : shape) elements *= extent;
    writer.AddTensor(name + suffix, type, shape, std::string(elements * 4, '\0'));
  }
}

GgufWriter EmptyAdapter() {
  GgufWriter writer;
  writer.SetString("general.type", "adapter");
  writer.SetString("general.architecture", "llama");
  writer.SetString("adapter.type", "lora");
  writer.SetFloat("adapter.lora.alpha", 8);
  return writer;
}

GgufWriter Adapter() {
  GgufWriter writer = EmptyAdapter();
  AddPair(writer, "blk.0.attn_q.weight", {4, 2}, {2, 8});
  return writer;
}

Status Check(const GgufWriter& adapter, const GgufWriter& model = Model()) {
  auto parsed = ParseGguf(adapter.Bytes(), "a.gguf");
  if (!parsed.ok()) return parsed.status();
  return CheckGgufAdapter(*parsed, ParseGguf(model.Bytes(), "m.gguf").value());
}

void ExpectRefused(const GgufWriter& adapter, StatusCode code, const std::string& part,
                   const GgufWriter& model = Model()) {
  const Status status = Check(adapter, model);
  EXPECT_EQ(status.code(), code) << part << ": " << status.ToString();
  EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  EXPECT_EQ(status.message().find("a.gguf"), 0u) << status.message();
}

TEST(GgufAdapterCheckTest, AcceptsPairsThatFit) {
  EXPECT_EQ(Check(Adapter()), OkStatus());
  GgufWriter all = Adapter();
  AddPair(all, "blk.0.ffn_up_exps.weight", {4, 1, 3}, {1, 5, 3});
  AddPair(all, "token_embd.weight", {2, 6}, {2, 4});
  EXPECT_EQ(Check(all), OkStatus());
  GgufWriter without_alpha = Adapter();
  without_alpha.Remove("adapter.lora.alpha");
  EXPECT_EQ(Check(without_alpha), OkStatus());
}

TEST(GgufAdapterCheckTest, RefusesOtherFiles) {
  ExpectRefused(Model(), StatusCode::kInvalidArgument, "key 'general.type' is missing");
  for (const char* key : {"general.type", "adapter.type", "general.architecture"}) {
    GgufWriter other = Adapter();
    other.SetString(key, "qwen2");
    ExpectRefused(other, StatusCode::kInvalidArgument, key);
    // llama.cpp ends the process for a key of another type.
    other.SetUint32(key, 1);
    ExpectRefused(other, StatusCode::kInvalidArgument, key);
  }
  GgufWriter alpha = Adapter();
  alpha.SetUint32("adapter.lora.alpha", 8);
  ExpectRefused(alpha, StatusCode::kDataLoss, "adapter.lora.alpha");
  alpha.SetFloat("adapter.lora.alpha", std::numeric_limits<float>::infinity());
  ExpectRefused(alpha, StatusCode::kDataLoss, "not finite");
  GgufWriter invoked = Adapter();
  invoked.SetInts("adapter.alora.invocation_tokens", {1});
  ExpectRefused(invoked, StatusCode::kUnimplemented, "begins at certain tokens");
  ExpectRefused(EmptyAdapter(), StatusCode::kInvalidArgument, "changes nothing");
}

TEST(GgufAdapterCheckTest, RefusesTensorsThatDoNotFitTheModel) {
  auto with_pair = [](const std::string& name, const std::vector<uint64_t>& a,
                      const std::vector<uint64_t>& b, uint32_t type = kF32) {
    GgufWriter writer = EmptyAdapter();
    AddPair(writer, name, a, b, type);
    return writer;
  };
  const std::string q = "blk.0.attn_q.weight";
  const std::string up = "blk.0.ffn_up_exps.weight";
  const std::string embedding = "token_embd.weight";
  for (const GgufWriter& wrong :
       {with_pair(q, {5, 2}, {2, 8}), with_pair(q, {4, 2}, {2, 9}), with_pair(q, {4, 2}, {3, 8}),
        with_pair(q, {4, 2, 2}, {2, 8}), with_pair(q, {4, 2}, {2, 8, 1, 5}),
        with_pair(up, {4, 1}, {1, 5}), with_pair(up, {4, 1, 3}, {1, 5, 2}),
        with_pair(embedding, {2, 6}, {3, 4}), with_pair(embedding, {4, 2}, {2, 6}),
        with_pair(embedding, {2, 5}, {2, 4})}) {
    ExpectRefused(wrong, StatusCode::kInvalidArgument, "do not fit");
  }
  ExpectRefused(with_pair("blk.1.attn_q.weight", {4, 2}, {2, 8}), StatusCode::kInvalidArgument,
                "the model has not");
  ExpectRefused(with_pair(q, {4, 2}, {2, 8}, kI32), StatusCode::kUnimplemented, "of type I32");
  ExpectRefused(with_pair(embedding, {2, 6}, {2, 4}), StatusCode::kUnimplemented,
                "the model's output as well", Model(/*separate_output=*/false));
}

TEST(GgufAdapterCheckTest, RefusesTensorsThatAreNoPairs) {
  GgufWriter half = Adapter();
  half.AddFloatTensor("output.weight.lora_a", {4, 1}, std::vector<float>(4));
  ExpectRefused(half, StatusCode::kDataLoss, "'output.weight.lora_a' has no other half");
  GgufWriter norm = Adapter();
  norm.AddFloatTensor("blk.0.attn_norm.weight", {4}, std::vector<float>(4));
  ExpectRefused(norm, StatusCode::kUnimplemented, "'blk.0.attn_norm.weight' is no part");
}

}  // namespace
}  // namespace foretoken
