#include "model/model_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

namespace foretoken {
namespace {

// More than this many tokens of difference are no padding of the embedding matrix.
constexpr uint64_t kMaxPaddingTokens = 256;

constexpr std::pair<const char*, const char*> kSpecialTokens[] = {
    {"bos", "tokenizer.ggml.bos_token_id"},         {"eos", "tokenizer.ggml.eos_token_id"},
    {"eot", "tokenizer.ggml.eot_token_id"},         {"eom", "tokenizer.ggml.eom_token_id"},
    {"unknown", "tokenizer.ggml.unknown_token_id"}, {"padding", "tokenizer.ggml.padding_token_id"},
};

constexpr const char* kSamplingKeys[] = {
    "temp",           "top_k",           "top_p",         "min_p",
    "penalty_repeat", "penalty_last_n",  "mirostat",      "mirostat_tau",
    "mirostat_eta",   "xtc_probability", "xtc_threshold", "sequence"};

std::string Text(const GgufFile& file, std::string_view key) {
  return std::string(file.GetString(key).value_or(""));
}

// The value, or the largest element where the file has one per layer.
int64_t Largest(const GgufFile& file, std::string_view key) {
  if (const auto value = file.GetInteger(key)) return *value;
  const auto array = file.GetArray(key);
  int64_t largest = 0;
  if (array && (array->element_type() == GgufValueType::kUint32 ||
                array->element_type() == GgufValueType::kInt32)) {
    for (uint64_t i = 0; i < array->size(); ++i) largest = std::max(largest, array->Integer(i));
  }
  return largest;
}

std::vector<std::string_view> TokenTexts(const GgufFile& file) {
  const auto tokens = file.GetArray("tokenizer.ggml.tokens");
  if (!tokens || tokens->element_type() != GgufValueType::kString) return {};
  return tokens->Strings();
}

uint64_t Parameters(const GgufFile& file) {
  uint64_t total = 0;
  for (const GgufTensor& tensor : file.tensors()) total += tensor.elements;
  return total;
}

std::vector<QuantisationFact> CollectTypes(const GgufFile& file) {
  std::map<std::string_view, QuantisationFact> by_type;
  for (const GgufTensor& tensor : file.tensors()) {
    QuantisationFact& fact = by_type[tensor.type->name];
    fact.type = tensor.type->name;
    fact.tensors += 1;
    fact.elements += tensor.elements;
    fact.bytes += tensor.bytes;
  }
  std::vector<QuantisationFact> types;
  for (auto& [name, fact] : by_type) types.push_back(std::move(fact));
  std::stable_sort(types.begin(), types.end(),
                   [](const auto& a, const auto& b) { return a.elements > b.elements; });
  return types;
}

std::string ValueText(const GgufFile& file, const std::string& key) {
  if (const auto text = file.GetString(key)) return std::string(*text);
  if (const auto number = file.GetInteger(key)) return fmt::format("{}", *number);
  if (const auto number = file.GetFloat(key)) {
    return fmt::format("{}", static_cast<float>(*number));  // 0.8, not 0.800000011920929
  }
  return "";
}

std::string OrAbsent(const std::optional<int64_t>& id) {
  return id ? fmt::format("{}", *id) : "absent";
}

// Empty, or the first difference that keeps the two from sharing tokens.
std::string FirstDifference(const GgufFile& first, const GgufFile& second) {
  for (const char* key : {"tokenizer.ggml.model", "tokenizer.ggml.pre"}) {
    const std::string a = Text(first, key);
    const std::string b = Text(second, key);
    if (a != b) return fmt::format("{} is '{}' in one and '{}' in the other", key, a, b);
  }
  const std::vector<std::string_view> a = TokenTexts(first);
  const std::vector<std::string_view> b = TokenTexts(second);
  if (a.empty() || b.empty()) return "one of them has no vocabulary";
  const uint64_t shared = std::min(a.size(), b.size());
  for (uint64_t id = 0; id < shared; ++id) {
    if (a[id] != b[id]) {
      return fmt::format("token {} is '{}' in one and '{}' in the other", id, a[id], b[id]);
    }
  }
  if (std::max(a.size(), b.size()) - shared > kMaxPaddingTokens) {
    return fmt::format(
        "the vocabularies have {} and {} tokens; at most {} of difference can be "
        "padding",
        a.size(), b.size(), kMaxPaddingTokens);
  }
  for (const auto& [role, key] : {kSpecialTokens[0], kSpecialTokens[1], kSpecialTokens[2]}) {
    const auto id_a = first.GetInteger(key);
    const auto id_b = second.GetInteger(key);
    if (id_a != id_b) {
      return fmt::format("the {} token is {} in one and {} in the other", role, OrAbsent(id_a),
                         OrAbsent(id_b));
    }
  }
  return "";
}

}  // namespace

ModelFacts CollectModelFacts(const GgufFile& file) {
  ModelFacts facts;
  facts.architecture = Text(file, "general.architecture");
  facts.name = Text(file, "general.name");
  facts.parameters = Parameters(file);
  facts.file_bytes = file.file_bytes();
  facts.gguf_version = file.version();
  if (const auto number = file.GetInteger("general.file_type")) {
    facts.file_type = GgufFileTypeName(*number);
  }
  facts.types = CollectTypes(file);
  if (!facts.types.empty()) facts.dominant_type = facts.types.front().type;
  const std::string prefix = facts.architecture + ".";
  facts.context_tokens = Largest(file, prefix + "context_length");
  facts.embedding_length = Largest(file, prefix + "embedding_length");
  facts.layers = Largest(file, prefix + "block_count");
  facts.heads = Largest(file, prefix + "attention.head_count");
  facts.kv_heads = Largest(file, prefix + "attention.head_count_kv");
  if (facts.kv_heads == 0) facts.kv_heads = facts.heads;  // llama.cpp's default
  facts.experts = Largest(file, prefix + "expert_count");
  facts.tokenizer_model = Text(file, "tokenizer.ggml.model");
  facts.tokenizer_pre = Text(file, "tokenizer.ggml.pre");
  const std::vector<std::string_view> tokens = TokenTexts(file);
  facts.vocabulary_size = tokens.size();
  for (const auto& [role, key] : kSpecialTokens) {
    const auto id = file.GetInteger(key);
    if (!id) continue;
    const bool known = *id >= 0 && static_cast<uint64_t>(*id) < tokens.size();
    facts.special_tokens.push_back(
        {role, *id, known ? std::string(tokens[static_cast<size_t>(*id)]) : std::string()});
  }
  if (const auto text = file.GetString("tokenizer.chat_template")) facts.chat_template = *text;
  for (const char* name : kSamplingKeys) {
    const std::string key = fmt::format("general.sampling.{}", name);
    if (file.Has(key)) facts.sampling.emplace_back(name, ValueText(file, key));
  }
  return facts;
}

PairFacts CheckPair(const GgufFile& first, const GgufFile& second) {
  PairFacts facts;
  facts.reason = FirstDifference(first, second);
  facts.can_pair = facts.reason.empty();
  facts.first_is_draft = Parameters(first) < Parameters(second);
  return facts;
}

}  // namespace foretoken
