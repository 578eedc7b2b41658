#include "generation_flags.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/macros.h"
#include "model/model_catalogue.h"
#include "model/model_store.h"

namespace foretoken {
namespace {

constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();

// The whole of `text` as a number; empty for anything else, overflow included.
template <typename T>
std::optional<T> ParseNumber(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

[[noreturn]] void RefuseValue(const std::string& name, const std::string& text,
                              std::string_view allowed) {
  throw CLI::ValidationError(fmt::format("{} is '{}'; it must be {}", name, text, allowed));
}

// A number with a test for its range; NaN must fail every test.
template <typename T>
struct NumberFlag {
  std::string names;  // "-n,--max-tokens"
  std::string type;
  std::string help;
  std::function<bool(T)> allowed;
  std::string range;
};

template <typename T>
CLI::Option* AddNumber(CLI::App& command, const NumberFlag<T>& flag, std::function<void(T)> set) {
  const std::string name = flag.names.substr(flag.names.rfind(',') + 1);
  return command
      .add_option_function<std::string>(
          flag.names,
          [=](const std::string& text) {
            const std::optional<T> value = ParseNumber<T>(text);
            if (!value || !flag.allowed(*value)) RefuseValue(name, text, flag.range);
            set(*value);
          },
          flag.help)
      ->type_name(flag.type);
}

std::vector<DraftSourceKind> ParseSources(const std::string& text) {
  std::vector<DraftSourceKind> sources;
  if (text == "none") return sources;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view name = std::string_view(text).substr(begin, end - begin);
    DraftSourceKind kind{};
    if (name == "prediction") {
      kind = DraftSourceKind::kPrediction;
    } else if (name == "suffix") {
      kind = DraftSourceKind::kSuffix;
    } else if (name == "draft") {
      kind = DraftSourceKind::kDraftModel;
    } else {
      RefuseValue("--sources", text,
                  "prediction, suffix, draft, several of them separated by commas, or none");
    }
    if (std::find(sources.begin(), sources.end(), kind) != sources.end()) {
      RefuseValue("--sources", text, "a list that names each source once");
    }
    sources.push_back(kind);
    begin = end + 1;
  }
  return sources;
}

}  // namespace

Result<std::string> ResolveModel(const std::string& name_or_path) {
  FORETOKEN_ASSIGN_OR_RETURN(const ModelCatalogue catalogue, ModelCatalogue::Load());
  FORETOKEN_ASSIGN_OR_RETURN(std::string directory, ModelStore::DefaultDirectory());
  return ModelStore(std::move(directory)).Resolve(name_or_path, &catalogue);
}

void AddIntegerFlag(CLI::App& command, const std::string& names, const std::string& help,
                    int32_t minimum, int32_t maximum, int32_t& value) {
  const std::string range = maximum == kMaxInt
                                ? fmt::format("a whole number, {} or more", minimum)
                                : fmt::format("a whole number, {} to {}", minimum, maximum);
  AddNumber<int32_t>(
      command, {names, "N", help, [=](int32_t n) { return n >= minimum && n <= maximum; }, range},
      [&value](int32_t n) { value = n; });
}

void AddModelFlags(CLI::App& command, GenerationFlags& flags) {
  command.add_option("-m,--model", flags.model, "The model: a pulled name or a GGUF file")
      ->type_name("MODEL")
      ->required();
  command
      .add_option("-d,--draft", flags.draft,
                  "A small model with the same vocabulary that drafts tokens")
      ->type_name("MODEL");
  AddIntegerFlag(command, "--context",
                 "Tokens of context, prompt and answer (default: the model's, at most 8192)", 0,
                 kMaxInt, flags.context_tokens);
  AddIntegerFlag(command, "--kv-cache",
                 "Tokens of KV cache that all sequences share (default: as many as --context)", 0,
                 kMaxInt, flags.kv_cache_tokens);
  AddIntegerFlag(command, "--threads", "Threads that compute (default: the physical cores)", 0, 512,
                 flags.threads);
  command
      .add_option("--cache-type", flags.cache_type,
                  "What the KV cache holds: f16 (default) or q8_0 (half the memory)")
      ->type_name("TYPE")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, CacheType>{{"f16", CacheType::kF16}, {"q8_0", CacheType::kQ8_0}}));
  command
      .add_option("--kernels", flags.kernels,
                  "The CPU's arithmetic: invariant (same bits in every batch) or stock (ggml's)")
      ->type_name("KIND")
      ->transform(CLI::CheckedTransformer(std::map<std::string, CpuKernels>{
          {"invariant", CpuKernels::kInvariant}, {"stock", CpuKernels::kStock}}));
}

