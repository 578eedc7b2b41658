#include "answer.h"

#include <optional>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "console.h"

namespace foretoken {
namespace {

std::string_view ColourOf(TokenOrigin origin) {
  switch (origin) {
    case TokenOrigin::kAccepted:
      return "\x1b[32m";
    case TokenOrigin::kBonus:
      return "\x1b[34m";
    case TokenOrigin::kCorrected:
      return "\x1b[33m";
    case TokenOrigin::kPlain:
      break;
  }
  return "";
}

std::string Colour(std::string_view text, TokenOrigin origin) {
  const std::string_view colour = ColourOf(origin);
  if (colour.empty() || text.empty()) return std::string(text);
  return fmt::format("{}{}\x1b[0m", colour, text);
}

std::string Render(const TokensEvent& event, AnswerView view) {
  // Text that was held back comes at the end without a token.
  if (view == AnswerView::kText || event.tokens.empty()) return event.text;
  std::string text;
  for (const GeneratedToken& token : event.tokens) text += ColourToken(token);
  return text;
}

}  // namespace

Answer ReadAnswer(GenerationStream& stream, AnswerView view) {
  Answer answer;
  while (std::optional<StreamEvent> event = stream.Next()) {
    if (auto* finish = std::get_if<FinishedEvent>(&*event)) {
      answer.result.finish = std::move(*finish);
      continue;
    }
    auto& tokens = std::get<TokensEvent>(*event);
    if (view != AnswerView::kNone && answer.output.ok()) {
      answer.output = WriteOutput(Render(tokens, view));
      if (!answer.output.ok()) stream.Cancel();
    }
    answer.result.text += tokens.text;
    for (GeneratedToken& token : tokens.tokens) answer.result.tokens.push_back(std::move(token));
  }
  return answer;
}

std::string ColourToken(const GeneratedToken& token) {
  return Colour(token.text, token.origin);
}

std::string ColourLegend() {
  std::string legend = "tokens:";
  for (const TokenOrigin origin : {TokenOrigin::kAccepted, TokenOrigin::kBonus,
                                   TokenOrigin::kCorrected, TokenOrigin::kPlain}) {
    legend += " " + Colour(TokenOriginName(origin), origin);
  }
  return legend;
}

std::string FiguresLine(const FinishedEvent& finish) {
  const int32_t tokens = finish.usage.completion_tokens;
  std::string line = fmt::format("{} token{} ({})", tokens, tokens == 1 ? "" : "s",
                                 FinishReasonName(finish.reason));
  if (finish.timings.decode_tokens_per_second > 0) {
    line += fmt::format(", {:.1f} tok/s", finish.timings.decode_tokens_per_second);
  }
  if (tokens > 0) line += fmt::format(", first token {:.0f} ms", finish.timings.first_token_ms);
  const SpeculationStats& stats = finish.speculation;
  if (stats.rounds > 0) line += fmt::format(", tau {:.2f}", stats.tau);
  for (const auto& [kind, counts] : stats.by_source) {
    line += fmt::format(", {} {}/{} accepted", DraftSourceKindName(kind), counts.accepted,
                        counts.drafted);
  }
  return line + fmt::format(", seed {}", finish.seed);
}

}  // namespace foretoken
