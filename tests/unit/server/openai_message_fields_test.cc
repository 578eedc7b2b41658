#include "server/openai_message_fields.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "unit/server/openai_fixture.h"

namespace foretoken {
namespace {

std::string Body(const std::string& messages) {
  return R"({"model": "m", "messages": )" + messages + "}";
}

TEST(OpenAiMessageFieldsTest, AConversationWithTools) {
  const auto request = ExpectRight(ParseChatCompletionRequest(Body(R"([
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
     "name": "ann"},
    {"role": "assistant", "content": null, "refusal": null, "tool_calls": [
      {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
      {"id": "call_2", "function": {"name": "g", "arguments": ""}}]},
    {"role": "tool", "tool_call_id": "call_1", "name": "f", "content": "one"},
    {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two"}]},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    {"role": "system", "content": ""}])")));
  const auto& messages = request.prompt.messages;
  ASSERT_EQ(messages.size(), 7u);
  EXPECT_EQ(messages[0].role, "developer");
  EXPECT_EQ(messages[0].content, "Be brief.");
  EXPECT_EQ(messages[1].content, "a\nb");
  EXPECT_EQ(messages[1].name, "") << "the model is not told of names";
  EXPECT_EQ(messages[2].content, "");
  ASSERT_EQ(messages[2].tool_calls.size(), 2u);
  EXPECT_EQ(messages[2].tool_calls[0].id, "call_1");
  EXPECT_EQ(messages[2].tool_calls[0].name, "f");
  EXPECT_EQ(messages[2].tool_calls[0].arguments, "{\"x\": 1}");
  EXPECT_EQ(messages[2].tool_calls[1].arguments, "");
  EXPECT_EQ(messages[3].tool_call_id, "call_1");
  EXPECT_EQ(messages[3].name, "f");
  EXPECT_EQ(messages[3].content, "one");
  EXPECT_EQ(messages[4].content, "two");
  EXPECT_EQ(messages[5].content, "no");
  EXPECT_EQ(messages[6].content, "");
  EXPECT_EQ(request.common.ignored_fields, std::vector<std::string>{"messages[1].name"});
}

TEST(OpenAiMessageFieldsTest, FieldsAreIgnoredByPathAtEveryLevel) {
  const auto request = ExpectRight(ParseChatCompletionRequest(Body(R"([
    {"role": "user", "a": 1, "content": [{"type": "text", "text": "x", "b": 1}]},
    {"role": "assistant", "content": "y", "tool_calls": [
      {"id": "i", "c": 1, "function": {"name": "f", "arguments": "", "d": 1}}]}])")));
  EXPECT_EQ(request.common.ignored_fields,
            (std::vector<std::string>{"messages[0].content[0].b", "messages[0].a",
                                      "messages[1].tool_calls[0].function.d",
                                      "messages[1].tool_calls[0].c"}));
}

TEST(OpenAiMessageFieldsTest, WrongMessages) {
  const WrongRequest kCases[] = {
      {"[]", "messages", "invalid_value", "messages is empty; at least one is needed"},
      {"{}", "messages", "invalid_type", "messages is an object; it must be an array"},
      {"null", "messages", "missing_required_parameter",
       "messages is missing; it must be an array"},
      {R"(["hi"])", "messages[0]", "invalid_type", "messages[0] is a string; it must be an object"},
      {R"([{"content": "x"}])", "messages[0].role", "missing_required_parameter",
       "messages[0].role is missing; it must be a string"},
      {R"([{"role": "user", "content": "x"}, {"role": "king", "content": "x"}])",
       "messages[1].role", "invalid_value",
       "messages[1].role is \"king\"; it must be one of system, developer, user, assistant, tool"},
      {R"([{"role": "user"}])", "messages[0].content", "missing_required_parameter",
       "messages[0].content is missing; it must be a string or an array of text parts"},
      {R"([{"role": "assistant", "content": null}])", "messages[0].content",
       "missing_required_parameter",
       "messages[0].content is missing; it must be a string or an array of text parts"},
      {R"([{"role": "user", "content": 3}])", "messages[0].content", "invalid_type",
       "messages[0].content is a number; it must be a string or an array of text parts"},
      {R"([{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url",
           "image_url": {"url": "data:"}}]}])",
       "messages[0].content[1].type", "unsupported_value",
       "messages[0].content[1].type is \"image_url\"; only text is supported: text"},
      {R"([{"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}])",
       "messages[0].content[0].type", "unsupported_value",
       "messages[0].content[0].type is \"refusal\"; only text is supported: text"},
      {R"([{"role": "user", "content": [{"text": "x"}]}])", "messages[0].content[0].type",
       "missing_required_parameter", "messages[0].content[0].type is missing; it must be a string"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])", "messages[0].content[0].text",
       "missing_required_parameter", "messages[0].content[0].text is missing; it must be a string"},
      {R"([{"role": "tool", "content": "x"}])", "messages[0].tool_call_id",
       "missing_required_parameter", "messages[0].tool_call_id is missing; it must be a string"},
      {R"([{"role": "assistant", "tool_calls": [{"id": "a", "type": "code"}]}])",
       "messages[0].tool_calls[0].type", "invalid_value",
       "messages[0].tool_calls[0].type is \"code\"; it must be function"},
      {R"([{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f",
           "arguments": {}}}]}])",
       "messages[0].tool_calls[0].function.arguments", "invalid_type",
       "messages[0].tool_calls[0].function.arguments is an object; it must be a string"},
  };
  for (WrongRequest wrong : kCases) {
    wrong.body = Body(wrong.body);
    ExpectWrong(ParseChatCompletionRequest(wrong.body), wrong);
  }
}

