#include "server/openai_tool_fields.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "server/wire_json.h"

namespace foretoken {
namespace {

constexpr size_t kMaxTools = 128;
constexpr size_t kMaxNameBytes = 64;

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-';
         });
}

std::string ReadName(WireObject& object) {
  std::string name = object.RequiredString("name");
  if (!object.report().failed() && !IsName(name)) {
    object.FailValue("name", fmt::format("{} must be of 1 to {} letters, digits, _ and -",
                                         object.PathOf("name"), kMaxNameBytes));
  }
  return name;
}

// Calls `read` with the object whose fields kNested puts inside `container`.
template <typename Read>
void ReadNested(WireObject& object, WireNesting nesting, const char* container, Read read) {
  if (nesting == WireNesting::kFlat) return read(object);
  const nlohmann::json* json = object.RequiredObject(container);
  if (json == nullptr) return;
  WireObject inner(*json, object.PathOf(container), object.report());
  read(inner);
  inner.IgnoreRest();
}

ToolDefinition ReadTool(const nlohmann::json& json, const std::string& path, WireNesting nesting,
                        WireReport& report) {
  WireObject object(json, path, report);
  ToolDefinition tool;
  const std::string type = object.RequiredString("type");
  if (!report.failed() && type != "function") {
    object.FailUnsupported(
        "type", fmt::format("{} is not supported; only \"function\" is", object.PathOf("type")));
  }
  ReadNested(object, nesting, "function", [&tool](WireObject& function) {
    tool.name = ReadName(function);
    tool.description = function.String("description").value_or("");
    if (const auto* parameters = function.Object("parameters")) {
      tool.parameters = parameters->dump();
    }
  });
  object.IgnoreRest();
  return tool;
}

void ReadToolChoice(WireObject& object, WireNesting nesting, ToolFields& fields) {
  const nlohmann::json* json = object.Find("tool_choice");
  if (json == nullptr) return;
  if (json->is_object()) {
    fields.choice = ToolChoice::kNamed;
    WireObject choice(*json, "tool_choice", object.report());
    const std::string type = choice.RequiredString("type");
    if (!object.report().failed() && type != "function") {
      choice.FailUnsupported("type", "tool_choice.type must be \"function\"");
    }
    ReadNested(choice, nesting, "function",
               [&fields](WireObject& function) { fields.name = function.RequiredString("name"); });
    choice.IgnoreRest();
    return;
  }
  const std::string text = json->is_string() ? json->get<std::string>() : "";
  if (text == "auto") {
    fields.choice = ToolChoice::kAuto;
  } else if (text == "none") {
    fields.choice = ToolChoice::kNone;
  } else if (text == "required") {
    fields.choice = ToolChoice::kRequired;
  } else {
    object.FailValue("tool_choice",
                     "tool_choice must be \"none\", \"auto\", \"required\" or an object that names "
                     "a function");
  }
}

bool HasTool(const std::vector<ToolDefinition>& tools, std::string_view name) {
  return std::any_of(tools.begin(), tools.end(),
                     [name](const ToolDefinition& tool) { return tool.name == name; });
}

}  // namespace

ToolFields ReadToolFields(WireObject& object, WireNesting nesting, ChatPrompt& prompt) {
  std::vector<ToolDefinition>& tools = prompt.tools;
  ToolFields fields;
  if (const nlohmann::json* json = object.Array("tools")) {
    if (json->size() > kMaxTools) {
      object.FailValue("tools", fmt::format("tools has {} elements; at most {} are allowed",
                                            json->size(), kMaxTools));
      return fields;
    }
    for (size_t i = 0; i < json->size(); ++i) {
      const std::string path = WireIndex("tools", i);
      ToolDefinition tool = ReadTool((*json)[i], path, nesting, object.report());
      if (HasTool(tools, tool.name)) {
        object.report().Fail(path, "invalid_value",
                             fmt::format("{} has the name of an earlier tool", path));
      }
      tools.push_back(std::move(tool));
    }
  }
  ReadToolChoice(object, nesting, fields);
  prompt.parallel_tool_calls = object.Bool("parallel_tool_calls").value_or(true);
  if (fields.choice == ToolChoice::kNamed && !HasTool(tools, fields.name)) {
    object.FailValue("tool_choice", "tool_choice names a function that is not among the tools");
  }
  if (fields.choice == ToolChoice::kRequired && tools.empty()) {
    object.FailValue("tool_choice", "tool_choice is \"required\", but there are no tools");
  }
  if (fields.choice == ToolChoice::kNone) tools.clear();
  return fields;
}

ResponseFormat ReadResponseFormat(WireObject& object, const char* name, WireNesting nesting) {
  ResponseFormat format;
  const nlohmann::json* json = object.Object(name);
  if (json == nullptr) return format;
  WireObject fields(*json, object.PathOf(name), object.report());
  if (fields.Find("type") == nullptr) fields.FailMissing("type", "a string");
  const auto type = fields.OneOf("type", {"text", "json_object", "json_schema"});
  if (type == "json_object") format.kind = ResponseFormatKind::kJsonObject;
  if (type == "json_schema") {
    format.kind = ResponseFormatKind::kJsonSchema;
    ReadNested(fields, nesting, "json_schema", [&format](WireObject& schema) {
      format.name = ReadName(schema);
      if (const auto* body = schema.RequiredObject("schema")) format.schema = body->dump();
      format.strict = schema.Bool("strict").value_or(false);
      schema.Find("description");  // for models that are told of it; it has no effect on the form
    });
  }
  fields.IgnoreRest();
  return format;
}

}  // namespace foretoken
