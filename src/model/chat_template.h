#ifndef FORETOKEN_MODEL_CHAT_TEMPLATE_H_
#define FORETOKEN_MODEL_CHAT_TEMPLATE_H_

#include <memory>
#include <string>

#include "foretoken/generation.h"
#include "foretoken/reply_parser.h"
#include "foretoken/status.h"
#include "model/control_texts.h"
#include "model/loaded_model.h"

namespace foretoken {

// A model's Jinja chat template, parsed once.
// Immutable; any thread may call it. A template that cannot be parsed or that raises an error is
// FAILED_PRECONDITION with the template engine's words.
class ChatTemplate {
 public:
  static Result<ChatTemplate> Parse(const std::string& source, const std::string& begin_of_text,
                                    const std::string& end_of_text);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // The prompt up to where the assistant speaks. INVALID_ARGUMENT without a message, for tools
  // where the template has no place for them, and for a tool's parameters that are no JSON object.
  // Arguments of a call that are a JSON object get to the template as one; others as text.
  Result<std::string> Render(const ChatPrompt& prompt, const ChatTextFilter& filter) const;

  // Reads the answer to such a prompt. UNIMPLEMENTED when calls of tools are marked by control
  // tokens, which are no text, or in a way that the template does not show.
  Result<std::unique_ptr<ReplyParser>> NewReplyParser(const ChatPrompt& prompt,
                                                      const ControlTexts& control_texts) const;

 private:
  struct Parsed;
  explicit ChatTemplate(std::unique_ptr<Parsed> parsed);
  std::unique_ptr<Parsed> parsed_;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_CHAT_TEMPLATE_H_
