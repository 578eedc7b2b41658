#ifndef FORETOKEN_RUNTIME_MANAGER_H_
#define FORETOKEN_RUNTIME_MANAGER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/generation.h"
#include "foretoken/metrics.h"
#include "foretoken/options.h"
#include "foretoken/reply_parser.h"
#include "foretoken/status.h"

namespace foretoken {

class ModelLoader;

// How a model's text becomes tokens and back.
// Any thread may call it. Owned by its TenantRuntime.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // The tokens of a prompt as the model gets them. INVALID_ARGUMENT for tokens outside the
  // vocabulary; FAILED_PRECONDITION for messages where the model has no chat template.
  // `add_special`: of a text, whether it begins with the begin of text if the model wants one.
  virtual Result<std::vector<TokenId>> Tokenize(const PromptContent& prompt,
                                                bool add_special = true) const = 0;
  // What a token of an answer adds to its text, maybe a part of a character; empty for control
  // tokens and for numbers outside the vocabulary.
  virtual std::string TokenBytes(TokenId token) const = 0;
  // Its own name, control tokens included; empty for numbers outside the vocabulary.
  virtual std::string TokenText(TokenId token) const = 0;
  // Reads the answer to such a prompt: content and calls of tools. FAILED_PRECONDITION and
  // INVALID_ARGUMENT as for the prompt itself, UNIMPLEMENTED for a model whose form of a call
  // cannot be read.
  virtual Result<std::unique_ptr<ReplyParser>> NewReplyParser(const ChatPrompt& prompt) const = 0;
};

// What a tenant's target is and can.
struct TargetInfo {
  int32_t context_tokens = 0;   // of one request, prompt and answer
  int32_t cache_tokens = 0;     // of all requests together
  int32_t vocabulary_size = 0;  // padding included
  // The sampling settings the file recommends, over the defaults.
  SamplingOptions recommended_sampling;
};

// A tenant: its models, its policy and its state. Weights are shared with every tenant that names
// the same file; nothing else is.
// Any thread may call it. It must not outlive its RuntimeManager.
class TenantRuntime {
 public:
  virtual ~TenantRuntime() = default;

  virtual const TenantConfig& config() const = 0;
  // What is configured; null without a draft model. Configured does not mean ready.
  const ModelConfig* draft_model_config() const {
    return config().draft_model ? &*config().draft_model : nullptr;
  }
  // OK when a draft model is configured and can run, otherwise the reason why not: then the sources
  // that need no model go on, or plain decoding does.
  virtual Status draft_ready() const = 0;

  virtual const TargetInfo& target_info() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;

  // What the tenant's requests did and got since it was added.
  virtual TenantMetrics Metrics() const = 0;

  // Starts a generation. Errors that the request itself carries (options, an over-long prompt, no
  // chat template) come back here; later ones in the stream's FinishedEvent.
  virtual Result<std::unique_ptr<GenerationStream>> GenerateStream(GenerateRequest request) = 0;
  // For operators: lets the prompts of all tenants of this target that begin as `prompt` does share
  // the cache of that beginning. What one tenant's prompts hold is never shared otherwise.
  virtual Status AddPublicPrefix(const PromptContent& prompt) = 0;
  // GenerateStream, collected. A failure midway is an error here.
  Result<GenerationResult> Generate(GenerateRequest request);
};

// Finds or creates the tenants of a process.
// Any thread may call it; its lock is held for the look-up only, never while a model loads or
// generates. It must outlive its tenants and their streams.
class RuntimeManager {
 public:
  // Loads models from files with the built-in back end.
  static Result<std::unique_ptr<RuntimeManager>> Create(const RuntimeOptions& options = {});
  // With a loader of one's own (tests, other back ends).
  static Result<std::unique_ptr<RuntimeManager>> Create(const RuntimeOptions& options,
                                                        std::unique_ptr<ModelLoader> loader);
  virtual ~RuntimeManager() = default;

  // Creates a tenant and loads its models, or fails without a trace. A draft model that cannot be
  // used does not fail it: see TenantRuntime::draft_ready(). An existing name is an error, and so
  // is another tenant's suffix_store_path.
  virtual Result<std::shared_ptr<TenantRuntime>> AddTenant(TenantConfig config) = 0;
  virtual Result<std::shared_ptr<TenantRuntime>> FindTenant(std::string_view name) const = 0;
  // Running generations of the tenant end as cancelled; what is cached of its prompts is forgotten,
  // its suffix store is saved where that was asked for, the models it alone used are unloaded. An
  // error of saving is returned; the tenant is removed all the same.
  virtual Status RemoveTenant(std::string_view name) = 0;
  virtual std::vector<std::string> TenantNames() const = 0;
  // The figures of every engine that runs, one per loaded target.
  virtual std::vector<EngineMetrics> Metrics() const = 0;

  // The same as FindTenant and the tenant's own function.
  Result<GenerationResult> Generate(std::string_view tenant, GenerateRequest request);
  Result<std::unique_ptr<GenerationStream>> GenerateStream(std::string_view tenant,
                                                           GenerateRequest request);
};

}  // namespace foretoken

#endif  // FORETOKEN_RUNTIME_MANAGER_H_
