#include "server/completion_answer_form.h"

#include <utility>

namespace foretoken {

CompletionAnswerForm::CompletionAnswerForm(AnswerOptions options)
    : options_(std::move(options)),
      writer_(options_.head, options_.include_usage),
      choices_(options_.choices),
      text_offsets_(options_.choices) {}

void CompletionAnswerForm::Send(std::string& out) {
  out += SseEvent(chunk_);
  chunk_.clear();
}

void CompletionAnswerForm::Begin(std::string& /*out*/) {}

void CompletionAnswerForm::Tokens(size_t choice, const TokensEvent& event, std::string& out) {
  if (!options_.stream) {
    CompletionChoice& whole = choices_[choice];
    whole.text += event.text;
    if (options_.logprob_bytes) {
      whole.tokens.insert(whole.tokens.end(), event.tokens.begin(), event.tokens.end());
    }
    return;
  }
  if (options_.logprob_bytes) {
    writer_.TextWithLogprobs(chunk_, static_cast<int32_t>(choice), event, options_.logprob_bytes,
                             text_offsets_[choice]);
  } else if (!event.text.empty()) {
    writer_.Text(chunk_, static_cast<int32_t>(choice), event.text);
  } else {
    return;  // all of it is held back: a part of a character, or of a stop string
  }
  Send(out);
}

void CompletionAnswerForm::Finish(size_t choice, const FinishedEvent& finish, std::string& out) {
  choices_[choice].finish = finish.reason;
  if (!options_.stream) return;
  writer_.Finish(chunk_, static_cast<int32_t>(choice), finish.reason);
  Send(out);
}

void CompletionAnswerForm::End(const AnswerTotals& totals, std::string& out) {
  if (options_.include_usage) {
    writer_.Usage(chunk_, totals);
    Send(out);
  }
  out += SseEvent("[DONE]");
}

std::string CompletionAnswerForm::Body(const AnswerTotals& totals) {
  return CompletionBody(options_.head, choices_, totals, options_.logprob_bytes);
}

}  // namespace foretoken
