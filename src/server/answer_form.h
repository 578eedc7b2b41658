#ifndef FORETOKEN_SERVER_ANSWER_FORM_H_
#define FORETOKEN_SERVER_ANSWER_FORM_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "foretoken/generation.h"
#include "server/openai_answer.h"
#include "server/sse_writer.h"
#include "server/wire_error.h"

namespace foretoken {

// What both kinds of completions are made with.
struct AnswerOptions {
  AnswerHead head;
  size_t choices = 1;
  bool stream = false;
  bool include_usage = false;
  TokenBytes logprob_bytes;  // null: no log-probabilities
};

// How the events of a generation become one kind of OpenAI's answers, streamed or whole.
// One answer, one strand.
class AnswerForm {
 public:
  virtual ~AnswerForm() = default;

  // What is sent before the first token, then for each event; each appends server-sent events to
  // `out` when the answer is streamed, and is kept for Body when it is not.
  virtual void Begin(std::string& out) = 0;
  virtual void Tokens(size_t choice, const TokensEvent& event, std::string& out) = 0;
  virtual void Finish(size_t choice, const FinishedEvent& finish, std::string& out) = 0;
  // The last of a stream, after all have finished.
  virtual void End(const AnswerTotals& totals, std::string& out) = 0;
  // The last of a stream that failed midway.
  virtual void Fail(const WireError& error, std::string& out) {
    out += SseEvent(WireErrorBody(error));
  }
  // The answer as a whole.
  virtual std::string Body(const AnswerTotals& totals) = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_ANSWER_FORM_H_
