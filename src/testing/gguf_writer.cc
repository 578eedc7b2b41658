#include "testing/gguf_writer.h"

#include <fmt/format.h>

#include <cstring>
#include <random>

namespace foretoken::testing {
namespace {

constexpr uint64_t kAlignment = 32;

template <typename T>
void Append(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void AppendString(std::string& out, std::string_view text) {
  Append<uint64_t>(out, text.size());
  out.append(text);
}

void Pad(std::string& out) {
  out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment);
}

template <typename T>
std::string ArrayPayload(GgufValueType type, const std::vector<T>& values) {
  std::string payload;
  Append(payload, static_cast<uint32_t>(type));
  Append<uint64_t>(payload, values.size());
  for (const T& value : values) {
    if constexpr (std::is_same_v<T, std::string>) {
      AppendString(payload, value);
    } else {
      Append(payload, value);
    }
  }
  return payload;
}

}  // namespace

void GgufWriter::Set(const std::string& key, GgufValueType type, std::string payload) {
  Remove(key);
  AddRaw(key, type, std::move(payload));
}

void GgufWriter::AddRaw(const std::string& key, GgufValueType type, std::string payload) {
  values_.push_back({key, type, std::move(payload)});
}

void GgufWriter::Remove(const std::string& key) {
  std::erase_if(values_, [&key](const Value& value) { return value.key == key; });
}

void GgufWriter::SetString(const std::string& key, std::string_view value) {
  std::string payload;
  AppendString(payload, value);
  Set(key, GgufValueType::kString, std::move(payload));
}

void GgufWriter::SetUint32(const std::string& key, uint32_t value) {
  std::string payload;
  Append(payload, value);
  Set(key, GgufValueType::kUint32, std::move(payload));
}

void GgufWriter::SetFloat(const std::string& key, float value) {
  std::string payload;
  Append(payload, value);
  Set(key, GgufValueType::kFloat32, std::move(payload));
}

void GgufWriter::SetBool(const std::string& key, bool value) {
  Set(key, GgufValueType::kBool, std::string(1, value ? '\1' : '\0'));
}

void GgufWriter::SetStrings(const std::string& key, const std::vector<std::string>& values) {
  Set(key, GgufValueType::kArray, ArrayPayload(GgufValueType::kString, values));
}

void GgufWriter::SetInts(const std::string& key, const std::vector<int32_t>& values) {
  Set(key, GgufValueType::kArray, ArrayPayload(GgufValueType::kInt32, values));
}

void GgufWriter::SetFloats(const std::string& key, const std::vector<float>& values) {
  Set(key, GgufValueType::kArray, ArrayPayload(GgufValueType::kFloat32, values));
}

void GgufWriter::AddTensor(const std::string& name, uint32_t type, std::vector<uint64_t> shape,
                           std::string data) {
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    offset += (tensor.data.size() + kAlignment - 1) / kAlignment * kAlignment;
  }
  tensors_.push_back({name, type, std::move(shape), offset, std::move(data)});
}

void GgufWriter::AddFloatTensor(const std::string& name, std::vector<uint64_t> shape,
                                const std::vector<float>& values) {
  std::string data(values.size() * sizeof(float), '\0');
  std::memcpy(data.data(), values.data(), data.size());
  AddTensor(name, 0, std::move(shape), std::move(data));
}

std::string GgufWriter::HeaderBytes() const {
  std::string out = magic;
  Append(out, version);
  Append<uint64_t>(out, tensors_.size());
  Append<uint64_t>(out, values_.size());
  for (const Value& value : values_) {
    AppendString(out, value.key);
    Append(out, static_cast<uint32_t>(value.type));
    out += value.payload;
  }
  for (const Tensor& tensor : tensors_) {
    AppendString(out, tensor.name);
    Append(out, static_cast<uint32_t>(tensor.shape.size()));
    for (const uint64_t extent : tensor.shape) Append(out, extent);
    Append(out, tensor.type);
    Append(out, tensor.offset);
  }
  Pad(out);
  return out;
}

std::string GgufWriter::Bytes() const {
  std::string out = HeaderBytes();
  for (const Tensor& tensor : tensors_) {
    out += tensor.data;
    Pad(out);
  }
  return out;
}

