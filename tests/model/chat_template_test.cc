// Chat templates with tools, by templates that the tests write themselves: no model is needed.
#include "model/chat_template.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/llama_fixture.h"
#include "model/prompt_tokens.h"

namespace foretoken {
namespace {

// Calls are JSON objects between tags; tools are listed in the first message.
constexpr const char* kToolTemplate =
    "{%- if tools %}[tools]{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}[/tools]{% "
    "endif "
    "-%}"
    "{%- for message in messages %}"
    "{%- if message.role == 'tool' %}[tool]{{ message.content }}[end]"
    "{%- else %}[{{ message.role }}]{{ message.content }}"
    "{%- for call in message.tool_calls %}"
    "{{- '\n<call>\n{\"name\": \"' + call.function.name + '\", \"arguments\": ' }}"
    "{{- call.function.arguments | tojson }}{{- '}\n</call>' }}"
    "{%- endfor %}[end]{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}[assistant]{% endif %}";

ChatTemplate Parse(const std::string& source) {
  auto parsed = ChatTemplate::Parse(source, "<s>", "</s>");
  EXPECT_TRUE(parsed.ok()) << parsed.status().ToString();
  return std::move(parsed).value();
}

ChatPrompt WithTools() {
  ChatPrompt prompt = {.messages = {{"user", "What is the weather?"}}};
  prompt.tools = {{"get_weather", "Says it.",
                   R"({"type": "object", "properties": {"city": {"type": "string"}}})"},
                  {.name = "now"}};
  return prompt;
}

TEST(ChatTemplateTest, ToolsAndCallsAreLaidOut) {
  ChatPrompt prompt = WithTools();
  prompt.messages.push_back(
      {.role = "assistant", .tool_calls = {{"call_1", "get_weather", R"({"city": "Rome"})"}}});
  prompt.messages.push_back({.role = "tool", .content = "sunny", .tool_call_id = "call_1"});
  EXPECT_EQ(
      *Parse(kToolTemplate).Render(prompt, nullptr),
      "[tools]"
      R"({"type": "function", "function": {"name": "get_weather", "description": "Says it.", )"
      R"("parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}})"
      "\n"
      R"({"type": "function", "function": {"name": "now", "description": "", )"
      R"("parameters": {"type": "object", "properties": {}}}})"
      "\n[/tools][user]What is the weather?[end]"
      "[assistant]\n<call>\n"
      R"({"name": "get_weather", "arguments": {"city": "Rome"}})"
      "\n</call>[end][tool]sunny[end][assistant]");
}

