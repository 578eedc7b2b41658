#ifndef FORETOKEN_GENERATION_H_
#define FORETOKEN_GENERATION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"

namespace foretoken {

// A tool that the model may call.
struct ToolDefinition {
  std::string name;
  std::string description;  // may be empty
  std::string parameters;   // a JSON Schema of the arguments, as text; empty: it takes none
};

// The assistant's call of a tool.
struct ToolCall {
  std::string id;  // what the tool's message answers to
  std::string name;
  std::string arguments;  // a JSON object, as text
};

struct ChatMessage {
  std::string role;  // "system", "developer", "user", "assistant" or "tool"
  std::string content;
  std::vector<ToolCall> tool_calls;  // of an assistant's message
  std::string tool_call_id;          // of a tool's message: the call that it answers
  std::string name;                  // of a tool's message: the tool; may be empty
};

// Text in it never becomes a control token of the model, whatever it looks like.
struct ChatPrompt {
  std::vector<ChatMessage> messages;
  std::vector<ToolDefinition> tools;
  bool parallel_tool_calls = true;  // whether one answer may hold several calls
};

// Text as it is, tokens as they are, or messages laid out by the model's chat template.
using PromptContent = std::variant<std::string, std::vector<TokenId>, ChatPrompt>;

struct GenerateRequest {
  PromptContent prompt;
  GenerateOptions options;
};

// Where a committed token came from.
enum class TokenOrigin {
  kPlain,      // a round without a draft
  kAccepted,   // drafted, and the target agreed
  kCorrected,  // the target's own token where a draft was rejected
  kBonus,      // the target's own token after a draft that was accepted whole
};

enum class FinishReason {
  kStop,       // end-of-text token or stop string
  kLength,     // max_tokens, or the end of the context
  kCancelled,  // Cancel(), a dropped stream, a deadline or a reader that did not read: see the
               // status
  kError,      // see the status
};

std::string_view TokenOriginName(TokenOrigin origin);
std::string_view FinishReasonName(FinishReason reason);
std::string_view DraftSourceKindName(DraftSourceKind kind);

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;  // natural logarithm
};

struct GeneratedToken {
  TokenId id = 0;
  TokenOrigin origin = TokenOrigin::kPlain;
  std::optional<DraftSourceKind> source;  // set for accepted tokens
  // The text that became visible with this token: may be empty (a UTF-8 sequence or a possible
  // stop string is held back) or belong in part to earlier tokens.
  std::string text;
  // Log-softmax of the unprocessed row; set when the request asked for it.
  std::optional<float> logprob;
  std::vector<TokenLogprob> top_logprobs;  // most likely first
};

// The tokens of one round, committed for good, and the text they made visible.
struct TokensEvent {
  std::vector<GeneratedToken> tokens;
  std::string text;  // valid UTF-8; whole characters only
};

struct Usage {
  int32_t prompt_tokens = 0;
  int32_t cached_prompt_tokens = 0;  // of these: reused from the cache, not computed
  int32_t completion_tokens = 0;
};

struct Timings {
  double queue_ms = 0;        // from submission to the start of the work
  double prompt_ms = 0;       // the steps that ran a part of the prompt
  double first_token_ms = 0;  // from submission to the first token
  double decode_ms = 0;       // from the first token to the last
  // Of decode. A phase is shared by all that took part in it, and counts whole for each.
  double draft_ms = 0;   // proposing
  double verify_ms = 0;  // the target's forward passes
  double sample_ms = 0;  // choosing and verifying tokens
  // Tokens after the first per second of decode_ms; 0 when there are none.
  double decode_tokens_per_second = 0;
};

struct DraftCounts {
  int64_t drafted = 0;
  int64_t accepted = 0;
};

struct SpeculationStats {
  int64_t rounds = 0;  // target forwards that committed tokens, plain ones included
  int64_t drafted = 0;
  int64_t accepted = 0;  // a block cut by an end of text, stop string or limit counts what is kept
  int64_t rejected = 0;  // drafted - accepted
  int64_t bonus = 0;
  double tau = 0;  // tokens committed per round, bonus included; 0 without a round
  std::map<DraftSourceKind, DraftCounts> by_source;
  std::vector<DraftCounts> by_position;  // element i: the i-th drafted token of a round
};

struct FinishedEvent {
  Status status;  // OK unless reason is kError or kCancelled
  FinishReason reason = FinishReason::kStop;
  Usage usage;
  Timings timings;
  SpeculationStats speculation;
  uint64_t seed = 0;                  // the one used
  std::vector<std::string> warnings;  // e.g. why speculation did not run
};

// Any number of TokensEvent, then exactly one FinishedEvent.
using StreamEvent = std::variant<TokensEvent, FinishedEvent>;

// One running generation, seen by its reader.
// One thread reads; any thread may cancel. Nothing has to outlive it. Dropping it cancels the
// generation at its next round. A reader that does not read makes its own generation wait, and in
// the end be cancelled (RuntimeOptions::slow_reader_ms); nobody else's.
class GenerationStream {
 public:
  virtual ~GenerationStream() = default;
  // Waits for the next event. Empty after the FinishedEvent was returned.
  virtual std::optional<StreamEvent> Next() = 0;
  // The next event if it is there already; empty otherwise, and after the FinishedEvent.
  virtual std::optional<StreamEvent> TryNext() = 0;
  // For readers that may not wait: calls `ready` once, as soon as TryNext has an event (at once if
  // it has one now, or will never have one again), on the caller's thread or the engine's, which it
  // must not hold up. A later call replaces an earlier one that did not come. It may still come
  // while the stream is being dropped.
  virtual void NotifyWhenReady(std::function<void()> ready) = 0;
  // Ends the generation at its next round, with FinishReason::kCancelled.
  virtual void Cancel() = 0;
};

// A stream collected.
struct GenerationResult {
  std::string text;
  std::vector<GeneratedToken> tokens;
  FinishedEvent finish;
};

// Reads a stream to its end. The status of a failed or cancelled generation is in `finish`, beside
// the tokens committed before.
GenerationResult Collect(GenerationStream& stream);

}  // namespace foretoken

#endif  // FORETOKEN_GENERATION_H_
