#include "server/openai_generation_fields.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "server/wire_json.h"

namespace foretoken {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr size_t kMaxStops = 16;
constexpr int64_t kMaxDraftTokens = 1024;
constexpr int64_t kMaxDeadlineMs = int64_t{24} * 3600 * 1000;
constexpr size_t kMaxMetadataPairs = 16;
constexpr int64_t kMaxMetadataKeyLength = 64;     // in characters
constexpr int64_t kMaxMetadataValueLength = 512;  // in characters
constexpr size_t kMaxTokenDigits = 9;

// Takes what a reader returned, if it returned anything.
template <typename Target, typename Value>
void Set(Target& target, const std::optional<Value>& value) {
  if (value) target = static_cast<Target>(*value);
}

std::vector<DraftSourceKind> ReadSources(WireObject& object, const nlohmann::json& array) {
  constexpr DraftSourceKind kAll[] = {DraftSourceKind::kDraftModel, DraftSourceKind::kSuffix,
                                      DraftSourceKind::kPrediction};
  std::vector<DraftSourceKind> sources;
  for (const nlohmann::json& element : array) {
    bool known = false;
    for (const DraftSourceKind kind : kAll) {
      if (!element.is_string() ||
          element.get_ref<const std::string&>() != DraftSourceKindName(kind))
        continue;
      known = true;
      sources.push_back(kind);
    }
    if (!known || sources.size() > std::size(kAll)) {
      object.FailValue("sources", object.PathOf("sources") +
                                      " must be an array of draft, suffix and prediction, at most "
                                      "one of each");
      return {};
    }
  }
  return sources;
}

std::optional<SpeculationFields> ReadSpeculation(WireObject& request) {
  const nlohmann::json* json = request.Object("speculation");
  if (json == nullptr) return std::nullopt;
  WireObject object(*json, "speculation", request.report());
  SpeculationFields fields;
  if (const auto mode = object.OneOf("mode", {"auto", "off", "fixed"})) {
    fields.mode = *mode == "auto"  ? SpeculationMode::kAuto
                  : *mode == "off" ? SpeculationMode::kOff
                                   : SpeculationMode::kFixed;
  }
  fields.draft_tokens = object.Integer("draft_tokens", {0, kMaxDraftTokens});
  fields.max_draft_tokens = object.Integer("max_draft_tokens", {0, kMaxDraftTokens});
  if (const auto* sources = object.Array("sources")) fields.sources = ReadSources(object, *sources);
  if (const auto rule = object.OneOf("rule", {"coupled", "max_acceptance"})) {
    fields.rule = *rule == "coupled" ? VerifyRule::kCoupled : VerifyRule::kMaxAcceptance;
  }
  object.IgnoreRest();
  return fields;
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// Of valid UTF-8: every byte but those that continue a character begins one.
int64_t CountCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

void ReadMetadata(WireObject& object, std::string& metadata) {
  const nlohmann::json* json = object.Object("metadata");
  if (json == nullptr) return;
  bool good = json->size() <= kMaxMetadataPairs;
  for (const auto& [key, value] : json->items()) {
    good = good && CountCharacters(key) <= kMaxMetadataKeyLength && value.is_string() &&
           CountCharacters(value.get_ref<const std::string&>()) <= kMaxMetadataValueLength;
  }
  if (!good) {
    object.FailValue(
        "metadata", fmt::format("metadata must be an object of at most {} strings of at most {} "
                                "characters, with keys of at most {}",
                                kMaxMetadataPairs, kMaxMetadataValueLength, kMaxMetadataKeyLength));
    return;
  }
  metadata = json->dump();
}

void ReadStop(WireObject& object, std::vector<std::string>& stop) {
  const nlohmann::json* json = object.Find("stop");
  if (json == nullptr) return;
  const nlohmann::json list = json->is_string() ? nlohmann::json::array({*json}) : *json;
  bool good = list.is_array() && list.size() <= kMaxStops;
  for (size_t i = 0; good && i < list.size(); ++i) {
    good = list[i].is_string() && !list[i].get_ref<const std::string&>().empty();
    if (good) stop.push_back(list[i].get<std::string>());
  }
  if (!good) {
    object.FailValue("stop", fmt::format("stop must be a string or an array of at most {} strings, "
                                         "none of them empty",
                                         kMaxStops));
  }
}

void ReadLogitBias(WireObject& object, std::vector<std::pair<TokenId, float>>& biases) {
  const nlohmann::json* json = object.Object("logit_bias");
  if (json == nullptr) return;
  for (const auto& [key, value] : json->items()) {
    TokenId token = -1;
    if (key.size() <= kMaxTokenDigits && std::all_of(key.begin(), key.end(), IsDigit)) {
      std::from_chars(key.data(), key.data() + key.size(), token);
    }
    const double bias = value.is_number() ? value.get<double>() : 1000;
    if (token < 0 || bias < -100 || bias > 100) {
      object.FailValue("logit_bias",
                       "logit_bias must be an object whose keys are token ids, such as \"50256\", "
                       "and whose values are numbers between -100 and 100");
      return;
    }
    biases.emplace_back(token, static_cast<float>(bias));
  }
}

}  // namespace

SpeculativeConfig SpeculationFields::Over(SpeculativeConfig base) const {
  Set(base.mode, mode);
  Set(base.draft_k, draft_tokens);
  Set(base.max_draft_tokens, max_draft_tokens);
  if (sources) base.sources = *sources;
  Set(base.rule, rule);
  return base;
}

void ReadGenerationFields(WireObject& object, GenerationFields& fields) {
  fields.model = object.String("model").value_or("");  // empty: the tenant's own
  SamplingOptions& sampling = fields.options.sampling;
  Set(sampling.temperature, object.Number("temperature", {0, 2}));
  if (const auto top_p = object.Number("top_p", {0, 1})) {
    // 0 is allowed by the API and means the least: the most likely token only.
    sampling.top_p = std::max(static_cast<float>(*top_p), std::numeric_limits<float>::min());
  }
  Set(sampling.top_k, object.Integer("top_k", {-1, kMaxInt32}));
  sampling.top_k = std::max(sampling.top_k, 0);  // others write -1 for off
  Set(sampling.min_p, object.Number("min_p", {0, 1}));
  Set(sampling.repetition_penalty, object.Number("repetition_penalty", {0.01, 100}));
  if (const auto seed = object.Integer(
          "seed", {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()})) {
    sampling.seed = static_cast<uint64_t>(*seed);
  }
  Set(fields.options.ignore_end_of_text, object.Bool("ignore_eos"));
  Set(fields.options.deadline_ms, object.Integer("deadline_ms", {0, kMaxDeadlineMs}));
  fields.speculation = ReadSpeculation(object);
  Set(fields.stream, object.Bool("stream"));
  if (auto user = object.String("user")) fields.user = *std::move(user);
  ReadMetadata(object, fields.metadata);
  if (object.Bool("store").value_or(false)) object.report().Ignore("store");
}

void ReadCompletionFields(WireObject& object, GenerationFields& fields) {
  Set(fields.n, object.Integer("n", {1, kMaxWireChoices}));
  SamplingOptions& sampling = fields.options.sampling;
  Set(sampling.frequency_penalty, object.Number("frequency_penalty", {-2, 2}));
  Set(sampling.presence_penalty, object.Number("presence_penalty", {-2, 2}));
  ReadLogitBias(object, sampling.logit_bias);
  ReadStop(object, fields.options.stop);
  if (const nlohmann::json* json = object.Object("stream_options")) {
    WireObject options(*json, "stream_options", object.report());
    Set(fields.include_usage, options.Bool("include_usage"));
    options.IgnoreRest();
  }
}

}  // namespace foretoken
