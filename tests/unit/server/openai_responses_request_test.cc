#include "server/openai_responses_request.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unit/server/openai_fixture.h"

namespace foretoken {
namespace {

ResponsesRequest Parse(const std::string& fields) {
  return ExpectRight(ParseResponsesRequest(R"({"model": "m", )" + fields + "}"));
}

TEST(OpenAiResponsesRequestTest, AStringIsAUsersMessage) {
  const auto request = Parse(R"("input": "hi", "instructions": "Be brief.", "max_output_tokens": 9,
      "temperature": 0, "top_p": 0.5, "stream": true, "metadata": {"k": "v"}, "store": false)");
  ASSERT_EQ(request.prompt.messages.size(), 2u);
  EXPECT_EQ(request.prompt.messages[0].role, "system");
  EXPECT_EQ(request.prompt.messages[0].content, "Be brief.");
  EXPECT_EQ(request.prompt.messages[1].role, "user");
  EXPECT_EQ(request.prompt.messages[1].content, "hi");
  EXPECT_EQ(request.instructions, "Be brief.");
  EXPECT_EQ(request.common.max_tokens, 9);
  EXPECT_EQ(request.common.options.sampling.temperature, 0);
  EXPECT_EQ(request.common.options.sampling.top_p, 0.5f);
  EXPECT_TRUE(request.common.stream);
  EXPECT_EQ(request.common.metadata, R"({"k":"v"})");
  EXPECT_TRUE(request.common.ignored_fields.empty());
}

TEST(OpenAiResponsesRequestTest, ItemsAreMessages) {
  const auto request = Parse(R"("input": [
    {"role": "developer", "content": "d"},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
    {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
     "content": [{"type": "output_text", "text": "b", "annotations": []}]},
    {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"},
    {"type": "function_call", "call_id": "call_2", "name": "g", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "one"}],
    "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}},
              {"type": "function", "name": "g"}],
    "tool_choice": {"type": "function", "name": "g"}, "parallel_tool_calls": false,
    "text": {"format": {"type": "json_schema", "name": "s", "schema": {}}, "verbosity": "low"})");
  const auto& messages = request.prompt.messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[0].role, "developer");
  EXPECT_EQ(messages[1].content, "a");
  EXPECT_EQ(messages[2].content, "b");
  ASSERT_EQ(messages[2].tool_calls.size(), 2u);
  EXPECT_EQ(messages[2].tool_calls[1].id, "call_2");
  EXPECT_EQ(messages[3].role, "tool");
  EXPECT_EQ(messages[3].tool_call_id, "call_1");
  EXPECT_EQ(messages[3].content, "one");
  ASSERT_EQ(request.prompt.tools.size(), 2u);
  EXPECT_EQ(request.prompt.tools[0].parameters, R"({"type":"object"})");
  EXPECT_EQ(request.tools.choice, ToolChoice::kNamed);
  EXPECT_EQ(request.tools.name, "g");
  EXPECT_FALSE(request.prompt.parallel_tool_calls);
  EXPECT_EQ(request.format.kind, ResponseFormatKind::kJsonSchema);
  EXPECT_EQ(request.format.name, "s");
  EXPECT_EQ(request.common.ignored_fields,
            (std::vector<std::string>{"input[2].content[0].annotations", "text.verbosity"}));
}

TEST(OpenAiResponsesRequestTest, WrongRequests) {
  const std::string kept =
      " is not supported: responses are not kept; send the whole conversation as input";
  const WrongRequest kCases[] = {
      {R"("input": "x", "previous_response_id": "resp_1")", "previous_response_id",
       "unsupported_value", "previous_response_id" + kept},
      {R"("input": "x", "conversation": "conv_1")", "conversation", "unsupported_value",
       "conversation" + kept},
      {R"("input": "x", "background": true)", "background", "unsupported_value",
       "background is not supported; use stream"},
      {R"("stream": false)", "input", "missing_required_parameter",
       "input is missing; it must be a string or an array of items"},
      {R"("input": [])", "input", "invalid_value", "input is empty; at least one item is needed"},
      {R"("input": 3)", "input", "invalid_type",
       "input is a number; it must be a string or an array of items"},
      {R"("input": [{"type": "reasoning"}])", "input[0].type", "unsupported_value",
       "input[0].type must be message, function_call or function_call_output"},
      {R"("input": [{"role": "user", "content": [{"type": "input_image"}]}])",
       "input[0].content[0].type", "unsupported_value",
       "input[0].content[0].type is \"input_image\"; only text is supported: input_text, "
       "output_text, refusal"},
      {R"("input": [{"type": "function_call_output", "call_id": "a"}])", "input[0].output",
       "missing_required_parameter", "input[0].output is missing; it must be a string"},
      {R"("input": "x", "max_output_tokens": 0)", "max_output_tokens", "invalid_value",
       "max_output_tokens is 0; it must be between 1 and 2147483647"},
      {R"("input": "x", "tools": [{"type": "function"}])", "tools[0].name",
       "missing_required_parameter", "tools[0].name is missing; it must be a string"},
      {R"("input": "x", "text": {"format": {"type": "json_schema", "name": "s"}})",
       "text.format.schema", "missing_required_parameter",
       "text.format.schema is missing; it must be an object"},
  };
  for (WrongRequest wrong : kCases) {
    wrong.body = R"({"model": "m", )" + wrong.body + "}";
    ExpectWrong(ParseResponsesRequest(wrong.body), wrong);
  }
}

}  // namespace
}  // namespace foretoken