void AddLengthFlags(CLI::App& command, GenerationFlags& flags) {
  AddIntegerFlag(command, "-n,--max-tokens",
                 fmt::format("The most tokens to generate (default: {})", flags.max_tokens), 1,
                 kMaxInt, flags.max_tokens);
  command.add_option("--stop", flags.stop, "Text that ends the answer; may be given again")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command.add_flag("--ignore-end-of-text", flags.ignore_end_of_text,
                   "Go on past the model's end of text, to -n tokens");
}

void AddSamplingFlags(CLI::App& command, GenerationFlags& flags) {
  command.option_defaults()->group("Sampling");
  SamplingFlags& s = flags.sampling;
  const auto number = [&](const char* name, const char* help, std::function<bool(float)> allowed,
                          const char* range, std::optional<float>& value) {
    AddNumber<float>(command, {name, "X", help, std::move(allowed), range},
                     [&value](float x) { value = x; });
  };
  const auto is_penalty = [](float x) { return x >= -2 && x <= 2; };
  number(
      "--temperature", "0 takes the most likely token (default: the model's hint, or 1)",
      [](float x) { return std::isfinite(x) && x >= 0; }, "a finite number, 0 or more",
      s.temperature);
  AddNumber<int32_t>(command,
                     {"--top-k", "K", "Keep the K most likely tokens; 0 keeps all",
                      [](int32_t k) { return k >= 0; }, "a whole number, 0 (off) or more"},
                     [&s](int32_t k) { s.top_k = k; });
  number(
      "--top-p", "Keep the smallest set of at least this probability",
      [](float x) { return x > 0 && x <= 1; }, "above 0 and at most 1", s.top_p);
  number(
      "--min-p", "Drop tokens below this share of the most likely one's probability",
      [](float x) { return x >= 0 && x <= 1; }, "between 0 and 1", s.min_p);
  number(
      "--repetition-penalty", "On tokens of prompt and answer; 1 is none",
      [](float x) { return std::isfinite(x) && x > 0; }, "a finite number above 0",
      s.repetition_penalty);
  number("--frequency-penalty", "On tokens of the answer, per occurrence", is_penalty,
         "between -2 and 2", s.frequency_penalty);
  number("--presence-penalty", "On tokens of the answer, once", is_penalty, "between -2 and 2",
         s.presence_penalty);
  AddNumber<uint64_t>(command,
                      {"--seed", "S", "The same seed gives the same answer (default: random)",
                       [](uint64_t) { return true; }, "a whole number, 0 to 18446744073709551615"},
                      [&s](uint64_t seed) { s.seed = seed; });
  command.option_defaults()->group("Options");
}

void AddSpeculationFlags(CLI::App& command, GenerationFlags& flags) {
  command.option_defaults()->group("Speculation");
  command
      .add_option_function<std::string>(
          "--speculation",
          [&flags](const std::string& text) {
            const auto config = ReadSpeculation(text, flags.speculation);
            if (!config) RefuseValue("--speculation", text, kSpeculationValues);
            flags.speculation = *config;
          },
          "auto (default), off, or K tokens drafted in every round")
      ->type_name("auto|off|K");
  command.option_defaults()->group("Options");
  AddDraftingFlags(command, flags);
}

