#include "model/chat_template.h"

// The only file that includes headers of llama.cpp's `common`.
#include <chat-auto-parser.h>
#include <chat.h>

#include <exception>
#include <utility>

namespace foretoken {

struct ChatTemplate::Parsed {
  common_chat_template chat_template;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Parsed> parsed) : parsed_(std::move(parsed)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::Parse(const std::string& source,
                                         const std::string& begin_of_text,
                                         const std::string& end_of_text) {
  try {
    return ChatTemplate(std::make_unique<Parsed>(Parsed{{source, begin_of_text, end_of_text}}));
  } catch (const std::exception& error) {
    return FailedPreconditionError(std::string("the model's chat template cannot be parsed: ") +
                                   error.what());
  }
}

Result<std::string> ChatTemplate::Render(std::span<const ChatMessage> messages) const {
  if (messages.empty()) return InvalidArgumentError("a chat needs at least one message");
  try {
    autoparser::generation_params params;
    params.messages = common_json::array();
    for (const ChatMessage& message : messages) {
      common_json entry = common_json::object();
      entry["role"] = message.role;
      entry["content"] = message.content;
      params.messages.push_back(entry);
    }
    params.add_generation_prompt = true;
    return common_chat_template_direct_apply(parsed_->chat_template, params);
  } catch (const std::exception& error) {
    return FailedPreconditionError(
        std::string("the model's chat template refused these messages: ") + error.what());
  }
}

}  // namespace foretoken
