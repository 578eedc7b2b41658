#include "server/chat_answer_form.h"

#include <utility>

namespace foretoken {

ChatAnswerForm::ChatAnswerForm(ChatAnswerOptions options)
    : options_(std::move(options)),
      writer_(options_.head, options_.include_usage),
      choices_(options_.choices) {}

void ChatAnswerForm::Send(std::string& out) {
  out += SseEvent(chunk_);
  chunk_.clear();
}

void ChatAnswerForm::Begin(std::string& out) {
  if (!options_.stream) return;
  for (size_t i = 0; i < choices_.size(); ++i) {
    writer_.Role(chunk_, static_cast<int32_t>(i));
    Send(out);
  }
}

void ChatAnswerForm::Add(size_t choice, const ReplyDelta& delta,
                         std::span<const GeneratedToken> tokens, std::string& out) {
  const bool shows_tokens = options_.logprob_bytes != nullptr && !tokens.empty();
  if (options_.stream) {
    if (shows_tokens) {
      writer_.Content(chunk_, static_cast<int32_t>(choice), delta.content, tokens,
                      options_.logprob_bytes);
      Send(out);
    } else if (!delta.content.empty()) {
      writer_.Content(chunk_, static_cast<int32_t>(choice), delta.content);
      Send(out);
    }
    if (!delta.tool_calls.empty()) {
      writer_.ToolCalls(chunk_, static_cast<int32_t>(choice), delta.tool_calls);
      Send(out);
    }
  }
  ChatChoice& whole = choices_[choice];
  // A stream remembers only that there were calls.
  if (!options_.stream) {
    whole.content += delta.content;
    if (shows_tokens) whole.tokens.insert(whole.tokens.end(), tokens.begin(), tokens.end());
  }
  for (const ToolCallDelta& call : delta.tool_calls) {
    if (whole.tool_calls.size() <= call.index) whole.tool_calls.resize(call.index + 1);
    ToolCall& target = whole.tool_calls[call.index];
    target.id += call.id;
    target.name += call.name;
    target.arguments += call.arguments;
  }
}

void ChatAnswerForm::Tokens(size_t choice, const TokensEvent& event, std::string& out) {
  const ReplyDelta delta = options_.parsers.empty() ? ReplyDelta{event.text, {}}
                                                    : options_.parsers[choice]->Push(event.text);
  Add(choice, delta, event.tokens, out);
}

void ChatAnswerForm::Finish(size_t choice, const FinishedEvent& finish, std::string& out) {
  if (!options_.parsers.empty()) Add(choice, options_.parsers[choice]->Finish(), {}, out);
  choices_[choice].finish = finish.reason;
  if (!options_.stream) return;
  writer_.Finish(chunk_, static_cast<int32_t>(choice), finish.reason,
                 !choices_[choice].tool_calls.empty());
  Send(out);
}

void ChatAnswerForm::End(const AnswerTotals& totals, std::string& out) {
  if (options_.include_usage) {
    writer_.Usage(chunk_, totals);
    Send(out);
  }
  out += SseEvent("[DONE]");
}

std::string ChatAnswerForm::Body(const AnswerTotals& totals) {
  return ChatCompletionBody(options_.head, choices_, totals, options_.logprob_bytes);
}

}  // namespace foretoken
