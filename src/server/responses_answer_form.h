#ifndef FORETOKEN_SERVER_RESPONSES_ANSWER_FORM_H_
#define FORETOKEN_SERVER_RESPONSES_ANSWER_FORM_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "foretoken/reply_parser.h"
#include "server/answer_form.h"
#include "server/openai_responses_answer.h"

namespace foretoken {

// A response and the events of its stream.
class ResponsesAnswerForm : public AnswerForm {
 public:
  // `parser`: null where the text is the message.
  ResponsesAnswerForm(ResponsesAnswer answer, std::unique_ptr<ReplyParser> parser)
      : answer_(std::move(answer)), parser_(std::move(parser)) {}

  void Begin(std::string& out) override;
  void Tokens(size_t choice, const TokensEvent& event, std::string& out) override;
  void Finish(size_t choice, const FinishedEvent& finish, std::string& out) override;
  void End(const AnswerTotals& totals, std::string& out) override;
  void Fail(const WireError& error, std::string& out) override;
  std::string Body(const AnswerTotals& totals) override;

 private:
  static void Send(const std::vector<ResponsesAnswer::Event>& events, std::string& out);

  ResponsesAnswer answer_;
  const std::unique_ptr<ReplyParser> parser_;
  FinishReason reason_ = FinishReason::kStop;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_RESPONSES_ANSWER_FORM_H_
