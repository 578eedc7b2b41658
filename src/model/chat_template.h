#ifndef FORETOKEN_MODEL_CHAT_TEMPLATE_H_
#define FORETOKEN_MODEL_CHAT_TEMPLATE_H_

#include <memory>
#include <span>
#include <string>

#include "foretoken/generation.h"
#include "foretoken/status.h"

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

  // The prompt up to where the assistant speaks. INVALID_ARGUMENT without a message.
  Result<std::string> Render(std::span<const ChatMessage> messages) const;

 private:
  struct Parsed;
  explicit ChatTemplate(std::unique_ptr<Parsed> parsed);
  std::unique_ptr<Parsed> parsed_;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_CHAT_TEMPLATE_H_
