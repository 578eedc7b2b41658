#include "bench_models.h"

#include "base/macros.h"
#include "model/prompt_tokens.h"

namespace foretoken {

Result<std::shared_ptr<LoadedModel>> ModelTable::Load(const ModelConfig& config) {
  MutexLock lock(mutex_);
  std::shared_ptr<LoadedModel>& model = models_[{config.path, config.kernels}];
  if (!model) {
    FORETOKEN_ASSIGN_OR_RETURN(model, loader_->Load(config));
  }
  return model;
}

Result<std::vector<TokenId>> PromptTokens(const LoadedModel& model, const std::string& text,
                                          bool raw) {
  if (raw) return TokenizePrompt(model, text);
  return TokenizePrompt(model, ChatPrompt{.messages = {{"user", text}}});
}

}  // namespace foretoken
