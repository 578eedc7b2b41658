#include "model/llama_vocabulary.h"

#include <algorithm>
#include <exception>
#include <limits>

#include <fmt/format.h>

namespace foretoken {
namespace {

ControlTexts ReadControlTexts(const llama_vocab* vocab) {
  std::vector<std::string> texts;
  for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); ++token) {
    const auto attributes = static_cast<unsigned>(llama_vocab_get_attr(vocab, token));
    if ((attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) == 0) continue;
    if (const char* text = llama_vocab_get_text(vocab, token)) texts.emplace_back(text);
  }
  return ControlTexts(texts);
}

}  // namespace

LlamaVocabulary::LlamaVocabulary(const llama_vocab* vocab)
    : vocab_(vocab), control_texts_(ReadControlTexts(vocab)) {}

Result<std::vector<TokenId>> LlamaVocabulary::Tokenize(std::string_view text, bool add_special,
                                                       bool parse_special) const {
  if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()) / 2) {
    return InvalidArgumentError(
        fmt::format("a text of {} bytes is too long to tokenize", text.size()));
  }
  const auto bytes = static_cast<int32_t>(text.size());
  // At most one token a byte, plus begin and end of text.
  std::vector<TokenId> tokens(text.size() + 2);
  try {
    int32_t count = llama_tokenize(vocab_, text.data(), bytes, tokens.data(),
                                   static_cast<int32_t>(tokens.size()), add_special, parse_special);
    if (count < 0 && count != std::numeric_limits<int32_t>::min()) {
      tokens.resize(static_cast<size_t>(-count));
      count = llama_tokenize(vocab_, text.data(), bytes, tokens.data(),
                             static_cast<int32_t>(tokens.size()), add_special, parse_special);
    }
    if (count < 0) return InvalidArgumentError("the text is too long to tokenize");
    tokens.resize(static_cast<size_t>(count));
    return tokens;
  } catch (const std::exception& error) {
    return InvalidArgumentError(std::string("the text cannot be tokenized: ") + error.what());
  }
}

std::string LlamaVocabulary::Piece(TokenId token) const {
  if (token < 0 || token >= size()) return "";
  std::string piece(32, '\0');
  int32_t length = llama_token_to_piece(vocab_, token, piece.data(),
                                        static_cast<int32_t>(piece.size()), 0, false);
  if (length < 0) {
    piece.resize(static_cast<size_t>(-length));
    length = llama_token_to_piece(vocab_, token, piece.data(), static_cast<int32_t>(piece.size()),
                                  0, false);
  }
  piece.resize(static_cast<size_t>(std::max(length, 0)));
  return piece;
}

std::string LlamaVocabulary::TokenText(TokenId token) const {
  if (token < 0 || token >= size()) return "";
  const char* text = llama_vocab_get_text(vocab_, token);
  return text != nullptr ? text : "";
}

bool LlamaVocabulary::IsEndOfGeneration(TokenId token) const {
  return token >= 0 && token < size() && llama_vocab_is_eog(vocab_, token);
}

std::optional<TokenId> LlamaVocabulary::begin_of_text() const {
  const llama_token token = llama_vocab_bos(vocab_);
  if (token == LLAMA_TOKEN_NULL) return std::nullopt;
  return token;
}

}  // namespace foretoken
