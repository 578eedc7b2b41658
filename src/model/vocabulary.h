#ifndef FORETOKEN_MODEL_VOCABULARY_H_
#define FORETOKEN_MODEL_VOCABULARY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"
#include "model/control_texts.h"

namespace foretoken {

// The tokens of a model and how text becomes tokens and back.
// Immutable; any thread may call it. Owned by its LoadedModel.
class Vocabulary {
 public:
  virtual ~Vocabulary() = default;

  // Rows of logits have this many elements. Padding tokens included.
  virtual int32_t size() const = 0;
  // Tokens of `text` (UTF-8; invalid sequences become the tokenizer's byte tokens or U+FFFD).
  // `add_special`: with the model's begin-of-text token if it wants one. `parse_special`: the names
  // of control tokens in the text become those tokens (chat templates; never a user's raw text).
  virtual Result<std::vector<TokenId>> Tokenize(std::string_view text, bool add_special,
                                                bool parse_special) const = 0;
  // The bytes of a token as they appear in output: empty for control tokens; possibly a part of a
  // UTF-8 sequence.
  virtual std::string Piece(TokenId token) const = 0;
  // The token's own text in the vocabulary, control tokens included: what makes two vocabularies
  // comparable.
  virtual std::string TokenText(TokenId token) const = 0;
  // End of text, end of turn and their like.
  virtual bool IsEndOfGeneration(TokenId token) const = 0;
  virtual std::optional<TokenId> begin_of_text() const = 0;
  // What Tokenize makes control tokens of with `parse_special`, and of nothing without.
  virtual const ControlTexts& control_texts() const = 0;
};

// OK when a draft of `draft` may be fed to `target` token by token: the same texts and the same
// ends of generation over the shared range, and sizes that differ by padding (at most 256) only.
// Otherwise FAILED_PRECONDITION that names the first difference.
Status CheckVocabularyMatch(const Vocabulary& target, const Vocabulary& draft);

// A hash of all token texts: equal for equal vocabularies, and otherwise different but by accident.
uint64_t VocabularyFingerprint(const Vocabulary& vocabulary);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_VOCABULARY_H_