TEST(ChatTemplateTest, EveryTextGoesThroughTheFilter) {
  ChatPrompt prompt = WithTools();
  prompt.messages[0].content = "secret";
  prompt.tools[0].description = "secret";
  prompt.tools[1].parameters = R"({"secret": [{"deep": "a secret"}, 1, null]})";
  // Escaped: what a template sees is what has to be filtered.
  prompt.messages.push_back(
      {.role = "assistant",
       .content = "secret",
       .tool_calls = {{"secret", "secret", R"({"\u0073ecret": "\u0073ecret"})"},
                      {"c", "f", "no JSON, but secret"}}});
  prompt.messages.push_back({.role = "tool", .content = "secret", .tool_call_id = "secret"});
  const ChatTextFilter hide = [](std::string_view text) {
    std::string result(text);
    for (size_t at = result.find("secret"); at != std::string::npos; at = result.find("secret")) {
      result.replace(at, 6, "######");
    }
    return result;
  };
  const std::string text = *Parse(kToolTemplate).Render(prompt, hide);
  EXPECT_EQ(text.find("secret"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("arguments": {"######": "######"})"), std::string::npos) << text;
  EXPECT_EQ(*Parse(kToolTemplate).Render(prompt, [](std::string_view t) { return std::string(t); }),
            *Parse(kToolTemplate).Render(prompt, nullptr));
}

TEST(ChatTemplateTest, MessagesFitTheTemplate) {
  const std::string plain = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}";
  const ChatPrompt developer = {.messages = {{"developer", "be brief"}, {"user", "hi"}}};
  EXPECT_EQ(*Parse(plain).Render(developer, nullptr), "[system]be brief[user]hi");
  const std::string no_system =
      "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
      "{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}";
  EXPECT_EQ(*Parse(no_system).Render(developer, nullptr), "[user]be brief\nhi");
}

TEST(ChatTemplateTest, WhatCannotBeLaidOutIsRefused) {
  const ChatTemplate tools = Parse(kToolTemplate);
  const std::string plain = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}";
  const Status no_place = Parse(plain).Render(WithTools(), nullptr).status();
  EXPECT_EQ(no_place.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(no_place.message(), "the model's chat template has no place for tools");
  EXPECT_EQ(Parse(plain).NewReplyParser(WithTools(), {}).status(), no_place);
  for (const std::string& parameters :
       {std::string("[]"), std::string("{"), "{\"a\":" + std::string(100000, '[')}) {
    ChatPrompt prompt = WithTools();
    prompt.tools[1].parameters = parameters;
    EXPECT_EQ(tools.Render(prompt, nullptr).status().code(), StatusCode::kInvalidArgument);
  }
  ChatPrompt deep = WithTools();
  deep.messages.push_back(
      {.role = "assistant", .tool_calls = {{"c", "f", "{\"a\":" + std::string(100000, '[')}}});
  EXPECT_TRUE(tools.Render(deep, nullptr).ok()) << "arguments that are no object are text";
}

// What a reply adds up to.
struct Reply {
  std::string content;
  std::vector<ToolCall> calls;
};

void AddDelta(const ReplyDelta& delta, Reply& reply) {
  reply.content += delta.content;
  for (const ToolCallDelta& call : delta.tool_calls) {
    ASSERT_LE(call.index, reply.calls.size());
    if (call.index == reply.calls.size()) {
      EXPECT_FALSE(call.id.empty());
      EXPECT_FALSE(call.name.empty());
      reply.calls.push_back({call.id, call.name, ""});
    } else {
      EXPECT_TRUE(call.id.empty()) << "said once";
      EXPECT_TRUE(call.name.empty()) << "said once";
    }
    reply.calls[call.index].arguments += call.arguments;
  }
}

Reply Read(ReplyParser& parser, const std::string& text, size_t step) {
  Reply reply;
  for (size_t i = 0; i < text.size(); i += step) AddDelta(parser.Push(text.substr(i, step)), reply);
  AddDelta(parser.Finish(), reply);
  return reply;
}

TEST(ChatTemplateTest, CallsAreReadWhateverThePieces) {
  const ChatTemplate chat_template = Parse(kToolTemplate);
  const std::string text =
      "Let me see.\n<call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome \\\"x\\\" "
      "\xC3\xA9\"}}\n</call>\n<call>\n{\"name\": \"now\", \"arguments\": {}}\n</call>";
  for (const size_t step : {1, 2, 3, 5, 7, 1000}) {
    auto parser = chat_template.NewReplyParser(WithTools(), {});
    ASSERT_TRUE(parser.ok()) << parser.status().ToString();
    const Reply reply = Read(**parser, text, step);
    EXPECT_EQ(reply.content.substr(0, 11), "Let me see.") << step;
    EXPECT_EQ(reply.content.find('<'), std::string::npos) << step;
    ASSERT_EQ(reply.calls.size(), 2u) << step;
    EXPECT_EQ(reply.calls[0].name, "get_weather");
    EXPECT_EQ(reply.calls[0].arguments, "{\"city\": \"Rome \\\"x\\\" \xC3\xA9\"}") << step;
    EXPECT_EQ(reply.calls[1].name, "now");
    EXPECT_EQ(reply.calls[1].arguments, "{}");
    EXPECT_NE(reply.calls[0].id, reply.calls[1].id);
    EXPECT_TRUE(reply.calls[0].id.starts_with("call_"));
  }
}

TEST(ChatTemplateTest, TextWithoutCallsComesBackAsItIs) {
  const ChatTemplate chat_template = Parse(kToolTemplate);
  for (const std::string text : {"Just text.", "", "a < b, <cal", "{\"name\": 1}", "  spaces  \n",
                                 "<call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</call>",
                                 "<call>\nnot JSON", " so <call> is what one writes", "<ca<call"}) {
    for (const size_t step : {1, 4, 1000}) {
      auto parser = chat_template.NewReplyParser(WithTools(), {});
      ASSERT_TRUE(parser.ok()) << parser.status().ToString();
      const Reply reply = Read(**parser, text, step);
      EXPECT_TRUE(reply.calls.empty()) << text;
      EXPECT_EQ(reply.content, text) << step;
    }
  }
}

TEST(ChatTemplateTest, ContentDoesNotWaitForTheEnd) {
  auto parser = Parse(kToolTemplate).NewReplyParser(WithTools(), {});
  ASSERT_TRUE(parser.ok());
  EXPECT_EQ((*parser)->Push(" Let me").content, " Let me");
  EXPECT_EQ((*parser)->Push(" ").content, "") << "a call may follow";
  EXPECT_EQ((*parser)->Push("see <ca").content, " see");
  EXPECT_EQ((*parser)->Push("t. ").content, " <cat.");
  EXPECT_EQ((*parser)->Finish().content, " ");
}

TEST(ChatTemplateTest, ACallThatALimitCutIsToldAsFarAsItCame) {
  auto parser = Parse(kToolTemplate).NewReplyParser(WithTools(), {});
  ASSERT_TRUE(parser.ok());
  const Reply reply =
      Read(**parser, "<call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Ro", 3);
  ASSERT_EQ(reply.calls.size(), 1u);
  EXPECT_EQ(reply.calls[0].arguments.substr(0, 10), "{\"city\": \"");
}

// The parser calls itself for every level, and a user can have a model write anything.
TEST(ChatTemplateTest, DeepArgumentsAreContentAndNoStackOverflow) {
  const ChatTemplate chat_template = Parse(kToolTemplate);
  const std::string begin = "<call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": ";
  for (const std::string level : {"[", "{\"a\":", "['", "[\"]\","}) {
    std::string text = begin;
    for (int i = 0; i < 100000; ++i) text += level;
    auto parser = chat_template.NewReplyParser(WithTools(), {});
    ASSERT_TRUE(parser.ok());
    EXPECT_LE(Read(**parser, text, text.size()).content.size(), text.size());
  }
  auto parser = chat_template.NewReplyParser(WithTools(), {});
  ASSERT_TRUE(parser.ok());
  const std::string text = begin + std::string(100, '[') + std::string(100, ']') + "}}\n</call>";
  EXPECT_EQ(Read(**parser, text, 7).calls.size(), 1u);
}

TEST(ChatTemplateTest, CallsMarkedByControlTokensCannotBeRead) {
  const Status status =
      Parse(kToolTemplate).NewReplyParser(WithTools(), ControlTexts({"<call>"})).status();
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented) << status.ToString();
  EXPECT_NE(status.message().find("<call>"), std::string::npos);
}

