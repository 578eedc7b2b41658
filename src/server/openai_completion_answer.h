#ifndef FORETOKEN_SERVER_OPENAI_COMPLETION_ANSWER_H_
#define FORETOKEN_SERVER_OPENAI_COMPLETION_ANSWER_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/openai_answer.h"

namespace foretoken {

// A choice of a legacy completion; those of prompt p are choices p * n to p * n + n - 1.
struct CompletionChoice {
  std::string text;
  FinishReason finish = FinishReason::kStop;
  std::vector<GeneratedToken> tokens;  // needed for log-probabilities only
};

// The body of a text_completion. `bytes`: null without log-probabilities.
std::string CompletionBody(const AnswerHead& head, std::span<const CompletionChoice> choices,
                           const AnswerTotals& totals, const TokenBytes& bytes = nullptr);

// Writes the chunks of one streamed legacy completion: for each choice any number of Text and one
// Finish; then Usage if the client asked for it. Each appends a chunk's JSON, without the "data:"
// around it. What is the same in all of them is made once. Any thread may call it.
class CompletionChunkWriter {
 public:
  CompletionChunkWriter(const AnswerHead& head, bool include_usage);

  void Text(std::string& out, int32_t choice, std::string_view text) const;
  // The same with log-probabilities; `text_offset` is the choice's, 0 at first.
  void TextWithLogprobs(std::string& out, int32_t choice, const TokensEvent& event,
                        const TokenBytes& bytes, int64_t& text_offset) const;
  void Finish(std::string& out, int32_t choice, FinishReason reason) const;
  // With no choices.
  void Usage(std::string& out, const AnswerTotals& totals) const;

 private:
  void Begin(std::string& out, int32_t choice, std::string_view text) const;

  std::string head_;  // up to the array of choices
  std::string_view tail_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_OPENAI_COMPLETION_ANSWER_H_
