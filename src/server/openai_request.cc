#include "server/openai_request.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "server/openai_generation_fields.h"
#include "server/openai_message_fields.h"
#include "server/openai_tool_fields.h"
#include "server/wire_object.h"
#include "server/wire_request.h"
#include "server/wire_text.h"

namespace foretoken {
namespace {

constexpr WireRange<int64_t> kTopLogprobsRange = {0, 20};
constexpr WireRange<int64_t> kDimensionsRange = {1, 1 << 20};
constexpr size_t kMaxPrompts = 128;
constexpr size_t kMaxEmbeddingInputs = 2048;
constexpr int32_t kLegacyMaxTokens = 16;

void ReadChatMaxTokens(WireObject& object, GenerationFields& fields) {
  const auto older = object.Integer("max_tokens", kMaxTokensRange);
  const auto newer = object.Integer("max_completion_tokens", kMaxTokensRange);
  if (older && newer && *older != *newer) {
    object.FailValue("max_tokens",
                     "max_tokens and max_completion_tokens differ; send the latter only");
  }
  if (newer || older) fields.max_tokens = static_cast<int32_t>(newer ? *newer : *older);
}

void ReadChatLogprobs(WireObject& object, GenerateOptions& options) {
  const bool wanted = object.Bool("logprobs").value_or(false);
  const auto top = object.Integer("top_logprobs", kTopLogprobsRange);
  if (top && !wanted) {
    object.FailValue("top_logprobs", "top_logprobs needs logprobs to be true");
  }
  if (wanted) options.logprobs = static_cast<int32_t>(top.value_or(0));
}

void ReadPrediction(WireObject& object, std::string& prediction) {
  const nlohmann::json* json = object.Object("prediction");
  if (json == nullptr) return;
  WireObject fields(*json, "prediction", object.report());
  fields.OneOf("type", {"content"});
  if (fields.Find("content") == nullptr) {
    fields.FailMissing("content", "a string or an array of text parts");
  }
  prediction = ReadContent(fields, "content", {"text"}, "");
  fields.IgnoreRest();
}

void RefuseWhatChatCannotDo(WireObject& object) {
  for (const char* name : {"functions", "function_call"}) {
    if (object.Find(name) != nullptr) {
      object.FailUnsupported(name, fmt::format("{} is not supported; use tools", name));
    }
  }
  if (object.Find("audio") != nullptr) {
    object.FailUnsupported("audio", "audio is not supported; answers are text");
  }
  if (const nlohmann::json* modalities = object.Array("modalities")) {
    for (const nlohmann::json& modality : *modalities) {
      if (modality != "text") {
        object.FailUnsupported("modalities", "modalities must be [\"text\"]");
      }
    }
  }
}

std::vector<std::string>& ReadChat(WireObject& object, ChatCompletionRequest& request) {
  GenerationFields& common = request.common;
  ReadGenerationFields(object, common);
  ReadCompletionFields(object, common);
  ReadChatMaxTokens(object, common);
  ReadChatLogprobs(object, common.options);
  ReadPrediction(object, common.options.prediction);
  request.prompt.messages = ReadMessages(object);
  request.tools = ReadToolFields(object, WireNesting::kNested, request.prompt);
  request.format = ReadResponseFormat(object, "response_format", WireNesting::kNested);
  RefuseWhatChatCannotDo(object);
  return common.ignored_fields;
}

void RefuseWhatCompletionsCannotDo(WireObject& object, int32_t n) {
  if (object.Bool("echo").value_or(false)) {
    object.FailUnsupported("echo", "echo is not supported; the prompt is not sent back");
  }
  if (!object.String("suffix").value_or("").empty()) {
    object.FailUnsupported("suffix", "suffix is not supported; the answer follows the prompt");
  }
  const auto best_of = object.Integer("best_of", {1, kMaxWireChoices});
  if (best_of && *best_of != n) {
    object.FailUnsupported("best_of", "best_of is not supported; leave it out or set it to n");
  }
}

std::vector<std::string>& ReadCompletion(WireObject& object, CompletionRequest& request) {
  GenerationFields& common = request.common;
  ReadGenerationFields(object, common);
  ReadCompletionFields(object, common);
  common.max_tokens = static_cast<int32_t>(
      object.Integer("max_tokens", kMaxTokensRange).value_or(kLegacyMaxTokens));
  if (const auto top = object.Integer("logprobs", kTopLogprobsRange)) {
    common.options.logprobs = static_cast<int32_t>(*top);
  }
  ReadPrediction(object, common.options.prediction);
  request.prompts = ReadPrompts(object, "prompt", kMaxPrompts);
  if (request.prompts.size() * static_cast<size_t>(common.n) > kMaxPrompts) {
    object.FailValue("n", fmt::format("{} prompts times n = {} are more than {} choices",
                                      request.prompts.size(), common.n, kMaxPrompts));
  }
  RefuseWhatCompletionsCannotDo(object, common.n);
  return common.ignored_fields;
}

std::vector<std::string>& ReadEmbeddings(WireObject& object, EmbeddingsRequest& request) {
  request.model = object.String("model").value_or("");  // empty: the tenant's own
  request.inputs = ReadPrompts(object, "input", kMaxEmbeddingInputs);
  request.base64 = object.OneOf("encoding_format", {"float", "base64"}) == "base64";
  if (const auto dimensions = object.Integer("dimensions", kDimensionsRange)) {
    request.dimensions = static_cast<int32_t>(*dimensions);
  }
  request.user = object.String("user").value_or("");
  return request.ignored_fields;
}

std::vector<std::string>& ReadTokenize(WireObject& object, TokenizeRequest& request) {
  request.model = object.String("model").value_or("");  // empty: the tenant's own
  request.add_special = object.Bool("add_special_tokens").value_or(true);
  request.with_pieces = object.Bool("return_token_strs").value_or(false);
  ChatPrompt chat;
  ReadToolFields(object, WireNesting::kNested, chat);
  if (object.Find("messages") == nullptr) {
    request.prompt = object.RequiredString("prompt");
  } else if (object.Find("prompt") != nullptr) {
    object.FailValue("prompt", "prompt and messages exclude each other");
  } else {
    chat.messages = ReadMessages(object);
    request.prompt = std::move(chat);
  }
  return request.ignored_fields;
}

std::vector<std::string>& ReadDetokenize(WireObject& object, DetokenizeRequest& request) {
  request.model = object.String("model").value_or("");  // empty: the tenant's own
  request.tokens = ReadTokens(object, "tokens");
  return request.ignored_fields;
}

}  // namespace

WireResult<ChatCompletionRequest> ParseChatCompletionRequest(std::string_view body) {
  return ParseRequest(body, ReadChat);
}

WireResult<CompletionRequest> ParseCompletionRequest(std::string_view body) {
  return ParseRequest(body, ReadCompletion);
}

WireResult<EmbeddingsRequest> ParseEmbeddingsRequest(std::string_view body) {
  return ParseRequest(body, ReadEmbeddings);
}

WireResult<TokenizeRequest> ParseTokenizeRequest(std::string_view body) {
  return ParseRequest(body, ReadTokenize);
}

WireResult<DetokenizeRequest> ParseDetokenizeRequest(std::string_view body) {
  return ParseRequest(body, ReadDetokenize);
}

std::optional<WireError> RefuseWithoutGrammar(const ToolFields& tools, const ResponseFormat& format,
                                              std::string_view format_param) {
  WireError error = {400, "invalid_request_error", "tool_choice", "unsupported_value", ""};
  if (tools.choice == ToolChoice::kRequired || tools.choice == ToolChoice::kNamed) {
    error.message = "tool_choice can be \"auto\" or \"none\" only: a call cannot be enforced yet";
    return error;
  }
  if (format.kind == ResponseFormatKind::kText) return std::nullopt;
  error.param = fmt::format("{}.type", format_param);
  error.message = fmt::format(
      "{} can be \"text\" only: a form of the answer cannot be enforced yet", error.param);
  return error;
}

std::string IgnoredFieldsHeader(const std::vector<std::string>& ignored_fields) {
  return JoinWithCommas(ignored_fields);
}

}  // namespace foretoken
