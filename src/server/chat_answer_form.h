#ifndef FORETOKEN_SERVER_CHAT_ANSWER_FORM_H_
#define FORETOKEN_SERVER_CHAT_ANSWER_FORM_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "foretoken/reply_parser.h"
#include "server/answer_form.h"
#include "server/openai_chat_answer.h"

namespace foretoken {

struct ChatAnswerOptions : AnswerOptions {
  // One for each choice; empty: the text is the message.
  std::vector<std::unique_ptr<ReplyParser>> parsers;
};

// A chat.completion and its chunks.
class ChatAnswerForm : public AnswerForm {
 public:
  explicit ChatAnswerForm(ChatAnswerOptions options);

  void Begin(std::string& out) override;
  void Tokens(size_t choice, const TokensEvent& event, std::string& out) override;
  void Finish(size_t choice, const FinishedEvent& finish, std::string& out) override;
  void End(const AnswerTotals& totals, std::string& out) override;
  std::string Body(const AnswerTotals& totals) override;

 private:
  // `tokens`: those that made it, for log-probabilities. They may make nothing visible: a part of a
  // character, or of a stop string.
  void Add(size_t choice, const ReplyDelta& delta, std::span<const GeneratedToken> tokens,
           std::string& out);
  void Send(std::string& out);

  ChatAnswerOptions options_;
  const ChatChunkWriter writer_;
  std::vector<ChatChoice> choices_;
  std::string chunk_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_CHAT_ANSWER_FORM_H_
