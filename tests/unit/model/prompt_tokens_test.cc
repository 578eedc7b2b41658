#include "model/prompt_tokens.h"

#include <gtest/gtest.h>

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
  EXPECT_EQ(*TokenizePrompt(*model, std::vector<TokenId>{3, 0, 39}),
            (std::vector<TokenId>{3, 0, 39}));
  const std::vector<ChatMessage> messages = {{"user", "hi"}};
  // The fake's 'u' is the token that begins a text: written by the template, it counts once.
  const auto chat = *model->vocabulary().Tokenize("user:hi;", /*add_special=*/true, true);
  ASSERT_EQ(chat[0], chat[1]);
  EXPECT_EQ(*TokenizePrompt(*model, messages), std::vector<TokenId>(chat.begin() + 1, chat.end()));
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
  const std::vector<ChatMessage> messages = {{"user", "hi"}};
  EXPECT_EQ(TokenizePrompt(*model, messages).status().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace foretoken
