#include "model/gguf_model_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/macros.h"

namespace foretoken {
namespace {

// llama.cpp's own limits (LLAMA_MAX_LAYERS, LLAMA_MAX_EXPERTS); the rest are far above real models.
constexpr int64_t kMaxLayers = 512;
constexpr int64_t kMaxExperts = 1024;
constexpr int64_t kMaxWidth = int64_t{1} << 24;
constexpr uint64_t kMaxVocabulary = uint64_t{1} << 23;
constexpr uint64_t kMaxMerges = uint64_t{1} << 24;
constexpr uint64_t kTensorAlignment = 32;  // ggml asserts it of mapped buffers

constexpr int32_t kByteTokenType = 6;

Status Wrong(const GgufFile& file, std::string_view message) {
  return DataLossError(fmt::format("{}: {}", file.name(), message));
}

class ModelChecker {
 public:
  explicit ModelChecker(const GgufFile& file) : file_(file) {}

  Status Run() {
    FORETOKEN_RETURN_IF_ERROR(CheckKind());
    FORETOKEN_RETURN_IF_ERROR(CheckSizes());
    FORETOKEN_RETURN_IF_ERROR(CheckHeads());
    FORETOKEN_RETURN_IF_ERROR(CheckExperts());
    FORETOKEN_RETURN_IF_ERROR(CheckRope());
    FORETOKEN_RETURN_IF_ERROR(CheckNorms());
    FORETOKEN_RETURN_IF_ERROR(CheckTokenizer());
    return CheckTensors();
  }

 private:
  std::string Key(std::string_view suffix) const { return fmt::format("{}.{}", arch_, suffix); }

  // A uint32 (the only type llama.cpp takes) in [least, most], or absent.
  Status Uint32(const std::string& key, int64_t least, int64_t most,
                std::optional<int64_t>& value) const {
    const auto type = file_.TypeOf(key);
    if (!type) return OkStatus();
    if (*type != GgufValueType::kUint32) {
      return Wrong(file_, fmt::format("key '{}' is of type {}; uint32 is right", key,
                                      GgufValueTypeName(*type)));
    }
    value = file_.GetInteger(key);
    if (*value < least || *value > most) {
      return Wrong(file_,
                   fmt::format("key '{}' is {}; {} to {} are right", key, *value, least, most));
    }
    return OkStatus();
  }

  Status RequiredUint32(const std::string& key, int64_t least, int64_t most, int64_t& value) const {
    std::optional<int64_t> found;
    FORETOKEN_RETURN_IF_ERROR(Uint32(key, least, most, found));
    if (!found) return Wrong(file_, fmt::format("key '{}' is missing", key));
    value = *found;
    return OkStatus();
  }

  // One value for all layers or an array with one per layer; empty when absent.
  Status PerLayer(const std::string& key, int64_t most, std::vector<int64_t>& values) const;
  Status OptionalArray(const std::string& key, std::initializer_list<GgufValueType> types,
                       std::optional<GgufArray>& array) const;

  Status CheckKind();
  Status CheckSizes();
  Status CheckHeads() const;
  Status CheckExperts() const;
  Status CheckRope() const;
  Status CheckNorms() const;
  Status CheckTokenizer();
  Status CheckTokens(const std::vector<std::string_view>& tokens) const;
  Status CheckByteTokens(const std::vector<std::string_view>& tokens) const;
  Status CheckSpecialTokens() const;
  Status CheckTensors() const;

