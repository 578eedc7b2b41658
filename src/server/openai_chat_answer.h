#ifndef FORETOKEN_SERVER_OPENAI_CHAT_ANSWER_H_
#define FORETOKEN_SERVER_OPENAI_CHAT_ANSWER_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/reply_parser.h"
#include "server/openai_answer.h"

namespace foretoken {

struct ChatChoice {
  std::string content;
  std::vector<ToolCall> tool_calls;
  FinishReason finish = FinishReason::kStop;
  std::vector<GeneratedToken> tokens;  // needed for log-probabilities only
};

// The body of a chat.completion. Choice i is choices[i]. `bytes`: null without log-probabilities.
std::string ChatCompletionBody(const AnswerHead& head, std::span<const ChatChoice> choices,
                               const AnswerTotals& totals, const TokenBytes& bytes = nullptr);

// Writes the chunks of one streamed chat completion: for each choice one Role, any number of
// Content and ToolCalls, one Finish; then Usage if the client asked for it. Each appends a chunk's
// JSON, without the "data:" around it. What is the same in all of them is made once. Any thread may
// call it.
class ChatChunkWriter {
 public:
  ChatChunkWriter(const AnswerHead& head, bool include_usage);

  void Role(std::string& out, int32_t choice) const;
  // `tokens`: those that made it; `bytes`: null without log-probabilities.
  void Content(std::string& out, int32_t choice, std::string_view text,
               std::span<const GeneratedToken> tokens = {},
               const TokenBytes& bytes = nullptr) const;
  void ToolCalls(std::string& out, int32_t choice, std::span<const ToolCallDelta> calls) const;
  void Finish(std::string& out, int32_t choice, FinishReason reason, bool has_tool_calls) const;
  // With no choices.
  void Usage(std::string& out, const AnswerTotals& totals) const;

 private:
  void Begin(std::string& out, int32_t choice) const;
  void End(std::string& out, std::string_view finish_reason) const;

  std::string head_;  // up to the array of choices
  std::string_view tail_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_OPENAI_CHAT_ANSWER_H_
