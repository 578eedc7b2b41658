#ifndef FORETOKEN_FORETOKEN_GENERATION_FLAGS_H_
#define FORETOKEN_FORETOKEN_GENERATION_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"

namespace CLI {
class App;
}

namespace foretoken {

// What the user said about sampling; absent fields were not said.
struct SamplingFlags {
  std::optional<float> temperature;
  std::optional<int32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<float> frequency_penalty;
  std::optional<float> presence_penalty;
  std::optional<uint64_t> seed;
};

// The flags that `run`, `chat` and the benches share.
struct GenerationFlags {
  std::string model;  // a name of a pulled model or a path
  std::string draft;  // the same; empty: no draft model
  int32_t context_tokens = 0;
  int32_t kv_cache_tokens = 0;
  int32_t threads = 0;
  CpuKernels kernels = CpuKernels::kInvariant;
  CacheType cache_type = CacheType::kF16;
  int32_t max_tokens = 512;
  bool ignore_end_of_text = false;
  std::vector<std::string> stop;
  SamplingFlags sampling;
  SpeculativeConfig speculation;
  bool sources_given = false;
};

// The GGUF file that -m and -d mean: the name of a pulled model or a path.
Result<std::string> ResolveModel(const std::string& name_or_path);

// Each adds its flags to a command. A bad value ends the parse with a CLI::ParseError that says
// what the value was and what would be right. `flags` must outlive the parse.
void AddModelFlags(CLI::App& command, GenerationFlags& flags);
void AddLengthFlags(CLI::App& command, GenerationFlags& flags);
void AddSamplingFlags(CLI::App& command, GenerationFlags& flags);
void AddSpeculationFlags(CLI::App& command, GenerationFlags& flags);
// The part of AddSpeculationFlags that does not say how much is drafted.
void AddDraftingFlags(CLI::App& command, GenerationFlags& flags);
// An integer option of a command's own, bounded like the shared ones.
void AddIntegerFlag(CLI::App& command, const std::string& names, const std::string& help,
                    int32_t minimum, int32_t maximum, int32_t& value);

// `base` at "auto", "off" or a number of tokens to draft in every round; empty for other text.
std::optional<SpeculativeConfig> ReadSpeculation(std::string_view text, SpeculativeConfig base);
inline constexpr std::string_view kSpeculationValues =
    "auto, off, or the number of tokens to draft in a round (0 or more)";

// `base` with what the user said.
SamplingOptions ApplySamplingFlags(const SamplingFlags& flags, SamplingOptions base);

// Contradictions between flags, and options no single flag can check: INVALID_ARGUMENT.
Status CheckGenerationFlags(const GenerationFlags& flags);

// The request options that the flags ask for, over the sampling defaults in `base`.
GenerateOptions MakeGenerateOptions(const GenerationFlags& flags, SamplingOptions base);

// A tenant that serves the flags' models. NOT_FOUND says which names are near.
Result<TenantConfig> MakeTenantConfig(const GenerationFlags& flags, std::string name);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_GENERATION_FLAGS_H_
