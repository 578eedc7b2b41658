#include "server/openai_message_fields.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "server/wire_json.h"
#include "server/wire_text.h"

namespace foretoken {
namespace {

std::string ReadPart(const nlohmann::json& json, const std::string& path,
                     std::initializer_list<const char*> part_types, WireReport& report) {
  WireObject part(json, path, report);
  const std::string type = part.RequiredString("type");
  if (report.failed()) return "";
  if (std::find(part_types.begin(), part_types.end(), type) == part_types.end()) {
    // The rest of the part means nothing then.
    part.FailUnsupported(
        "type", fmt::format("{} is \"{}\"; only text is supported: {}", part.PathOf("type"),
                            type.substr(0, 64), JoinWithCommas(part_types)));
    return "";
  }
  std::string text = part.RequiredString(type == "refusal" ? "refusal" : "text");
  part.IgnoreRest();
  return text;
}

ToolCall ReadToolCall(const nlohmann::json& json, const std::string& path, WireReport& report) {
  WireObject object(json, path, report);
  ToolCall call;
  call.id = object.RequiredString("id");
  object.OneOf("type", {"function"});
  if (const nlohmann::json* json_function = object.RequiredObject("function")) {
    WireObject function(*json_function, object.PathOf("function"), report);
    call.name = function.RequiredString("name");
    call.arguments = function.RequiredString("arguments");
    function.IgnoreRest();
  }
  object.IgnoreRest();
  return call;
}

ChatMessage ReadMessage(const nlohmann::json& json, const std::string& path, WireReport& report) {
  WireObject object(json, path, report);
  ChatMessage message;
  if (object.Find("role") == nullptr) object.FailMissing("role", "a string");
  message.role =
      object.OneOf("role", {"system", "developer", "user", "assistant", "tool"}).value_or("");
  const bool is_assistant = message.role == "assistant";
  if (is_assistant) {
    message.content = ReadContent(object, "content", {"text", "refusal"}, "\n");
    if (const nlohmann::json* calls = object.Array("tool_calls")) {
      for (size_t i = 0; i < calls->size(); ++i) {
        const std::string call_path = WireIndex(object.PathOf("tool_calls"), i);
        message.tool_calls.push_back(ReadToolCall((*calls)[i], call_path, report));
      }
    }
  } else {
    message.content = ReadContent(object, "content", {"text"}, "\n");
  }
  if (message.role == "tool") {
    message.tool_call_id = object.RequiredString("tool_call_id");
    message.name = object.String("name").value_or("");
  }
  if (object.Find("content") == nullptr && message.tool_calls.empty()) {
    object.FailMissing("content", "a string or an array of text parts");
  }
  object.IgnoreRest();
  return message;
}

std::optional<TokenId> AsToken(const nlohmann::json& json) {
  if (!json.is_number_integer()) return std::nullopt;
  const auto token = json.get<int64_t>();
  // An unsigned number past int64_t's end comes out negative.
  if (token < 0 || token > std::numeric_limits<TokenId>::max()) return std::nullopt;
  return static_cast<TokenId>(token);
}

// Empty when an element is no token.
std::vector<TokenId> AsTokens(const nlohmann::json& array) {
  std::vector<TokenId> tokens;
  for (const nlohmann::json& element : array) {
    const std::optional<TokenId> token = AsToken(element);
    if (!token) return {};
    tokens.push_back(*token);
  }
  return tokens;
}

// A string or an array of tokens, neither of them empty.
std::optional<PromptContent> AsPrompt(const nlohmann::json& json) {
  if (json.is_string() && !json.get_ref<const std::string&>().empty()) {
    return json.get<std::string>();
  }
  if (!json.is_array()) return std::nullopt;
  std::vector<TokenId> tokens = AsTokens(json);
  if (tokens.empty()) return std::nullopt;
  return tokens;
}

}  // namespace

std::string ReadContent(WireObject& object, const char* name,
                        std::initializer_list<const char*> part_types, std::string_view separator) {
  const nlohmann::json* json = object.Find(name);
  if (json == nullptr) return "";
  if (json->is_string()) return json->get<std::string>();
  if (!json->is_array()) {
    object.FailType(name, *json, "a string or an array of text parts");
    return "";
  }
  std::string text;
  for (size_t i = 0; i < json->size(); ++i) {
    if (i > 0) text += separator;
    text += ReadPart((*json)[i], WireIndex(object.PathOf(name), i), part_types, object.report());
  }
  return text;
}

std::vector<ChatMessage> ReadMessages(WireObject& object) {
  std::vector<ChatMessage> messages;
  const nlohmann::json* json = object.RequiredArray("messages");
  if (json == nullptr) return messages;
  if (json->empty()) object.FailValue("messages", "messages is empty; at least one is needed");
  for (size_t i = 0; i < json->size(); ++i) {
    messages.push_back(ReadMessage((*json)[i], WireIndex("messages", i), object.report()));
  }
  return messages;
}

std::vector<PromptContent> ReadPrompts(WireObject& object, const char* name, size_t most) {
  constexpr const char* kExpected =
      "a string, an array of strings, an array of token ids, or an array of such arrays, none of "
      "them empty";
  std::vector<PromptContent> prompts;
  const nlohmann::json* json = object.Find(name);
  if (json == nullptr) {
    object.FailMissing(name, kExpected);
    return prompts;
  }
  if (auto single = AsPrompt(*json)) {
    prompts.push_back(*std::move(single));
    return prompts;
  }
  if (json->is_array() && json->size() > most) {
    object.FailValue(
        name, fmt::format("{} has {} elements; at most {} are allowed", name, json->size(), most));
    return prompts;
  }
  if (json->is_array()) {
    for (const nlohmann::json& element : *json) {
      if (auto prompt = AsPrompt(element)) prompts.push_back(*std::move(prompt));
    }
  }
  if (prompts.empty() || prompts.size() != json->size()) {
    object.FailValue(name, fmt::format("{} must be {}", name, kExpected));
  }
  return prompts;
}

std::vector<TokenId> ReadTokens(WireObject& object, const char* name) {
  const nlohmann::json* json = object.RequiredArray(name);
  if (json == nullptr) return {};
  std::vector<TokenId> tokens = AsTokens(*json);
  if (tokens.size() != json->size()) {
    object.FailValue(name, fmt::format("{} must be an array of token ids: integers from 0", name));
  }
  return tokens;
}

}  // namespace foretoken