GgufWriter SmallGguf() {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetString("general.name", "Small");
  writer.SetUint32("llama.context_length", 64);
  writer.SetUint32("llama.embedding_length", 4);
  writer.SetUint32("llama.block_count", 1);
  writer.SetUint32("llama.attention.head_count", 2);
  writer.SetUint32("llama.attention.head_count_kv", 1);
  writer.SetString("tokenizer.ggml.model", "gpt2");
  writer.SetString("tokenizer.ggml.pre", "qwen2");
  writer.SetStrings("tokenizer.ggml.tokens", {"a", "b", "<|im_end|>", "ab"});
  writer.SetInts("tokenizer.ggml.token_type", {1, 1, 3, 1});
  writer.SetStrings("tokenizer.ggml.merges", {"a b"});
  writer.SetUint32("tokenizer.ggml.eos_token_id", 2);
  writer.AddFloatTensor("token_embd.weight", {4, 4}, std::vector<float>(16, 0.5f));
  return writer;
}

GgufWriter TinyLlamaGguf(uint32_t seed, uint32_t layers) {
  constexpr uint32_t kWidth = 32;
  constexpr uint32_t kFeedForward = 64;
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetString("general.name", "Tiny");
  writer.SetUint32("llama.context_length", 512);
  writer.SetUint32("llama.embedding_length", kWidth);
  writer.SetUint32("llama.block_count", layers);
  writer.SetUint32("llama.feed_forward_length", kFeedForward);
  writer.SetUint32("llama.attention.head_count", 2);
  writer.SetUint32("llama.attention.head_count_kv", 1);
  writer.SetFloat("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(fmt::format("<0x{:02X}>", byte));
    types.push_back(6);
  }
  for (const char* word : {"\u2581", "\u2581the", "\u2581a", "e", "t", "the"}) {
    tokens.emplace_back(word);
    types.push_back(1);
  }
  const auto vocabulary = static_cast<uint32_t>(tokens.size());
  writer.SetString("tokenizer.ggml.model", "llama");
  writer.SetStrings("tokenizer.ggml.tokens", tokens);
  writer.SetFloats("tokenizer.ggml.scores", std::vector<float>(vocabulary, 0.0f));
  writer.SetInts("tokenizer.ggml.token_type", types);
  writer.SetUint32("tokenizer.ggml.bos_token_id", 1);
  writer.SetUint32("tokenizer.ggml.eos_token_id", 2);
  writer.SetUint32("tokenizer.ggml.unknown_token_id", 0);

  std::minstd_rand random(seed + 1);
  auto weights = [&writer, &random](const std::string& name, std::vector<uint64_t> shape) {
    uint64_t elements = 1;
    for (const uint64_t extent : shape) elements *= extent;
    std::vector<float> values(elements);
    for (float& value : values) value = static_cast<float>(random() % 2001) / 5000.0f - 0.2f;
    writer.AddFloatTensor(name, std::move(shape), values);
  };
  auto ones = [&writer](const std::string& name) {
    writer.AddFloatTensor(name, {kWidth}, std::vector<float>(kWidth, 1.0f));
  };
  weights("token_embd.weight", {kWidth, vocabulary});
  ones("output_norm.weight");
  weights("output.weight", {kWidth, vocabulary});
  for (uint32_t layer = 0; layer < layers; ++layer) {
    const std::string block = fmt::format("blk.{}.", layer);
    ones(block + "attn_norm.weight");
    weights(block + "attn_q.weight", {kWidth, kWidth});
    weights(block + "attn_k.weight", {kWidth, kWidth / 2});
    weights(block + "attn_v.weight", {kWidth, kWidth / 2});
    weights(block + "attn_output.weight", {kWidth, kWidth});
    ones(block + "ffn_norm.weight");
    weights(block + "ffn_gate.weight", {kWidth, kFeedForward});
    weights(block + "ffn_up.weight", {kWidth, kFeedForward});
    weights(block + "ffn_down.weight", {kFeedForward, kWidth});
  }
  return writer;
}

GgufWriter LoraGguf(const GgufFile& model, const std::vector<std::string>& tensors, uint64_t rank,
                    uint32_t seed) {
  GgufWriter writer;
  writer.SetString("general.type", "adapter");
  writer.SetString("general.architecture", model.GetString("general.architecture").value_or(""));
  writer.SetString("adapter.type", "lora");
  writer.SetFloat("adapter.lora.alpha", static_cast<float>(rank));
  std::minstd_rand random(seed + 1);
  auto add = [&](const std::string& name, std::vector<uint64_t> shape) {
    std::vector<float> values(shape[0] * shape[1]);
    for (float& value : values) value = static_cast<float>(random() % 2001) / 10000.0f - 0.1f;
    writer.AddFloatTensor(name, std::move(shape), values);
  };
  for (const std::string& name : tensors) {
    const GgufTensor* tensor = model.FindTensor(name);
    if (tensor == nullptr || tensor->shape.size() != 2) continue;
    add(name + ".lora_a", {tensor->shape[0], rank});
    add(name + ".lora_b", {rank, tensor->shape[1]});
  }
  return writer;
}

}  // namespace foretoken::testing