  const GgufFile& file_;
  std::string arch_;
  std::string tokenizer_;
  int64_t layers_ = 0;
  int64_t width_ = 0;
  uint64_t vocabulary_ = 0;
};

Status ModelChecker::PerLayer(const std::string& key, int64_t most,
                              std::vector<int64_t>& values) const {
  const auto array = file_.GetArray(key);
  if (!array) {
    std::optional<int64_t> value;
    FORETOKEN_RETURN_IF_ERROR(Uint32(key, 0, most, value));
    if (value) values.assign(static_cast<size_t>(layers_), *value);
    return OkStatus();
  }
  const GgufValueType type = array->element_type();
  if (type != GgufValueType::kUint32 && type != GgufValueType::kInt32) {
    return Wrong(file_, fmt::format("key '{}' is an array of {}; uint32 or int32 is right", key,
                                    GgufValueTypeName(type)));
  }
  if (array->size() != static_cast<uint64_t>(layers_)) {
    return Wrong(file_, fmt::format("key '{}' has {} elements, but the model has {} layers", key,
                                    array->size(), layers_));
  }
  for (uint64_t i = 0; i < array->size(); ++i) {
    values.push_back(array->Integer(i));
    if (values.back() < 0 || values.back() > most) {
      return Wrong(file_, fmt::format("key '{}' is {} for layer {}; 0 to {} are right", key,
                                      values.back(), i, most));
    }
  }
  return OkStatus();
}

Status ModelChecker::CheckKind() {
  const auto arch = file_.GetString("general.architecture");
  if (!arch || arch->empty()) {
    return Wrong(file_, "key 'general.architecture' is missing; it says what the model is");
  }
  arch_ = *arch;
  const auto kind = file_.GetString("general.type");
  if ((kind && *kind != "model") || arch_ == "clip") {
    return InvalidArgumentError(
        fmt::format("{}: holds a part of a model (architecture '{}', type '{}'); the file of the "
                    "language model itself is right",
                    file_.name(), arch_, kind.value_or("")));
  }
  const auto splits = file_.GetInteger("split.count");
  if (splits.value_or(0) > 1) {
    return UnimplementedError(fmt::format(
        "{}: one of {} parts of a split model; join them first with llama-gguf-split --merge",
        file_.name(), *splits));
  }
  if (file_.tensors().empty()) {
    return InvalidArgumentError(
        fmt::format("{}: holds no weights, only a vocabulary or settings", file_.name()));
  }
  return OkStatus();
}

Status ModelChecker::CheckSizes() {
  int64_t context = 0;
  FORETOKEN_RETURN_IF_ERROR(
      RequiredUint32(Key("context_length"), 1, std::numeric_limits<int32_t>::max(), context));
  FORETOKEN_RETURN_IF_ERROR(RequiredUint32(Key("embedding_length"), 1, kMaxWidth, width_));
  FORETOKEN_RETURN_IF_ERROR(RequiredUint32(Key("block_count"), 1, kMaxLayers, layers_));
  std::vector<int64_t> feed_forward;
  FORETOKEN_RETURN_IF_ERROR(PerLayer(Key("feed_forward_length"), kMaxWidth, feed_forward));
  std::optional<int64_t> prediction_layers;
  return Uint32(Key("nextn_predict_layers"), 0, layers_, prediction_layers);
}

Status ModelChecker::CheckHeads() const {
  std::vector<int64_t> heads;
  std::vector<int64_t> kv_heads;
  FORETOKEN_RETURN_IF_ERROR(PerLayer(Key("attention.head_count"), width_, heads));
  FORETOKEN_RETURN_IF_ERROR(PerLayer(Key("attention.head_count_kv"), width_, kv_heads));
  for (size_t i = 0; i < std::min(heads.size(), kv_heads.size()); ++i) {
    if (kv_heads[i] > 0 && heads[i] % kv_heads[i] != 0) {
      return Wrong(file_, fmt::format("layer {} has {} heads and {} KV heads; the first must be a "
                                      "multiple of the second",
                                      i, heads[i], kv_heads[i]));
    }
  }
  for (const char* suffix : {"attention.key_length", "attention.value_length"}) {
    std::optional<int64_t> length;
    FORETOKEN_RETURN_IF_ERROR(Uint32(Key(suffix), 1, kMaxWidth, length));
  }
  return OkStatus();
}

// The assertions of llama_model_base::load_hparams.
Status ModelChecker::CheckExperts() const {
  std::optional<int64_t> experts;
  std::optional<int64_t> groups;
  std::optional<int64_t> groups_used;
  std::vector<int64_t> used;
  FORETOKEN_RETURN_IF_ERROR(Uint32(Key("expert_count"), 0, kMaxExperts, experts));
  FORETOKEN_RETURN_IF_ERROR(PerLayer(Key("expert_used_count"), kMaxExperts, used));
  FORETOKEN_RETURN_IF_ERROR(Uint32(Key("expert_group_count"), 0, kMaxExperts, groups));
  FORETOKEN_RETURN_IF_ERROR(Uint32(Key("expert_group_used_count"), 0, kMaxExperts, groups_used));
  const int64_t count = experts.value_or(0);
  const int64_t most_used = used.empty() ? 0 : *std::max_element(used.begin(), used.end());
  if (most_used > count || (count > 0 && most_used == 0)) {
    return Wrong(file_,
                 fmt::format("the model has {} experts and uses {} of them; {} are right", count,
                             most_used, count > 0 ? fmt::format("1 to {}", count) : "0"));
  }
  const int64_t group_count = groups.value_or(0);
  const bool groups_fit =
      group_count == 0 ||
      (group_count < count &&
       (group_count == 1 || (count % group_count == 0 && groups_used.value_or(0) > 0 &&
                             groups_used.value_or(0) < group_count)));
  if (!groups_fit) {
    return Wrong(file_, fmt::format("{} experts cannot be in {} groups of which {} are used", count,
                                    group_count, groups_used.value_or(0)));
  }
  return OkStatus();
}

Status ModelChecker::CheckRope() const {
  const std::string key = Key("rope.scaling.type");
  if (!file_.Has(key)) return OkStatus();
  static constexpr std::array<std::string_view, 4> kKnown = {"none", "linear", "yarn", "longrope"};
  const std::string_view value = file_.GetString(key).value_or("");
  if (std::find(kKnown.begin(), kKnown.end(), value) == kKnown.end()) {
    return Wrong(file_, fmt::format("key '{}' is '{}'; none, linear, yarn or longrope is right",
                                    key, value));
  }
  return OkStatus();
}

// ggml asserts it in the first forward.
Status ModelChecker::CheckNorms() const {
  for (const char* suffix : {"attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon",
                             "attention.group_norm_epsilon"}) {
    const std::string key = Key(suffix);
    if (!file_.Has(key)) continue;
    const double value = file_.GetFloat(key).value_or(-1);
    if (!(value >= 0) || !std::isfinite(value)) {
      return Wrong(file_, fmt::format("key '{}' is {}; a float of 0 or more is right", key,
                                      file_.GetFloat(key) ? fmt::format("{}", value)
                                                          : std::string("of another type")));
    }
  }
  return OkStatus();
}

Status ModelChecker::OptionalArray(const std::string& key,
                                   std::initializer_list<GgufValueType> types,
                                   std::optional<GgufArray>& array) const {
  array = file_.GetArray(key);
  if (!array) {
    if (!file_.Has(key)) return OkStatus();
    return Wrong(file_, fmt::format("key '{}' is no array", key));
  }
  if (std::find(types.begin(), types.end(), array->element_type()) == types.end()) {
    return Wrong(file_, fmt::format("key '{}' is an array of {}; {} is right", key,
                                    GgufValueTypeName(array->element_type()),
                                    GgufValueTypeName(*types.begin())));
  }
  return OkStatus();
}

Status ModelChecker::CheckTokenizer() {
  const auto model = file_.GetString("tokenizer.ggml.model");
  if (!model) return Wrong(file_, "key 'tokenizer.ggml.model' is missing");
  tokenizer_ = *model;
  if (tokenizer_ == "none" || tokenizer_ == "no_vocab") {
    return UnimplementedError(file_.name() + ": the model has no tokenizer");
  }
  if (file_.Has("tokenizer.ggml.pre") && !file_.GetString("tokenizer.ggml.pre")) {
    return Wrong(file_, "key 'tokenizer.ggml.pre' is not a string");
  }
  std::optional<GgufArray> tokens;
  std::optional<GgufArray> scores;
  std::optional<GgufArray> types;
  std::optional<GgufArray> merges;
  FORETOKEN_RETURN_IF_ERROR(
      OptionalArray("tokenizer.ggml.tokens", {GgufValueType::kString}, tokens));
  FORETOKEN_RETURN_IF_ERROR(OptionalArray(
      "tokenizer.ggml.scores", {GgufValueType::kFloat32, GgufValueType::kInt32}, scores));
  FORETOKEN_RETURN_IF_ERROR(
      OptionalArray("tokenizer.ggml.token_type", {GgufValueType::kInt32}, types));
  FORETOKEN_RETURN_IF_ERROR(
      OptionalArray("tokenizer.ggml.merges", {GgufValueType::kString}, merges));
  if (!tokens) return Wrong(file_, "key 'tokenizer.ggml.tokens' is missing");
  vocabulary_ = tokens->size();
  if (vocabulary_ == 0 || vocabulary_ > kMaxVocabulary) {
    return Wrong(file_, fmt::format("the vocabulary has {} tokens; 1 to {} are right", vocabulary_,
                                    kMaxVocabulary));
  }
  for (const auto& [name, array] : {std::pair("scores", scores), std::pair("token_type", types)}) {
    if (array && array->size() != vocabulary_) {
      return Wrong(file_, fmt::format("key 'tokenizer.ggml.{}' has {} elements, but there are {} "
                                      "tokens",
                                      name, array->size(), vocabulary_));
    }
  }
  if (merges && merges->size() > kMaxMerges) {
    return Wrong(file_, fmt::format("{} merges; at most {} are read", merges->size(), kMaxMerges));
  }
  const std::vector<std::string_view> texts = tokens->Strings();
  FORETOKEN_RETURN_IF_ERROR(CheckTokens(texts));
  FORETOKEN_RETURN_IF_ERROR(CheckByteTokens(texts));
  return CheckSpecialTokens();
}

// llama.cpp aborts when two tokens have the same text, which it reads up to the first NUL and, when
// it is empty, replaces by "[EMPTY_<id>]".
Status ModelChecker::CheckTokens(const std::vector<std::string_view>& tokens) const {
  std::unordered_set<std::string_view> seen;
  seen.reserve(tokens.size());
  std::deque<std::string> replacements;
  for (size_t id = 0; id < tokens.size(); ++id) {
    std::string_view text = tokens[id].substr(0, tokens[id].find('\0'));
    if (text.empty()) text = replacements.emplace_back(fmt::format("[EMPTY_{}]", id));
    if (!seen.insert(text).second) {
      return Wrong(file_, fmt::format("token {} of the vocabulary has the text of another", id));
    }
  }
  return OkStatus();
}

// llama.cpp takes a byte token's value from its text without looking at the text's length.
Status ModelChecker::CheckByteTokens(const std::vector<std::string_view>& tokens) const {
  const auto types = file_.GetArray("tokenizer.ggml.token_type");
  if (!types || (tokenizer_ != "llama" && tokenizer_ != "gemma4")) return OkStatus();
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (types->Integer(id) != kByteTokenType) continue;
    const std::string_view text = tokens[id];
    if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') {
      return Wrong(file_, fmt::format("token {} is a byte token without the text of one, such as "
                                      "<0x0A>",
                                      id));
    }
  }
  return OkStatus();
}

