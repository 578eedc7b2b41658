#include "model/prompt_tokens.h"

#include <string>
#include <string_view>
#include <variant>

#include <fmt/format.h>

#include "base/macros.h"
#include "model/control_text_guard.h"

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

// The tokens of a text in pieces, with the begin and the end of text that the model wants once.
Result<std::vector<TokenId>> TokenizePieces(const Vocabulary& vocabulary,
                                            const std::vector<GuardedPiece>& pieces) {
  if (pieces.size() == 1) {
    return vocabulary.Tokenize(pieces[0].text, /*add_special=*/true, pieces[0].parse_special);
  }
  FORETOKEN_ASSIGN_OR_RETURN(
      const std::vector<TokenId> around,
      vocabulary.Tokenize("", /*add_special=*/true, /*parse_special=*/false));
  const bool begins = !around.empty() && vocabulary.begin_of_text() == around[0];
  std::vector<TokenId> tokens(around.begin(), around.begin() + (begins ? 1 : 0));
  for (const GuardedPiece& piece : pieces) {
    FORETOKEN_ASSIGN_OR_RETURN(
        const std::vector<TokenId> more,
        vocabulary.Tokenize(piece.text, /*add_special=*/false, piece.parse_special));
    tokens.insert(tokens.end(), more.begin(), more.end());
  }
  tokens.insert(tokens.end(), around.begin() + (begins ? 1 : 0), around.end());
  return tokens;
}

}  // namespace

Result<std::vector<TokenId>> TokenizePrompt(const LoadedModel& model, const PromptContent& prompt,
                                            bool add_special) {
  const Vocabulary& vocabulary = model.vocabulary();
  if (const auto* tokens = std::get_if<std::vector<TokenId>>(&prompt)) {
    FORETOKEN_RETURN_IF_ERROR(CheckTokens(*tokens, vocabulary.size()));
    return *tokens;
  }
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    return vocabulary.Tokenize(*text, add_special, /*parse_special=*/false);
  }
  ControlTextGuard guard(vocabulary.control_texts());
  FORETOKEN_ASSIGN_OR_RETURN(
      const std::string chat,
      model.RenderChat(std::get<ChatPrompt>(prompt),
                       [&guard](std::string_view outside) { return guard.Hide(outside); }));
  FORETOKEN_ASSIGN_OR_RETURN(std::vector<TokenId> tokens,
                             TokenizePieces(vocabulary, guard.Reveal(chat)));
  // Many templates write the begin of text themselves; once is right.
  if (tokens.size() >= 2 && vocabulary.begin_of_text() == tokens[0] && tokens[0] == tokens[1]) {
    tokens.erase(tokens.begin());
  }
  return tokens;
}

}  // namespace foretoken
