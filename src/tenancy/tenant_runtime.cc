#include "tenancy/tenant_runtime.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/macros.h"
#include "base/random_seed.h"
#include "model/prompt_tokens.h"
#include "sampling/sampler.h"

namespace foretoken {
namespace {

bool Names(const SpeculativeConfig& config, DraftSourceKind kind) {
  return config.mode != SpeculationMode::kOff &&
         std::find(config.sources.begin(), config.sources.end(), kind) != config.sources.end();
}

TargetInfo InfoOf(const Engine& engine) {
  const BackendDescription& target = engine.target_description();
  TargetInfo info;
  info.context_tokens = target.context_tokens;
  info.cache_tokens = target.cache_tokens;
  info.vocabulary_size = target.vocabulary_size;
  info.recommended_sampling = engine.target().RecommendedSampling(SamplingOptions());
  return info;
}

bool IsIn(const Vocabulary& vocabulary, TokenId token) {
  return token >= 0 && token < vocabulary.size();
}

}  // namespace

Result<std::vector<TokenId>> SharedTargetTenant::TargetTokenizer::Tokenize(
    const PromptContent& prompt, bool add_special) const {
  return TokenizePrompt(target_, prompt, add_special);
}

std::string SharedTargetTenant::TargetTokenizer::TokenBytes(TokenId token) const {
  return IsIn(target_.vocabulary(), token) ? target_.vocabulary().Piece(token) : std::string();
}

std::string SharedTargetTenant::TargetTokenizer::TokenText(TokenId token) const {
  return IsIn(target_.vocabulary(), token) ? target_.vocabulary().TokenText(token) : std::string();
}

Result<std::unique_ptr<ReplyParser>> SharedTargetTenant::TargetTokenizer::NewReplyParser(
    const ChatPrompt& prompt) const {
  return target_.NewReplyParser(prompt);
}

SharedTargetTenant::SharedTargetTenant(TenantConfig config, TenantParts parts)
    : config_(std::move(config)),
      parts_(std::move(parts)),
      tokenizer_(parts_.engine->target()),
      target_info_(InfoOf(*parts_.engine)) {}

TenantMetrics SharedTargetTenant::Metrics() const {
  return parts_.engine->MetricsOf(parts_.state->key);
}

Result<std::unique_ptr<GenerationStream>> SharedTargetTenant::GenerateStream(
    GenerateRequest request) {
  FORETOKEN_ASSIGN_OR_RETURN(EngineRequest made, MakeEngineRequest(std::move(request)));
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<StreamChannel> channel, Submit(std::move(made)));
  return NewChannelStream(std::move(channel));
}

SpeculativeConfig SharedTargetTenant::SpeculationFor(const GenerateOptions& options) const {
  SpeculativeConfig speculation = options.speculation.value_or(config_.speculation);
  if (config_.speculation.mode == SpeculationMode::kOff) speculation.mode = SpeculationMode::kOff;
  speculation.max_draft_tokens =
      std::min(speculation.max_draft_tokens, config_.speculation.max_draft_tokens);
  return speculation;
}

Result<EngineRequest> SharedTargetTenant::MakeEngineRequest(GenerateRequest request) const {
  FORETOKEN_RETURN_IF_ERROR(Validate(request.options));
  const Engine& engine = *parts_.engine;
  const int32_t vocabulary_size = engine.target_description().vocabulary_size;
  EngineRequest made;
  made.tenant = parts_.state;
  made.seed = request.options.sampling.seed.value_or(RandomSeed());
  // Wrong options are the caller's to hear of now, not the stream's reader's later.
  FORETOKEN_RETURN_IF_ERROR(
      Sampler::Create(request.options.sampling, made.seed, vocabulary_size).status());
  FORETOKEN_ASSIGN_OR_RETURN(made.prompt, TokenizePrompt(engine.target(), request.prompt));
  made.speculation = SpeculationFor(request.options);
  if (Names(made.speculation, DraftSourceKind::kDraftModel)) {
    made.draft = parts_.draft;
    if (config_.draft_model && !parts_.draft_status.ok()) {
      made.warnings.push_back("the draft model is not used: " + parts_.draft_status.message());
    }
  }
  if (!request.options.prediction.empty() &&
      Names(made.speculation, DraftSourceKind::kPrediction)) {
    FORETOKEN_ASSIGN_OR_RETURN(
        made.prediction,
        engine.target().vocabulary().Tokenize(request.options.prediction, /*add_special=*/false,
                                              /*parse_special=*/false));
  }
  if (const std::string& id = request.options.adapter; !id.empty()) {
    const auto found = std::find_if(parts_.adapters.begin(), parts_.adapters.end(),
                                    [&](const auto& adapter) { return adapter->id == id; });
    if (found == parts_.adapters.end()) {
      return NotFoundError(fmt::format("tenant '{}' has no adapter '{}'", config_.name, id));
    }
    made.adapter = *found;
  }
  made.options = std::move(request.options);
  return made;
}

Result<std::shared_ptr<StreamChannel>> SharedTargetTenant::Submit(EngineRequest request) {
  MutexLock lock(mutex_);
  if (closed_) return NotFoundError("tenant '" + config_.name + "' was removed");
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<StreamChannel> channel,
                             parts_.engine->Submit(std::move(request)));
  std::erase_if(streams_, [](const auto& stream) { return stream.expired(); });
  streams_.push_back(channel);
  return channel;
}

Status SharedTargetTenant::AddPublicPrefix(const PromptContent& prompt) {
  FORETOKEN_ASSIGN_OR_RETURN(std::vector<TokenId> tokens,
                             TokenizePrompt(parts_.engine->target(), prompt));
  parts_.engine->AddPublicPrefix(std::move(tokens));
  return OkStatus();
}

Status SharedTargetTenant::Close() {
  {
    MutexLock lock(mutex_);
    if (closed_) return OkStatus();
    closed_ = true;
    for (const auto& stream : streams_) {
      if (const std::shared_ptr<StreamChannel> channel = stream.lock()) channel->Cancel();
    }
  }
  parts_.engine->ForgetTenant(parts_.state->key);
  if (config_.suffix_store_path.empty() || !parts_.state->suffix_store) return OkStatus();
  return parts_.state->suffix_store->Save(config_.suffix_store_path);
}

}  // namespace foretoken
