#include "model/prompt_tokens.h"

#include <string>
#include <variant>

#include <fmt/format.h>

#include "base/macros.h"

namespace foretoken {
namespace {

Status CheckTokens(const std::vector<TokenId>& tokens, int32_t vocabulary_size) {
  for (const TokenId token : tokens) {
    if (token < 0 || token >= vocabulary_size) {
      return InvalidArgumentError(fmt::format(
          "prompt token {} is not in the model's vocabulary of {}", token, vocabulary_size));
    }
  }
  return OkStatus();
}

}  // namespace

Result<std::vector<TokenId>> TokenizePrompt(const LoadedModel& model, const PromptContent& prompt) {
  const Vocabulary& vocabulary = model.vocabulary();
  if (const auto* tokens = std::get_if<std::vector<TokenId>>(&prompt)) {
    FORETOKEN_RETURN_IF_ERROR(CheckTokens(*tokens, vocabulary.size()));
    return *tokens;
  }
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    return vocabulary.Tokenize(*text, /*add_special=*/true, /*parse_special=*/false);
  }
  FORETOKEN_ASSIGN_OR_RETURN(const std::string chat,
                             model.RenderChat(std::get<std::vector<ChatMessage>>(prompt)));
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
