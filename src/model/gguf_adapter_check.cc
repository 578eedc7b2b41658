#include "model/gguf_adapter_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/macros.h"

namespace foretoken {
namespace {

constexpr std::string_view kSuffixA = ".lora_a";
constexpr std::string_view kSuffixB = ".lora_b";
constexpr std::string_view kEmbedding = "token_embd.weight";

// What llama.cpp's converter writes, and every matrix kernel reads.
constexpr std::array<std::string_view, 4> kTypes = {"F32", "F16", "BF16", "Q8_0"};

// llama.cpp reads these keys without a look at their types.
Status CheckKeys(const GgufFile& adapter, const GgufFile& model) {
  struct Expected {
    const char* key;
    std::string_view value;
    const char* meaning;
  };
  const std::string_view architecture = model.GetString("general.architecture").value_or("");
  for (const Expected& expected :
       {Expected{"general.type", "adapter", "an adapter"},
        Expected{"adapter.type", "lora", "a LoRA adapter"},
        Expected{"general.architecture", architecture, "an adapter for this model"}}) {
    const auto value = adapter.GetString(expected.key);
    if (value && *value == expected.value) continue;
    return InvalidArgumentError(
        fmt::format("{}: not {}: key '{}' is {}; '{}' is right", adapter.name(), expected.meaning,
                    expected.key, value ? fmt::format("'{}'", *value) : "missing", expected.value));
  }
  const char* const alpha = "adapter.lora.alpha";
  if (adapter.TypeOf(alpha).value_or(GgufValueType::kFloat32) != GgufValueType::kFloat32) {
    return DataLossError(fmt::format("{}: key '{}' is of type {}; float32 is right", adapter.name(),
                                     alpha, GgufValueTypeName(*adapter.TypeOf(alpha))));
  }
  if (!std::isfinite(adapter.GetFloat(alpha).value_or(0))) {
    return DataLossError(fmt::format("{}: key '{}' is not finite", adapter.name(), alpha));
  }
  if (adapter.Has("adapter.alora.invocation_tokens")) {
    return UnimplementedError(
        fmt::format("{}: an adapter that begins at certain tokens of a text; one that changes all "
                    "of it is right",
                    adapter.name()));
  }
  return OkStatus();
}

// [columns, rows, ...] with all four extents.
std::array<uint64_t, 4> Extents(const GgufTensor& tensor) {
  std::array<uint64_t, 4> extents = {1, 1, 1, 1};
  std::copy(tensor.shape.begin(), tensor.shape.end(), extents.begin());
  return extents;
}

Status CheckPair(const GgufFile& adapter, const GgufFile& model, std::string_view name,
                 const GgufTensor& a, const GgufTensor& b) {
  for (const GgufTensor* tensor : {&a, &b}) {
    if (std::find(kTypes.begin(), kTypes.end(), tensor->type->name) == kTypes.end()) {
      return UnimplementedError(fmt::format("{}: tensor '{}' is of type {}; {} are right",
                                            adapter.name(), tensor->name, tensor->type->name,
                                            fmt::join(kTypes, ", ")));
    }
  }
  const GgufTensor* base = model.FindTensor(name);
  if (base == nullptr) {
    return InvalidArgumentError(
        fmt::format("{}: changes a tensor '{}' that the model has not; an "
                    "adapter made for this model is right",
                    adapter.name(), name));
  }
  if (base->type->name == "NVFP4") {
    return UnimplementedError(fmt::format("{}: changes tensor '{}', which the model keeps in NVFP4",
                                          adapter.name(), name));
  }
  const auto base_extents = Extents(*base);
  const auto a_extents = Extents(a);
  const auto b_extents = Extents(b);
  const uint64_t rank = b_extents[0];
  std::array<uint64_t, 4> wanted_a = base_extents;
  std::array<uint64_t, 4> wanted_b = base_extents;
  if (name == kEmbedding) {
    // Looked up and not multiplied by: A holds a row of `rank` for each token.
    if (model.FindTensor("output.weight") == nullptr) {
      return UnimplementedError(fmt::format("{}: changes '{}', which is the model's output as well",
                                            adapter.name(), name));
    }
    wanted_a = {rank, base_extents[1], 1, 1};
    wanted_b = {rank, base_extents[0], 1, 1};
  } else {
    wanted_a[1] = rank;
    wanted_b[0] = rank;
  }
  if (a_extents == wanted_a && b_extents == wanted_b) return OkStatus();
  return InvalidArgumentError(fmt::format(
      "{}: '{}' has the shapes [{}] and [{}], which do not fit the model's [{}]; an adapter made "
      "for this model is right",
      adapter.name(), name, fmt::join(a_extents, ", "), fmt::join(b_extents, ", "),
      fmt::join(base_extents, ", ")));
}

}  // namespace

Status CheckGgufAdapter(const GgufFile& adapter, const GgufFile& model) {
  FORETOKEN_RETURN_IF_ERROR(CheckKeys(adapter, model));
  size_t pairs = 0;
  for (const GgufTensor& tensor : adapter.tensors()) {
    const std::string_view name = tensor.name;
    const bool is_a = name.ends_with(kSuffixA);
    if (!is_a && !name.ends_with(kSuffixB)) {
      return UnimplementedError(
          fmt::format("{}: tensor '{}' is no part of a LoRA adapter; names "
                      "in {} and {} are right",
                      adapter.name(), name, kSuffixA, kSuffixB));
    }
    const std::string base(name.substr(0, name.size() - kSuffixA.size()));
    const GgufTensor* other = adapter.FindTensor(base + std::string(is_a ? kSuffixB : kSuffixA));
    if (other == nullptr) {
      return DataLossError(fmt::format("{}: tensor '{}' has no other half", adapter.name(), name));
    }
    if (!is_a) continue;
    FORETOKEN_RETURN_IF_ERROR(CheckPair(adapter, model, base, tensor, *other));
    ++pairs;
  }
  if (pairs == 0) {
    return InvalidArgumentError(fmt::format("{}: an adapter that changes nothing", adapter.name()));
  }
  return OkStatus();
}

}  // namespace foretoken
