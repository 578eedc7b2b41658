#include "server/openai_responses_request.h"

#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "server/openai_generation_fields.h"
#include "server/openai_message_fields.h"
#include "server/openai_tool_fields.h"
#include "server/wire_object.h"
#include "server/wire_request.h"

namespace foretoken {
namespace {

ChatMessage ReadInputMessage(WireObject& item) {
  ChatMessage message;
  if (item.Find("role") == nullptr) item.FailMissing("role", "a string");
  message.role = item.OneOf("role", {"system", "developer", "user", "assistant"}).value_or("");
  if (item.Find("content") == nullptr) {
    item.FailMissing("content", "a string or an array of text parts");
  }
  message.content = ReadContent(item, "content", {"input_text", "output_text", "refusal"}, "\n");
  return message;
}

// Calls of one turn are one message, as the model made them.
void AddCall(WireObject& item, std::vector<ChatMessage>& messages) {
  ToolCall call;
  call.id = item.RequiredString("call_id");
  call.name = item.RequiredString("name");
  call.arguments = item.RequiredString("arguments");
  if (messages.empty() || messages.back().role != "assistant") {
    messages.push_back({.role = "assistant"});
  }
  messages.back().tool_calls.push_back(std::move(call));
}

void ReadInputItem(const nlohmann::json& json, const std::string& path, WireReport& report,
                   std::vector<ChatMessage>& messages) {
  WireObject item(json, path, report);
  const std::string type = item.String("type").value_or("message");
  if (type == "message") {
    messages.push_back(ReadInputMessage(item));
  } else if (type == "function_call") {
    AddCall(item, messages);
  } else if (type == "function_call_output") {
    ChatMessage message{.role = "tool"};
    message.tool_call_id = item.RequiredString("call_id");
    if (item.Find("output") == nullptr) item.FailMissing("output", "a string");
    message.content = ReadContent(item, "output", {"input_text"}, "\n");
    messages.push_back(std::move(message));
  } else {
    item.FailUnsupported("type", fmt::format("{} must be message, function_call or "
                                             "function_call_output",
                                             item.PathOf("type")));
  }
  for (const char* name : {"id", "status"}) item.Find(name);  // of answers that are sent back
  item.IgnoreRest();
}

void ReadInput(WireObject& object, std::vector<ChatMessage>& messages) {
  const nlohmann::json* json = object.Find("input");
  if (json == nullptr) {
    object.FailMissing("input", "a string or an array of items");
  } else if (json->is_string()) {
    messages.push_back({.role = "user", .content = json->get<std::string>()});
  } else if (!json->is_array()) {
    object.FailType("input", *json, "a string or an array of items");
  } else if (json->empty()) {
    object.FailValue("input", "input is empty; at least one item is needed");
  } else {
    for (size_t i = 0; i < json->size(); ++i) {
      ReadInputItem((*json)[i], WireIndex("input", i), object.report(), messages);
    }
  }
}

void RefuseWhatNeedsState(WireObject& object) {
  for (const char* name : {"previous_response_id", "conversation", "prompt"}) {
    if (object.Find(name) != nullptr) {
      object.FailUnsupported(name, fmt::format("{} is not supported: responses are not kept; send "
                                               "the whole conversation as input",
                                               name));
    }
  }
  if (object.Bool("background").value_or(false)) {
    object.FailUnsupported("background", "background is not supported; use stream");
  }
}

std::vector<std::string>& ReadResponses(WireObject& object, ResponsesRequest& request) {
  GenerationFields& common = request.common;
  ReadGenerationFields(object, common);
  RefuseWhatNeedsState(object);
  if (const auto most = object.Integer("max_output_tokens", kMaxTokensRange)) {
    common.max_tokens = static_cast<int32_t>(*most);
  }
  std::vector<ChatMessage>& messages = request.prompt.messages;
  request.instructions = object.String("instructions").value_or("");
  if (!request.instructions.empty()) {
    messages.push_back({.role = "system", .content = request.instructions});
  }
  ReadInput(object, messages);
  request.tools = ReadToolFields(object, WireNesting::kFlat, request.prompt);
  if (const nlohmann::json* json = object.Object("text")) {
    WireObject text(*json, "text", object.report());
    request.format = ReadResponseFormat(text, "format", WireNesting::kFlat);
    text.IgnoreRest();
  }
  return common.ignored_fields;
}

}  // namespace

WireResult<ResponsesRequest> ParseResponsesRequest(std::string_view body) {
  return ParseRequest(body, ReadResponses);
}

}  // namespace foretoken
