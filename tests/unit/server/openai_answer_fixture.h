#ifndef FORETOKEN_UNIT_SERVER_OPENAI_ANSWER_FIXTURE_H_
#define FORETOKEN_UNIT_SERVER_OPENAI_ANSWER_FIXTURE_H_

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "foretoken/generation.h"
#include "server/openai_answer.h"

namespace foretoken {

inline AnswerHead TestHead() {
  return {.id = "id-1", .created = 1700000000, .model = "m\"x", .system_fingerprint = "fp_1"};
}

// The bytes of tokens 0 to 4: a control token, text, the halves of a character, and a quote.
inline std::string TestTokenBytes(TokenId token) {
  const std::vector<std::string> bytes = {"", "Hello", "\xC3", "\xA9", "\"\n"};
  return bytes.at(static_cast<size_t>(token));
}

inline GeneratedToken TestToken(TokenId id, float logprob, std::vector<TokenLogprob> top) {
  GeneratedToken token;
  token.id = id;
  token.logprob = logprob;
  token.top_logprobs = std::move(top);
  return token;
}

// All five tokens, the control token last.
inline std::vector<GeneratedToken> TestTokens() {
  return {TestToken(1, -0.5f, {{1, -0.5f}, {0, -std::numeric_limits<float>::infinity()}}),
          TestToken(2, -1.0f, {}), TestToken(3, -2.0f, {{2, -0.25f}}), TestToken(4, -3.0f, {}),
          TestToken(0, -4.0f, {})};
}

inline FinishedEvent TestFinish() {
  FinishedEvent finish;
  finish.usage = {.prompt_tokens = 10, .cached_prompt_tokens = 4, .completion_tokens = 6};
  finish.seed = 7;
  finish.speculation.rounds = 3;
  finish.speculation.drafted = 5;
  finish.speculation.accepted = 3;
  finish.speculation.tau = 2;
  finish.speculation.by_source[DraftSourceKind::kPrediction] = {.drafted = 4, .accepted = 3};
  finish.speculation.by_source[DraftSourceKind::kSuffix] = {.drafted = 1, .accepted = 0};
  return finish;
}

inline AnswerTotals TestTotals() {
  AnswerTotals totals;
  totals.Add(TestFinish(), /*first_of_prompt=*/true);
  return totals;
}

// What WriteTotals writes of them, as the members of an object.
inline constexpr const char* kTestTotalsJson = R"(
  "usage": {"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"accepted_prediction_tokens": 3,
                                          "rejected_prediction_tokens": 1}},
  "seed": 7,
  "speculation": {"drafted": 5, "accepted": 3, "rejected": 2, "rounds": 3, "tau": 2.0,
                  "by_source": {"prediction": {"drafted": 4, "accepted": 3, "rejected": 1},
                                "suffix": {"drafted": 1, "accepted": 0, "rejected": 1}}})";

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SERVER_OPENAI_ANSWER_FIXTURE_H_