// A text that must begin or end with a special token needs that token: llama.cpp asserts it.
Status ModelChecker::CheckSpecialTokens() const {
  const bool adds_bos_by_default = tokenizer_ == "llama" || tokenizer_ == "bert";
  struct Special {
    const char* add_key;
    const char* id_key;
    bool added_by_default;
    std::optional<int64_t> default_id;
  };
  std::optional<int64_t> default_bos;
  std::optional<int64_t> default_eos;
  if (tokenizer_ == "llama" || tokenizer_ == "plamo2") {
    default_bos = 1;
    default_eos = 2;
  } else if (tokenizer_ == "bert") {
    default_bos = 101;
  } else if (tokenizer_ == "gpt2" || tokenizer_ == "hybriddna" || tokenizer_ == "whitespace") {
    default_bos = 11;
    default_eos = 11;
  } else if (tokenizer_ == "t5") {
    default_eos = 1;
  }
  for (const Special& special :
       {Special{"tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", adds_bos_by_default,
                default_bos},
        Special{"tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id", tokenizer_ == "t5",
                default_eos}}) {
    std::optional<int64_t> id;
    FORETOKEN_RETURN_IF_ERROR(Uint32(special.id_key, 0, std::numeric_limits<uint32_t>::max(), id));
    const bool in_vocabulary = id && static_cast<uint64_t>(*id) < vocabulary_;
    if (in_vocabulary) continue;
    const bool has_default =
        special.default_id && static_cast<uint64_t>(*special.default_id) < vocabulary_;
    if (file_.GetBool(special.add_key).value_or(special.added_by_default) && !has_default) {
      return Wrong(file_, fmt::format("key '{}' names no token of the {} in the vocabulary, but "
                                      "every text is to have it",
                                      special.id_key, vocabulary_));
    }
  }
  return OkStatus();
}

Status ModelChecker::CheckTensors() const {
  for (const GgufTensor& tensor : file_.tensors()) {
    if (tensor.offset % kTensorAlignment != 0) {
      return UnimplementedError(fmt::format(
          "{}: tensor '{}' starts at byte {}; a multiple of {} is right for a file that "
          "is mapped into memory",
          file_.name(), tensor.name, tensor.offset, kTensorAlignment));
    }
  }
  const GgufTensor* embedding = file_.FindTensor("token_embd.weight");
  if (embedding == nullptr) return OkStatus();
  const std::vector<uint64_t> wanted = {static_cast<uint64_t>(width_), vocabulary_};
  if (embedding->shape != wanted) {
    return Wrong(file_, fmt::format("tensor 'token_embd.weight' has the shape [{}], but the width "
                                    "and the vocabulary are [{}]",
                                    fmt::join(embedding->shape, ", "), fmt::join(wanted, ", ")));
  }
  return OkStatus();
}

}  // namespace

Status CheckGgufModel(const GgufFile& file) {
  return ModelChecker(file).Run();
}

}  // namespace foretoken
