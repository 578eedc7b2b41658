#ifndef FORETOKEN_MODEL_CONTROL_TEXT_GUARD_H_
#define FORETOKEN_MODEL_CONTROL_TEXT_GUARD_H_

#include <string>
#include <string_view>
#include <vector>

#include "model/control_texts.h"

namespace foretoken {

// A part of a prompt that is tokenized by itself.
struct GuardedPiece {
  std::string text;
  bool parse_special = false;  // whether control texts in it are control tokens
};

// Keeps what a user wrote from becoming control tokens when a chat template mixes it with the
// template's own: every control text in it becomes a random number before the template is rendered,
// and text again afterwards. Text without control texts is not touched.
// `texts` must outlive it. One thread.
class ControlTextGuard {
 public:
  explicit ControlTextGuard(const ControlTexts& texts);

  // `text` with a number in the place of each control text.
  std::string Hide(std::string_view text);
  // The pieces of what was rendered, in order. They are cut at the template's control texts only,
  // where tokenizers cut as well; what was hidden is in pieces without control tokens.
  std::vector<GuardedPiece> Reveal(std::string_view rendered) const;

 private:
  // `run`, which has no control text of the template's, with what was hidden in it.
  std::string RevealRun(std::string_view run) const;

  const ControlTexts& texts_;
  const std::string nonce_;          // digits: no template changes their case or escapes them
  std::vector<std::string> hidden_;  // each control text that was met, once
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_CONTROL_TEXT_GUARD_H_
