#include "server/openai_tool_fields.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unit/server/openai_fixture.h"

namespace foretoken {
namespace {

constexpr const char* kTools = R"("tools": [
  {"type": "function", "function": {"name": "get_weather", "description": "Says it.", "strict": true,
   "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}},
  {"type": "function", "function": {"name": "now"}}])";

ChatCompletionRequest Parse(const std::string& fields) {
  return ExpectRight(ParseChatCompletionRequest(ChatBody(fields)));
}

TEST(OpenAiToolFieldsTest, ToolsArrive) {
  const auto request = Parse(kTools);
  const auto& tools = request.prompt.tools;
  ASSERT_EQ(tools.size(), 2u);
  EXPECT_EQ(tools[0].name, "get_weather");
  EXPECT_EQ(tools[0].description, "Says it.");
  EXPECT_EQ(tools[0].parameters, R"({"properties":{"city":{"type":"string"}},"type":"object"})");
  EXPECT_EQ(tools[1].name, "now");
  EXPECT_EQ(tools[1].parameters, "");
  EXPECT_EQ(request.tools.choice, ToolChoice::kAuto);
  EXPECT_TRUE(request.prompt.parallel_tool_calls);
  EXPECT_EQ(request.common.ignored_fields, std::vector<std::string>{"tools[0].function.strict"});
}

TEST(OpenAiToolFieldsTest, Choices) {
  const std::string tools = std::string(kTools) + ", ";
  EXPECT_EQ(Parse(tools + R"("tool_choice": "auto")").tools.choice, ToolChoice::kAuto);
  EXPECT_EQ(Parse(tools + R"("tool_choice": "required")").tools.choice, ToolChoice::kRequired);
  const auto named =
      Parse(tools + R"("tool_choice": {"type": "function", "function": {"name": "now"}})");
  EXPECT_EQ(named.tools.choice, ToolChoice::kNamed);
  EXPECT_EQ(named.tools.name, "now");
  const auto none = Parse(tools + R"("tool_choice": "none", "parallel_tool_calls": false)");
  EXPECT_EQ(none.tools.choice, ToolChoice::kNone);
  EXPECT_TRUE(none.prompt.tools.empty());
  EXPECT_FALSE(none.prompt.parallel_tool_calls);
  EXPECT_EQ(Parse(R"("tool_choice": "none", "tools": null)").tools.choice, ToolChoice::kNone);
}

TEST(OpenAiToolFieldsTest, WrongTools) {
  std::string many = R"("tools": [{})";
  for (int i = 0; i < 128; ++i) many += ",{}";
  const std::string tools = std::string(kTools) + ", ";
  const std::string choice =
      "tool_choice must be \"none\", \"auto\", \"required\" or an object that names a function";
  const std::string name = "tools[0].function.name must be of 1 to 64 letters, digits, _ and -";
  const WrongRequest kCases[] = {
      {R"("tools": {})", "tools", "invalid_type", "tools is an object; it must be an array"},
      {many + "]", "tools", "invalid_value", "tools has 129 elements; at most 128 are allowed"},
      {R"("tools": [{}])", "tools[0].type", "missing_required_parameter",
       "tools[0].type is missing; it must be a string"},
      {R"("tools": [{"type": "web_search"}])", "tools[0].type", "unsupported_value",
       "tools[0].type is not supported; only \"function\" is"},
      {R"("tools": [{"type": "function"}])", "tools[0].function", "missing_required_parameter",
       "tools[0].function is missing; it must be an object"},
      {R"("tools": [{"type": "function", "function": {"name": "a b"}}])", "tools[0].function.name",
       "invalid_value", name},
      {R"("tools": [{"type": "function", "function": {"name": ""}}])", "tools[0].function.name",
       "invalid_value", name},
      {R"("tools": [{"type": "function", "function": {"name": "f", "parameters": []}}])",
       "tools[0].function.parameters", "invalid_type",
       "tools[0].function.parameters is an array; it must be an object"},
      {R"("tools": [{"type": "function", "function": {"name": "f"}},
                    {"type": "function", "function": {"name": "f"}}])",
       "tools[1]", "invalid_value", "tools[1] has the name of an earlier tool"},
      {tools + R"("tool_choice": "maybe")", "tool_choice", "invalid_value", choice},
      {tools + R"("tool_choice": 1)", "tool_choice", "invalid_value", choice},
      {tools + R"("tool_choice": {"type": "function"})", "tool_choice.function",
       "missing_required_parameter", "tool_choice.function is missing; it must be an object"},
      {tools + R"("tool_choice": {"type": "function", "function": {"name": "other"}})",
       "tool_choice", "invalid_value", "tool_choice names a function that is not among the tools"},
      {R"("tool_choice": "required")", "tool_choice", "invalid_value",
       "tool_choice is \"required\", but there are no tools"},
      {tools + R"("parallel_tool_calls": 1)", "parallel_tool_calls", "invalid_type",
       "parallel_tool_calls is a number; it must be true or false"},
  };
  for (WrongRequest wrong : kCases) {
    wrong.body = ChatBody(wrong.body);
    ExpectWrong(ParseChatCompletionRequest(wrong.body), wrong);
  }
}

TEST(OpenAiToolFieldsTest, Formats) {
  EXPECT_EQ(Parse("").format.kind, ResponseFormatKind::kText);
  EXPECT_EQ(Parse(R"("response_format": {"type": "text"})").format.kind, ResponseFormatKind::kText);
  EXPECT_EQ(Parse(R"("response_format": {"type": "json_object"})").format.kind,
            ResponseFormatKind::kJsonObject);
  const ResponseFormat format = Parse(R"("response_format": {"type": "json_schema", "json_schema": {
      "name": "n", "description": "d", "strict": true, "schema": {"type": "object"}}})")
                                    .format;
  EXPECT_EQ(format.kind, ResponseFormatKind::kJsonSchema);
  EXPECT_EQ(format.name, "n");
  EXPECT_EQ(format.schema, R"({"type":"object"})");
  EXPECT_TRUE(format.strict);
}

TEST(OpenAiToolFieldsTest, WrongFormats) {
  const WrongRequest kCases[] = {
      {R"({})", "response_format.type", "missing_required_parameter",
       "response_format.type is missing; it must be a string"},
      {R"({"type": "xml"})", "response_format.type", "invalid_value",
       "response_format.type is \"xml\"; it must be one of text, json_object, json_schema"},
      {R"({"type": "json_schema"})", "response_format.json_schema", "missing_required_parameter",
       "response_format.json_schema is missing; it must be an object"},
      {R"({"type": "json_schema", "json_schema": {"name": "n"}})",
       "response_format.json_schema.schema", "missing_required_parameter",
       "response_format.json_schema.schema is missing; it must be an object"},
      {R"("json")", "response_format", "invalid_type",
       "response_format is a string; it must be an object"},
  };
  for (WrongRequest wrong : kCases) {
    wrong.body = ChatBody("\"response_format\": " + wrong.body);
    ExpectWrong(ParseChatCompletionRequest(wrong.body), wrong);
  }
}

}  // namespace
}  // namespace foretoken
