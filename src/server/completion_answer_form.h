#ifndef FORETOKEN_SERVER_COMPLETION_ANSWER_FORM_H_
#define FORETOKEN_SERVER_COMPLETION_ANSWER_FORM_H_

#include <cstddef>
#include <string>
#include <vector>

#include "server/answer_form.h"
#include "server/openai_completion_answer.h"

namespace foretoken {

// A text_completion and its chunks.
class CompletionAnswerForm : public AnswerForm {
 public:
  explicit CompletionAnswerForm(AnswerOptions options);

  void Begin(std::string& out) override;
  void Tokens(size_t choice, const TokensEvent& event, std::string& out) override;
  void Finish(size_t choice, const FinishedEvent& finish, std::string& out) override;
  void End(const AnswerTotals& totals, std::string& out) override;
  std::string Body(const AnswerTotals& totals) override;

 private:
  void Send(std::string& out);

  const AnswerOptions options_;
  const CompletionChunkWriter writer_;
  std::vector<CompletionChoice> choices_;
  std::vector<int64_t> text_offsets_;
  std::string chunk_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_COMPLETION_ANSWER_FORM_H_
