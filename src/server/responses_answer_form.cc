#include "server/responses_answer_form.h"

namespace foretoken {

void ResponsesAnswerForm::Send(const std::vector<ResponsesAnswer::Event>& events,
                               std::string& out) {
  for (const ResponsesAnswer::Event& event : events) {
    out += SseEvent(event.data, event.name);
  }
}

void ResponsesAnswerForm::Begin(std::string& out) {
  Send(answer_.Begin(), out);
}

void ResponsesAnswerForm::Tokens(size_t /*choice*/, const TokensEvent& event, std::string& out) {
  const ReplyDelta delta = parser_ ? parser_->Push(event.text) : ReplyDelta{event.text, {}};
  if (!delta.empty()) Send(answer_.Add(delta), out);
}

void ResponsesAnswerForm::Finish(size_t /*choice*/, const FinishedEvent& finish, std::string& out) {
  reason_ = finish.reason;
  if (!parser_) return;
  const ReplyDelta rest = parser_->Finish();
  if (!rest.empty()) Send(answer_.Add(rest), out);
}

void ResponsesAnswerForm::End(const AnswerTotals& totals, std::string& out) {
  Send(answer_.Finish(reason_, totals), out);
}

void ResponsesAnswerForm::Fail(const WireError& error, std::string& out) {
  Send(answer_.Fail(error), out);
}

std::string ResponsesAnswerForm::Body(const AnswerTotals& totals) {
  (void)answer_.Finish(reason_, totals);
  return answer_.Body();
}

}  // namespace foretoken
