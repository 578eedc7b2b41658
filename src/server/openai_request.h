#ifndef FORETOKEN_SERVER_OPENAI_REQUEST_H_
#define FORETOKEN_SERVER_OPENAI_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/generation.h"
#include "foretoken/options.h"
#include "server/wire_error.h"

namespace foretoken {

// The requests of OpenAI's API as structs. Fields have OpenAI's meanings, ranges and defaults; null
// is absent. Wrong ones are a WireError with the field's path; fields that nobody knows, or that
// have no effect here, are named in `ignored_fields`.

inline constexpr int32_t kMaxWireChoices = 16;

// The request's `speculation`, our extension: what it does not say is the tenant's.
struct SpeculationFields {
  std::optional<SpeculationMode> mode;
  std::optional<int32_t> draft_tokens;
  std::optional<int32_t> max_draft_tokens;
  std::optional<std::vector<DraftSourceKind>> sources;
  std::optional<VerifyRule> rule;

  SpeculativeConfig Over(SpeculativeConfig base) const;
};

enum class ResponseFormatKind { kText, kJsonObject, kJsonSchema };

struct ResponseFormat {
  ResponseFormatKind kind = ResponseFormatKind::kText;
  std::string name;    // of the schema
  std::string schema;  // JSON text
  bool strict = false;
};

enum class ToolChoice {
  kAuto,
  kNone,  // the prompt has no tools then: what the model is not told of it does not call
  kRequired,
  kNamed,
};

struct ToolFields {
  ToolChoice choice = ToolChoice::kAuto;
  std::string name;  // of kNamed
};

// What all requests that generate have.
struct GenerationFields {
  std::string model;
  // All but max_tokens, speculation and choice, which are the service's to set from the fields
  // below. Legacy and chat log-probabilities are one here.
  GenerateOptions options;
  std::optional<int32_t> max_tokens;  // absent: as many as the context has room for
  std::optional<SpeculationFields> speculation;
  int32_t n = 1;  // choices of each prompt, 1 to kMaxWireChoices
  bool stream = false;
  bool include_usage = false;
  std::string user;
  std::string metadata;  // a JSON object; empty: none
  std::vector<std::string> ignored_fields;
};

struct ChatCompletionRequest {
  GenerationFields common;
  ChatPrompt prompt;
  ToolFields tools;
  ResponseFormat format;
};

struct CompletionRequest {
  GenerationFields common;
  std::vector<PromptContent> prompts;  // texts or tokens; at least one, none empty
};

struct EmbeddingsRequest {
  std::string model;
  std::vector<PromptContent> inputs;  // texts or tokens; at least one, none empty
  bool base64 = false;                // how numbers are sent: base 64 of 32-bit floats
  std::optional<int32_t> dimensions;
  std::string user;
  std::vector<std::string> ignored_fields;
};

struct TokenizeRequest {
  std::string model;
  PromptContent prompt;     // text or messages
  bool add_special = true;  // of text: whether the begin of text is wanted
  bool with_pieces = false;
  std::vector<std::string> ignored_fields;
};

struct DetokenizeRequest {
  std::string model;
  std::vector<TokenId> tokens;
  std::vector<std::string> ignored_fields;
};

WireResult<ChatCompletionRequest> ParseChatCompletionRequest(std::string_view body);
WireResult<CompletionRequest> ParseCompletionRequest(std::string_view body);
WireResult<EmbeddingsRequest> ParseEmbeddingsRequest(std::string_view body);
WireResult<TokenizeRequest> ParseTokenizeRequest(std::string_view body);
WireResult<DetokenizeRequest> ParseDetokenizeRequest(std::string_view body);

// The error for what only a grammar could hold a model to, where there is none: a call that must
// be made, a form of the answer. `format_param`: the field that is the format.
std::optional<WireError> RefuseWithoutGrammar(const ToolFields& tools, const ResponseFormat& format,
                                              std::string_view format_param);

// The value of the header that names the fields that had no effect.
std::string IgnoredFieldsHeader(const std::vector<std::string>& ignored_fields);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_OPENAI_REQUEST_H_
