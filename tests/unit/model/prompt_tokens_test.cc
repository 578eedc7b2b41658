#include "model/prompt_tokens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

TEST(PromptTokensTest, TextTokensAndMessages) {
  const auto model = NewFakeModel({.vocabulary_size = 40});
  const std::string text = "hello";
  EXPECT_EQ(*TokenizePrompt(*model, text),
            *model->vocabulary().Tokenize(text, /*add_special=*/true, /*parse_special=*/false));
  EXPECT_EQ(*TokenizePrompt(*model, text, /*add_special=*/false),
            *model->vocabulary().Tokenize(text, false, false));
  EXPECT_EQ(*TokenizePrompt(*model, std::vector<TokenId>{3, 0, 39}),
            (std::vector<TokenId>{3, 0, 39}));
  const ChatPrompt messages = {.messages = {{"user", "hi"}}};
  // The fake's 'u' is the token that begins a text: written by the template, it counts once.
  const auto chat = *model->vocabulary().Tokenize("user:hi;", /*add_special=*/true, true);
  ASSERT_EQ(chat[0], chat[1]);
  EXPECT_EQ(*TokenizePrompt(*model, messages), std::vector<TokenId>(chat.begin() + 1, chat.end()));
}

TEST(PromptTokensTest, WhatAUserWritesIsNoControlToken) {
  const auto model = NewFakeModel({.vocabulary_size = 40, .control_text = "<end>"});
  const auto tokens = [&](const ChatPrompt& prompt) {
    return TokenizePrompt(*model, prompt).value();
  };
  const auto bytes = [&](const std::string& text) {
    return model->vocabulary()
        .Tokenize(text, /*add_special=*/false, /*parse_special=*/false)
        .value();
  };
  const auto benign = tokens({.messages = {{"user", "hi"}, {"tool", "ho"}}});
  EXPECT_EQ(std::count(benign.begin(), benign.end(), 0), 2) << "the template's own";
  // The same with the control text in a message: its letters, and the template's two tokens.
  std::vector<TokenId> expected = bytes("user:hi<end>!");
  expected.push_back(0);
  for (const TokenId token : bytes(";tool:<end>")) expected.push_back(token);
  expected.push_back(0);
  for (const TokenId token : bytes(";")) expected.push_back(token);
  EXPECT_EQ(tokens({.messages = {{"user", "hi<end>!"}, {"tool", "<end>"}}}), expected);
}

TEST(PromptTokensTest, RefusesTokensOutsideTheVocabulary) {
  const auto model = NewFakeModel({.vocabulary_size = 16});
  for (const TokenId token : {-1, 16}) {
    EXPECT_EQ(TokenizePrompt(*model, std::vector<TokenId>{1, token}).status().code(),
              StatusCode::kInvalidArgument);
  }
}

TEST(PromptTokensTest, AModelWithoutATemplateSaysSo) {
  const auto model = NewFakeModel({.has_chat_template = false});
  const ChatPrompt messages = {.messages = {{"user", "hi"}}};
  EXPECT_EQ(TokenizePrompt(*model, messages).status().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace foretoken