// A vocabulary that puts a space before text, as SentencePiece does.
class ChatTokensTest : public LlamaTest {
 protected:
  std::shared_ptr<LoadedModel> Load() {
    testing::GgufWriter writer = testing::TinyLlamaGguf(1);
    writer.SetString("tokenizer.chat_template",
                     "{% for m in messages %}{{ m.content }}</s>{% endfor %}");
    return loader_->Load({.path = Write("chat.gguf", writer.Bytes())}).value();
  }
};

TEST_F(ChatTokensTest, ControlTextInAMessageIsText) {
  const auto model = Load();
  const auto tokens = [&](const std::string& first, const std::string& second) {
    return TokenizePrompt(*model, ChatPrompt{.messages = {{"user", first}, {"user", second}}})
        .value();
  };
  const auto plain = [&](const std::string& text) {
    return model->vocabulary().Tokenize(text, /*add_special=*/false, false).value();
  };
  EXPECT_EQ(tokens("ab", "c"),
            *model->vocabulary().Tokenize("ab</s>c</s>", /*add_special=*/true, true));
  std::vector<TokenId> expected = {*model->vocabulary().begin_of_text()};
  for (const std::string text : {"a</s>b<s>", "c"}) {
    for (const TokenId token : plain(text)) expected.push_back(token);
    expected.push_back(2);
  }
  EXPECT_EQ(tokens("a</s>b<s>", "c"), expected);
}

}  // namespace
}  // namespace foretoken
