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

enum class DraftSourceKind {
  kDraftModel,  // a small model's own continuation
  kSuffix,      // what followed the same words before, in the session or the tenant's answers
  kPrediction,  // the text the client expects: GenerateOptions::prediction
};

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
  // Sources that may propose; a source that cannot run is skipped. kAuto takes the one that is
  // expected to pay most, round by round; kFixed the first that has something to say.
  std::vector<DraftSourceKind> sources = {DraftSourceKind::kPrediction, DraftSourceKind::kSuffix,
                                          DraftSourceKind::kDraftModel};
  VerifyRule rule = VerifyRule::kCoupled;

  friend bool operator==(const SpeculativeConfig&, const SpeculativeConfig&) = default;
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
  // Which of several samples of one request this is: choice i draws from noise stream i, so the
  // same seed and choice give the same tokens and different choices different ones.
  uint64_t choice = 0;
  // Text that the answer is expected to resemble ("predicted outputs"); proposed as drafts, never
  // copied unverified. Empty: none.
  std::string prediction;
  // >= 0; milliseconds from submission after which the answer ends, with what it has by then, as
  // kCancelled with DEADLINE_EXCEEDED. 0: no deadline.
  int64_t deadline_ms = 0;
  // One of the tenant's adapters by its id; empty: the base model.
  std::string adapter;
};

// The code that does a model's arithmetic on the CPU.
enum class CpuKernels {
  // Foretoken's own: a row's logits are the same bits whatever else is in the batch, and a verified
  // token costs little more than none.
  kInvariant,
  kStock,  // those of ggml
};

// How keys and values are kept in the KV cache.
enum class CacheType {
  kF16,
  kQ8_0,  // a little over half of that; logits differ a little
};

// A model file and how much of it to use.
struct ModelConfig {
  std::string id;              // the name it is known by; for messages and metrics
  std::string path;            // a GGUF file
  int32_t context_tokens = 0;  // >= 0; 0: the model's own context, at most 8,192
  // >= 0; 0: the machine's physical cores, fewer under a CPU quota.
  int32_t threads = 0;
  // >= 0; tokens of KV cache that all running and cached sequences share; at least context_tokens.
  // 0: as many as context_tokens.
  int32_t kv_cache_tokens = 0;
  CpuKernels kernels = CpuKernels::kInvariant;
  CacheType cache_type = CacheType::kF16;

  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

// A LoRA adapter of a tenant, over the target's shared weights.
struct AdapterConfig {
  std::string id;     // what GenerateOptions::adapter names
  std::string path;   // a GGUF adapter file made for the target's architecture
  float scale = 1.0;  // finite; the strength of its change

  friend bool operator==(const AdapterConfig&, const AdapterConfig&) = default;
};

struct TenantConfig {
  std::string name;
  ModelConfig target;
  std::optional<ModelConfig> draft_model;
  // The default of its requests. Its max_draft_tokens also bounds what a request may ask for, and
  // kOff here is kOff for all of them.
  SpeculativeConfig speculation;
  // 0.001 to 1,000; the tenant's share of the engine, and of its drafted positions, against
  // those of other tenants that want them at the same time.
  double weight = 1.0;
  std::vector<AdapterConfig> adapters;
  // Bytes that the index of the tenant's finished answers may hold, a source of drafts; the least
  // recently used go first. 0: none is kept. At most 1 GiB.
  int64_t suffix_store_bytes = 16 << 20;
  // Where that index is loaded from when the tenant is added and saved when it is removed; empty:
  // it is not kept. No two tenants may have the same; links to it are followed.
  std::string suffix_store_path;

  friend bool operator==(const TenantConfig&, const TenantConfig&) = default;
};

struct RuntimeOptions {
  // Events that a stream holds. 1 to 65,536. A full stream pauses its own generation only.
  int32_t stream_capacity = 256;
  // >= 1; how long a generation waits for the reader of a full stream before it is cancelled.
  int64_t slow_reader_ms = 30000;
  // 1 to 256; requests of one target that run at a time; the others wait in fair order.
  int32_t max_running = 32;
  // 1.5 to 1,000; a step that carries a part of a prompt beside running streams takes at most about
  // this many times as long as without: the bound on how much a long prompt slows the others.
  double prefill_slowdown = 3.0;
  // Whether prompts reuse what is cached of the tenant's earlier ones.
  bool prefix_reuse = true;
  // >= 0; bytes of host memory for the state of generations that had to give up their KV cells;
  // those beyond it are computed again.
  int64_t paused_state_bytes = int64_t{1} << 30;
};

// OK, or INVALID_ARGUMENT naming the field, its value and the allowed range. NaN is never valid.
Status Validate(const SamplingOptions& options);
Status Validate(const SpeculativeConfig& config);
Status Validate(const GenerateOptions& options);
Status Validate(const ModelConfig& config);
Status Validate(const AdapterConfig& config);
Status Validate(const TenantConfig& config);
Status Validate(const RuntimeOptions& options);

}  // namespace foretoken

#endif  // FORETOKEN_OPTIONS_H_
