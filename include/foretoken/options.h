#ifndef FORETOKEN_OPTIONS_H_
#define FORETOKEN_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "foretoken/status.h"

namespace foretoken {

// A token's number in a model's vocabulary, 0 to vocabulary size - 1.
using TokenId = int32_t;

// How the next token is chosen from a row of logits. The order of processing is fixed: penalties,
// bias, temperature, top-k, top-p, min-p; see docs/sampling.md.
struct SamplingOptions {
  float temperature = 1.0f;  // >= 0; 0 takes the most likely token
  int32_t top_k = 0;         // >= 0; keep the k most likely tokens; 0 keeps all
  float top_p = 1.0f;        // 0 < p <= 1; keep the smallest set of at least this probability
  float min_p = 0.0f;        // 0 <= p <= 1; drop tokens below p times the most likely one
  float repetition_penalty = 1.0f;  // > 0; on tokens of prompt and output; 1 is none
  float frequency_penalty = 0.0f;   // -2 to 2; per occurrence in the output
  float presence_penalty = 0.0f;    // -2 to 2; once if it occurs in the output
  std::vector<std::pair<TokenId, float>> logit_bias;  // added to the logit; -100 to 100
  // The noise of the request. The same seed, prompt and options give the same tokens. Drawn at
  // random and returned when absent.
  std::optional<uint64_t> seed;
};

enum class SpeculationMode {
  kAuto,   // the runtime decides how many tokens to draft, zero included
  kOff,    // plain decoding
  kFixed,  // draft_k tokens in every round
};

enum class DraftSourceKind { kDraftModel, kSuffix };

enum class VerifyRule {
  // Draft and target choose with the same noise and a draft is accepted where it equals the
  // target's own choice: the same tokens with speculation on or off (arXiv 2408.07978).
  kCoupled,
  // Rejection sampling, block by block: the target's law, more accepted tokens at high
  // temperature, but not the same tokens for a seed (arXiv 2211.17192, 2403.10444).
  kMaxAcceptance,
};

// How a request is speculated. Validated once, never adjusted in silence.
struct SpeculativeConfig {
  SpeculationMode mode = SpeculationMode::kAuto;
  int32_t draft_k = 4;           // >= 0; tokens proposed in a round; 0 is plain decoding
  int32_t max_draft_tokens = 8;  // >= 0; the most tokens ever proposed in a round
  // Sources that may propose, in order of preference; a source that cannot run is skipped.
  std::vector<DraftSourceKind> sources = {DraftSourceKind::kSuffix, DraftSourceKind::kDraftModel};
  VerifyRule rule = VerifyRule::kCoupled;
};

struct GenerateOptions {
  int32_t max_tokens = 512;  // >= 1; the most tokens generated, the end-of-text token included
  SamplingOptions sampling;
  // Absent: the tenant's.
  std::optional<SpeculativeConfig> speculation;
  // Text at which the answer ends; not part of the answer. At most 16, none empty.
  std::vector<std::string> stop;
  // Absent: no log-probabilities. Otherwise the chosen token's and this many of the most likely
  // (0 to 20), of the unprocessed row.
  std::optional<int32_t> logprobs;
  bool ignore_end_of_text = false;  // for benchmarks: end-of-text tokens do not end the answer
};

// A model file and how much of it to use.
struct ModelConfig {
  std::string id;              // the name it is known by; for messages and metrics
  std::string path;            // a GGUF file
  int32_t context_tokens = 0;  // >= 0; 0: the model's own context, at most 8,192
  // >= 0; 0: the machine's physical cores.
  int32_t threads = 0;
};

struct TenantConfig {
  std::string name;
  ModelConfig target;
  std::optional<ModelConfig> draft_model;
  SpeculativeConfig speculation;
};

struct RuntimeOptions {
  // Events that a stream holds before generation waits for its reader. 1 to 65,536.
  int32_t stream_capacity = 256;
};

// OK, or INVALID_ARGUMENT naming the field, its value and the allowed range. NaN is never valid.
Status Validate(const SamplingOptions& options);
Status Validate(const SpeculativeConfig& config);
Status Validate(const GenerateOptions& options);
Status Validate(const ModelConfig& config);
Status Validate(const TenantConfig& config);
Status Validate(const RuntimeOptions& options);

}  // namespace foretoken

#endif  // FORETOKEN_OPTIONS_H_
