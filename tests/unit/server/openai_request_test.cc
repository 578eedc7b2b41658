#include "server/openai_request.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "unit/server/openai_fixture.h"

namespace foretoken {
namespace {

ChatCompletionRequest Chat(const std::string& fields) {
  return ExpectRight(ParseChatCompletionRequest(ChatBody(fields)));
}

CompletionRequest Completion(const std::string& fields) {
  return ExpectRight(ParseCompletionRequest(R"({"model": "m", "prompt": "p", )" + fields + "}"));
}

TEST(OpenAiRequestTest, ChatLengthsAndLogprobs) {
  EXPECT_EQ(Chat(R"("max_tokens": 5)").common.max_tokens, 5);
  EXPECT_EQ(Chat(R"("max_completion_tokens": 6)").common.max_tokens, 6);
  EXPECT_EQ(Chat(R"("max_completion_tokens": 6, "max_tokens": 6)").common.max_tokens, 6);
  EXPECT_EQ(Chat(R"("logprobs": false)").common.options.logprobs, std::nullopt);
  EXPECT_EQ(Chat(R"("logprobs": true)").common.options.logprobs, 0);
  EXPECT_EQ(Chat(R"("logprobs": true, "top_logprobs": 20)").common.options.logprobs, 20);
}

TEST(OpenAiRequestTest, Predictions) {
  EXPECT_EQ(Chat(R"("prediction": {"type": "content", "content": "ab"})").common.options.prediction,
            "ab");
  EXPECT_EQ(Chat(R"("prediction": {"type": "content", "content": [
                     {"type": "text", "text": "a\n"}, {"type": "text", "text": "b"}]})")
                .common.options.prediction,
            "a\nb");
}

TEST(OpenAiRequestTest, WrongChatRequests) {
  const WrongRequest kCases[] = {
      {R"("max_tokens": 0)", "max_tokens", "invalid_value",
       "max_tokens is 0; it must be between 1 and 2147483647"},
      {R"("max_tokens": 1, "max_completion_tokens": 2)", "max_tokens", "invalid_value",
       "max_tokens and max_completion_tokens differ; send the latter only"},
      {R"("logprobs": 3)", "logprobs", "invalid_type",
       "logprobs is a number; it must be true or false"},
      {R"("top_logprobs": 3)", "top_logprobs", "invalid_value",
       "top_logprobs needs logprobs to be true"},
      {R"("logprobs": true, "top_logprobs": 21)", "top_logprobs", "invalid_value",
       "top_logprobs is 21; it must be between 0 and 20"},
      {R"("prediction": {"type": "content"})", "prediction.content", "missing_required_parameter",
       "prediction.content is missing; it must be a string or an array of text parts"},
      {R"("prediction": {"type": "diff", "content": "x"})", "prediction.type", "invalid_value",
       "prediction.type is \"diff\"; it must be content"},
      {R"("functions": [])", "functions", "unsupported_value",
       "functions is not supported; use tools"},
      {R"("function_call": "auto")", "function_call", "unsupported_value",
       "function_call is not supported; use tools"},
      {R"("audio": {"voice": "a"})", "audio", "unsupported_value",
       "audio is not supported; answers are text"},
      {R"("modalities": ["text", "audio"])", "modalities", "unsupported_value",
       "modalities must be [\"text\"]"},
  };
  for (WrongRequest wrong : kCases) {
    wrong.body = ChatBody(wrong.body);
    ExpectWrong(ParseChatCompletionRequest(wrong.body), wrong);
  }
  EXPECT_TRUE(Chat(R"("modalities": ["text"])").common.ignored_fields.empty());
  ExpectWrong(ParseChatCompletionRequest("{"),
              {"{", "", "invalid_json", "the body is not JSON: it goes wrong at byte 2"});
}

TEST(OpenAiRequestTest, Completions) {
  CompletionRequest request = Completion(R"("n": 2)");
  EXPECT_EQ(request.common.max_tokens, 16);
  EXPECT_EQ(request.common.n, 2);
  EXPECT_EQ(std::get<std::string>(request.prompts.at(0)), "p");
  EXPECT_EQ(request.common.options.logprobs, std::nullopt);
  request =
      Completion(R"("max_tokens": 7, "logprobs": 5, "echo": false, "suffix": "", "best_of": 1)");
  EXPECT_EQ(request.common.max_tokens, 7);
  EXPECT_EQ(request.common.options.logprobs, 5);
  EXPECT_TRUE(request.common.ignored_fields.empty());
}

