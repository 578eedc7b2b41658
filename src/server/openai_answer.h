#ifndef FORETOKEN_SERVER_OPENAI_ANSWER_H_
#define FORETOKEN_SERVER_OPENAI_ANSWER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/generation.h"
#include "server/wire_writer.h"

namespace foretoken {

// The parts that OpenAI's several kinds of answers have in common.

// A token's bytes in the answer; empty for control tokens.
using TokenBytes = std::function<std::string(TokenId)>;

// What is the same in all chunks of one answer.
struct AnswerHead {
  std::string id;       // "chatcmpl-..."
  int64_t created = 0;  // seconds since 1970
  std::string model;    // as the client named it
  std::string system_fingerprint;
};

// The tokens of an answer of one or more choices, and how they were speculated.
struct AnswerTotals {
  Usage usage;
  SpeculationStats speculation;
  std::optional<uint64_t> seed;       // the one used
  std::vector<std::string> warnings;  // each once

  // Adds a finished choice; a prompt counts once, with its first choice.
  void Add(const FinishedEvent& finish, bool first_of_prompt);
};

// "stop", or "length" for whatever else ended it.
std::string_view WireFinishReason(FinishReason reason);

// Writes the keys `seed` and `speculation`, which are our extensions: drafted, accepted and
// rejected tokens, rounds, tau, the same by source, warnings if there are any.
void WriteExtensions(WireWriter& writer, const AnswerTotals& totals);
// Writes the key `usage`, and those.
void WriteTotals(WireWriter& writer, const AnswerTotals& totals);
// The same as the last keys of an object that was begun, with the bracket that ends it.
void AppendTotals(std::string& out, const AnswerTotals& totals);

// Writes the keys that begin every answer but a response; `object` is its kind.
void WriteHead(WireWriter& writer, const AnswerHead& head, std::string_view object);

// Writes the value of a chat's `logprobs`: {"content": [...], "refusal": null}. Tokens without
// bytes (the end of text) are no content. "token" shows bytes that are no UTF-8 as U+FFFD; "bytes"
// has them exactly.
void WriteChatLogprobs(WireWriter& writer, std::span<const GeneratedToken> tokens,
                       const TokenBytes& bytes);

// Writes the value of a legacy completion's `logprobs`. Offsets are in characters, from
// `text_offset` on, which moves past these tokens. Tokens that are no UTF-8 are spelled
// "bytes:\xe2\x80", as OpenAI's API does.
void WriteLegacyLogprobs(WireWriter& writer, std::span<const GeneratedToken> tokens,
                         const TokenBytes& bytes, int64_t& text_offset);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_OPENAI_ANSWER_H_
