#include "bench_models.h"

#include "base/macros.h"

namespace foretoken {

Result<std::shared_ptr<LoadedModel>> ModelTable::Load(const ModelConfig& config) {
  MutexLock lock(mutex_);
  std::shared_ptr<LoadedModel>& model = models_[config.path];
  if (!model) {
    FORETOKEN_ASSIGN_OR_RETURN(model, loader_->Load(config));
  }
  return model;
}

Result<std::vector<TokenId>> PromptTokens(const LoadedModel& model, const std::string& text,
                                          bool raw) {
  const Vocabulary& vocabulary = model.vocabulary();
  if (raw) return vocabulary.Tokenize(text, /*add_special=*/true, /*parse_special=*/false);
  const std::vector<ChatMessage> messages = {{"user", text}};
  FORETOKEN_ASSIGN_OR_RETURN(const std::string chat, model.RenderChat(messages));
  FORETOKEN_ASSIGN_OR_RETURN(
      std::vector<TokenId> tokens,
      vocabulary.Tokenize(chat, /*add_special=*/true, /*parse_special=*/true));
  // Many templates write the begin of text themselves; once is right.
  if (tokens.size() >= 2 && vocabulary.begin_of_text() == tokens[0] && tokens[0] == tokens[1]) {
    tokens.erase(tokens.begin());
  }
  return tokens;
}

}  // namespace foretoken