std::vector<PromptContent> Prompts(const std::string& json) {
  return ExpectRight(ParseCompletionRequest(R"({"model": "m", "prompt": )" + json + "}")).prompts;
}

TEST(OpenAiMessageFieldsTest, PromptsOfEveryKind) {
  using Tokens = std::vector<TokenId>;
  EXPECT_EQ(std::get<std::string>(Prompts("\"a\"").at(0)), "a");
  EXPECT_EQ(std::get<Tokens>(Prompts("[1, 2]").at(0)), (Tokens{1, 2}));
  const auto texts = Prompts(R"(["a", "b"])");
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(std::get<std::string>(texts[1]), "b");
  const auto lists = Prompts("[[1], [2147483647, 0]]");
  ASSERT_EQ(lists.size(), 2u);
  EXPECT_EQ(std::get<Tokens>(lists[1]), (Tokens{2147483647, 0}));
}

TEST(OpenAiMessageFieldsTest, WrongPrompts) {
  const std::string message =
      "prompt must be a string, an array of strings, an array of token ids, or an array of such "
      "arrays, none of them empty";
  for (const char* prompt : {"\"\"", "[]", "[[]]", "[\"\"]", "{}", "3", "[1, \"a\"]", "[1.5]",
                             "[-1]", "[2147483648]", "[18446744073709551615]", "[[1], \"\"]"}) {
    const std::string body = std::string(R"({"model": "m", "prompt": )") + prompt + "}";
    ExpectWrong(ParseCompletionRequest(body), {body, "prompt", "invalid_value", message});
  }
  std::string many = "[\"a\"";
  for (int i = 0; i < 128; ++i) many += ",\"a\"";
  ExpectWrong(ParseCompletionRequest(R"({"model": "m", "prompt": )" + many + "]}"),
              {"", "prompt", "invalid_value", "prompt has 129 elements; at most 128 are allowed"});
}

TEST(OpenAiMessageFieldsTest, Tokens) {
  const auto parse = [](const std::string& tokens) {
    return ParseDetokenizeRequest(R"({"model": "m", "tokens": )" + tokens + "}");
  };
  EXPECT_EQ(ExpectRight(parse("[3, 0]")).tokens, (std::vector<TokenId>{3, 0}));
  EXPECT_TRUE(ExpectRight(parse("[]")).tokens.empty());
  for (const char* tokens : {"[-1]", "[1, null]", "[0.5]"}) {
    ExpectWrong(parse(tokens), {tokens, "tokens", "invalid_value",
                                "tokens must be an array of token ids: integers from 0"});
  }
}

}  // namespace
}  // namespace foretoken