void AddDraftingFlags(CLI::App& command, GenerationFlags& flags) {
  command.option_defaults()->group("Speculation");
  command
      .add_option_function<std::string>(
          "--sources",
          [&flags](const std::string& text) {
            flags.speculation.sources = ParseSources(text);
            flags.sources_given = true;
          },
          "Who may draft, in order of preference (default: prediction,suffix,draft)")
      ->type_name("prediction,suffix,draft");
  command
      .add_option_function<std::string>(
          "--rule",
          [&flags](const std::string& text) {
            if (text == "coupled") {
              flags.speculation.rule = VerifyRule::kCoupled;
            } else if (text == "max-acceptance") {
              flags.speculation.rule = VerifyRule::kMaxAcceptance;
            } else {
              RefuseValue("--rule", text, "coupled or max-acceptance");
            }
          },
          "coupled (default): the same tokens as without speculation; max-acceptance: the same "
          "law, other tokens")
      ->type_name("coupled|max-acceptance");
  command.option_defaults()->group("Options");
}

std::optional<SpeculativeConfig> ReadSpeculation(std::string_view text, SpeculativeConfig base) {
  if (text == "auto") {
    base.mode = SpeculationMode::kAuto;
    return base;
  }
  if (text == "off") {
    base.mode = SpeculationMode::kOff;
    return base;
  }
  const std::optional<int32_t> k = ParseNumber<int32_t>(text);
  if (!k || *k < 0) return std::nullopt;
  base.mode = SpeculationMode::kFixed;
  base.draft_k = *k;
  // A fixed length is what the user asked for; the cap is for the automatic one.
  base.max_draft_tokens = std::max(base.max_draft_tokens, *k);
  return base;
}

SamplingOptions ApplySamplingFlags(const SamplingFlags& flags, SamplingOptions base) {
  base.temperature = flags.temperature.value_or(base.temperature);
  base.top_k = flags.top_k.value_or(base.top_k);
  base.top_p = flags.top_p.value_or(base.top_p);
  base.min_p = flags.min_p.value_or(base.min_p);
  base.repetition_penalty = flags.repetition_penalty.value_or(base.repetition_penalty);
  base.frequency_penalty = flags.frequency_penalty.value_or(base.frequency_penalty);
  base.presence_penalty = flags.presence_penalty.value_or(base.presence_penalty);
  if (flags.seed) base.seed = flags.seed;
  return base;
}

Status CheckGenerationFlags(const GenerationFlags& flags) {
  const auto& sources = flags.speculation.sources;
  const bool wants_draft =
      std::find(sources.begin(), sources.end(), DraftSourceKind::kDraftModel) != sources.end();
  if (flags.sources_given && wants_draft && flags.draft.empty()) {
    return InvalidArgumentError("--sources names draft; give the draft model with -d");
  }
  if (flags.kv_cache_tokens > 0 && flags.kv_cache_tokens < flags.context_tokens) {
    return InvalidArgumentError(
        fmt::format("--kv-cache is {}; it must hold one context at least: --context is {}",
                    flags.kv_cache_tokens, flags.context_tokens));
  }
  return Validate(MakeGenerateOptions(flags, SamplingOptions()));
}

GenerateOptions MakeGenerateOptions(const GenerationFlags& flags, SamplingOptions base) {
  GenerateOptions options;
  options.max_tokens = flags.max_tokens;
  options.sampling = ApplySamplingFlags(flags.sampling, std::move(base));
  options.speculation = flags.speculation;
  options.stop = flags.stop;
  options.ignore_end_of_text = flags.ignore_end_of_text;
  return options;
}

Result<TenantConfig> MakeTenantConfig(const GenerationFlags& flags, std::string name) {
  const auto model = [&](const std::string& id) -> Result<ModelConfig> {
    FORETOKEN_ASSIGN_OR_RETURN(std::string path, ResolveModel(id));
    return ModelConfig{.id = id,
                       .path = std::move(path),
                       .context_tokens = flags.context_tokens,
                       .threads = flags.threads,
                       .kv_cache_tokens = flags.kv_cache_tokens,
                       .kernels = flags.kernels,
                       .cache_type = flags.cache_type};
  };
  TenantConfig config;
  config.name = std::move(name);
  config.speculation = flags.speculation;
  FORETOKEN_ASSIGN_OR_RETURN(config.target, model(flags.model));
  if (!flags.draft.empty()) {
    FORETOKEN_ASSIGN_OR_RETURN(config.draft_model, model(flags.draft));
  }
  return config;
}

}  // namespace foretoken
