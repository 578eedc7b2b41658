#ifndef FORETOKEN_FORETOKEN_ANSWER_H_
#define FORETOKEN_FORETOKEN_ANSWER_H_

#include <string>
#include <string_view>

#include "foretoken/generation.h"

namespace foretoken {

// How much of an answer goes to standard output while it comes.
enum class AnswerView {
  kNone,     // collected only
  kText,     // the text
  kOrigins,  // the text, coloured by where each token came from
};

struct Answer {
  GenerationResult result;
  // Not OK when standard output failed; the generation was cancelled then.
  Status output;
};

// Reads a stream to its end and shows it. Blocks; one thread.
Answer ReadAnswer(GenerationStream& stream, AnswerView view);

// A token's text in the colour of its origin: accepted green, bonus blue, corrected yellow, plain
// as it is.
std::string ColourToken(const GeneratedToken& token);
// The line that explains those colours.
std::string ColourLegend();

// "64 tokens, 52.3 tok/s, first token 210 ms, tau 2.41, ...": the line of figures after an answer.
std::string FiguresLine(const FinishedEvent& finish);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_ANSWER_H_
