#include "tenancy/tenant_runtime.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "base/macros.h"
#include "sampling/sampler.h"

namespace foretoken {
namespace {

uint64_t RandomSeed() {
  std::random_device device;
  // 53 bits: a seed that is returned survives clients whose numbers are doubles.
  return ((uint64_t{device()} << 32) | device()) >> 11;
}

bool Names(const SpeculativeConfig& config, DraftSourceKind kind) {
  return config.mode != SpeculationMode::kOff &&
         std::find(config.sources.begin(), config.sources.end(), kind) != config.sources.end();
}

}  // namespace

SharedTargetTenant::SharedTargetTenant(TenantConfig config, std::shared_ptr<Engine> engine,
                                       std::shared_ptr<DraftContext> draft, Status draft_status)
    : config_(std::move(config)),
      engine_(std::move(engine)),
      draft_(std::move(draft)),
      draft_status_(std::move(draft_status)),
      policy_(std::make_shared<DraftLengthPolicy>()) {}

const ModelConfig* SharedTargetTenant::draft_model_config() const {
  return config_.draft_model ? &*config_.draft_model : nullptr;
}

SamplingOptions SharedTargetTenant::recommended_sampling() const {
  return engine_->target().RecommendedSampling(SamplingOptions());
}

Result<std::unique_ptr<GenerationStream>> SharedTargetTenant::GenerateStream(
    GenerateRequest request) {
  FORETOKEN_RETURN_IF_ERROR(Validate(request.options));
  const int32_t vocabulary_size = engine_->target_description().vocabulary_size;
  EngineRequest engine_request;
  engine_request.seed = request.options.sampling.seed.value_or(RandomSeed());
  // Wrong options are the caller's to hear of now, not the stream's reader's later.
  FORETOKEN_RETURN_IF_ERROR(
      Sampler::Create(request.options.sampling, engine_request.seed, vocabulary_size).status());
  FORETOKEN_ASSIGN_OR_RETURN(engine_request.prompt, PromptTokens(request));
  engine_request.options = std::move(request.options);
  engine_request.speculation = engine_request.options.speculation.value_or(config_.speculation);
  if (Names(engine_request.speculation, DraftSourceKind::kDraftModel)) {
    engine_request.draft = draft_;
    if (config_.draft_model && !draft_status_.ok()) {
      engine_request.warnings.push_back("the draft model is not used: " + draft_status_.message());
    }
  }
  engine_request.policy = policy_;
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<StreamChannel> channel,
                             Submit(std::move(engine_request)));
  return NewChannelStream(std::move(channel));
}

Result<std::shared_ptr<StreamChannel>> SharedTargetTenant::Submit(EngineRequest request) {
  MutexLock lock(mutex_);
  if (closed_) return NotFoundError("tenant '" + config_.name + "' was removed");
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<StreamChannel> channel,
                             engine_->Submit(std::move(request)));
  std::erase_if(streams_, [](const auto& stream) { return stream.expired(); });
  streams_.push_back(channel);
  return channel;
}

Result<std::vector<TokenId>> SharedTargetTenant::PromptTokens(
    const GenerateRequest& request) const {
  const Vocabulary& vocabulary = engine_->target().vocabulary();
  if (const auto* tokens = std::get_if<std::vector<TokenId>>(&request.prompt)) {
    for (const TokenId token : *tokens) {
      if (token < 0 || token >= vocabulary.size()) {
        return InvalidArgumentError("prompt token " + std::to_string(token) +
                                    " is not in the model's vocabulary of " +
                                    std::to_string(vocabulary.size()));
      }
    }
    return *tokens;
  }
  if (const auto* text = std::get_if<std::string>(&request.prompt)) {
    return vocabulary.Tokenize(*text, /*add_special=*/true, /*parse_special=*/false);
  }
  FORETOKEN_ASSIGN_OR_RETURN(
      const std::string chat,
      engine_->target().RenderChat(std::get<std::vector<ChatMessage>>(request.prompt)));
  FORETOKEN_ASSIGN_OR_RETURN(
      std::vector<TokenId> tokens,
      vocabulary.Tokenize(chat, /*add_special=*/true, /*parse_special=*/true));
  // Many templates write the begin of text themselves; once is right.
  if (tokens.size() >= 2 && vocabulary.begin_of_text() == tokens[0] && tokens[0] == tokens[1]) {
    tokens.erase(tokens.begin());
  }
  return tokens;
}

void SharedTargetTenant::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  for (const auto& stream : streams_) {
    if (const std::shared_ptr<StreamChannel> channel = stream.lock()) channel->Cancel();
  }
}

}  // namespace foretoken