TEST(OpenAiRequestTest, WrongCompletions) {
  const WrongRequest kCases[] = {
      {R"("logprobs": true)", "logprobs", "invalid_type",
       "logprobs is a boolean; it must be an integer between 0 and 20"},
      {R"("echo": true)", "echo", "unsupported_value",
       "echo is not supported; the prompt is not sent back"},
      {R"("suffix": "x")", "suffix", "unsupported_value",
       "suffix is not supported; the answer follows the prompt"},
      {R"("best_of": 3, "n": 2)", "best_of", "unsupported_value",
       "best_of is not supported; leave it out or set it to n"},
  };
  for (WrongRequest wrong : kCases) {
    wrong.body = R"({"model": "m", "prompt": "p", )" + wrong.body + "}";
    ExpectWrong(ParseCompletionRequest(wrong.body), wrong);
  }
  std::string many = R"({"model": "m", "n": 16, "prompt": ["a")";
  for (int i = 0; i < 8; ++i) many += ",\"a\"";
  ExpectWrong(ParseCompletionRequest(many + "]}"),
              {"", "n", "invalid_value", "9 prompts times n = 16 are more than 128 choices"});
  ExpectWrong(ParseCompletionRequest(R"({"model": "m"})"),
              {"", "prompt", "missing_required_parameter",
               "prompt is missing; it must be a string, an array of strings, an array of token "
               "ids, or an array of such arrays, none of them empty"});
}

TEST(OpenAiRequestTest, Embeddings) {
  const auto request = ExpectRight(ParseEmbeddingsRequest(
      R"({"model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 64,
          "user": "u", "colour": 1})"));
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.inputs.size(), 2u);
  EXPECT_TRUE(request.base64);
  EXPECT_EQ(request.dimensions, 64);
  EXPECT_EQ(request.user, "u");
  EXPECT_EQ(request.ignored_fields, std::vector<std::string>{"colour"});
  EXPECT_FALSE(ExpectRight(ParseEmbeddingsRequest(R"({"model": "m", "input": [1]})")).base64);
  ExpectWrong(ParseEmbeddingsRequest(R"({"model": "m", "input": "a", "encoding_format": "int8"})"),
              {"", "encoding_format", "invalid_value",
               "encoding_format is \"int8\"; it must be one of float, base64"});
}

TEST(OpenAiRequestTest, TokenizeTakesTextOrMessages) {
  auto request = ExpectRight(ParseTokenizeRequest(R"({"model": "m", "prompt": ""})"));
  EXPECT_EQ(std::get<std::string>(request.prompt), "");
  EXPECT_TRUE(request.add_special);
  EXPECT_FALSE(request.with_pieces);
  request = ExpectRight(ParseTokenizeRequest(
      R"({"model": "m", "prompt": "x", "add_special_tokens": false, "return_token_strs": true})"));
  EXPECT_FALSE(request.add_special);
  EXPECT_TRUE(request.with_pieces);
  request = ExpectRight(ParseTokenizeRequest(
      ChatBody(R"("tools": [{"type": "function", "function": {"name": "f"}}])")));
  const auto& chat = std::get<ChatPrompt>(request.prompt);
  EXPECT_EQ(chat.messages.at(0).content, "hi");
  EXPECT_EQ(chat.tools.at(0).name, "f");
  ExpectWrong(ParseTokenizeRequest(ChatBody(R"("prompt": "x")")),
              {"", "prompt", "invalid_value", "prompt and messages exclude each other"});
  ExpectWrong(
      ParseTokenizeRequest(R"({"model": "m"})"),
      {"", "prompt", "missing_required_parameter", "prompt is missing; it must be a string"});
}

TEST(OpenAiRequestTest, WhatNeedsAGrammarIsRefusedWithoutOne) {
  const auto refuse = [](ToolChoice choice, ResponseFormatKind kind) {
    return RefuseWithoutGrammar({.choice = choice}, {.kind = kind}, "text.format");
  };
  EXPECT_FALSE(refuse(ToolChoice::kAuto, ResponseFormatKind::kText));
  EXPECT_FALSE(refuse(ToolChoice::kNone, ResponseFormatKind::kText));
  for (const ToolChoice choice : {ToolChoice::kRequired, ToolChoice::kNamed}) {
    EXPECT_EQ(refuse(choice, ResponseFormatKind::kText),
              (WireError{400, "invalid_request_error", "tool_choice", "unsupported_value",
                         "tool_choice can be \"auto\" or \"none\" only: a call cannot be enforced "
                         "yet"}));
  }
  for (const auto kind : {ResponseFormatKind::kJsonObject, ResponseFormatKind::kJsonSchema}) {
    EXPECT_EQ(refuse(ToolChoice::kAuto, kind),
              (WireError{400, "invalid_request_error", "text.format.type", "unsupported_value",
                         "text.format.type can be \"text\" only: a form of the answer cannot be "
                         "enforced yet"}));
  }
}

TEST(OpenAiRequestTest, TheHeaderOfIgnoredFields) {
  EXPECT_EQ(IgnoredFieldsHeader({}), "");
  EXPECT_EQ(IgnoredFieldsHeader({"a", "b[0].c"}), "a, b[0].c");
}

}  // namespace
}  // namespace foretoken
