#ifndef FORETOKEN_MODEL_LLAMA_VOCABULARY_H_
#define FORETOKEN_MODEL_LLAMA_VOCABULARY_H_

#include <llama.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/vocabulary.h"

namespace foretoken {

// A llama.cpp model's tokens. Immutable; any thread may call it. The model must outlive it.
class LlamaVocabulary : public Vocabulary {
 public:
  explicit LlamaVocabulary(const llama_vocab* vocab);

  int32_t size() const override { return llama_vocab_n_tokens(vocab_); }
  Result<std::vector<TokenId>> Tokenize(std::string_view text, bool add_special,
                                        bool parse_special) const override;
  std::string Piece(TokenId token) const override;
  std::string TokenText(TokenId token) const override;
  bool IsEndOfGeneration(TokenId token) const override;
  std::optional<TokenId> begin_of_text() const override;
  const ControlTexts& control_texts() const override { return control_texts_; }

 private:
  const llama_vocab* vocab_;
  ControlTexts control_texts_;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_LLAMA_VOCABULARY_H_
