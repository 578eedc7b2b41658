#include "model/control_texts.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <vector>

namespace foretoken {
namespace {

// The same by comparing every text at every position.
std::optional<ControlTexts::Match> FindSlowly(const std::vector<std::string>& texts,
                                              const std::string& text, size_t from) {
  for (size_t begin = from; begin < text.size(); ++begin) {
    size_t longest = 0;
    for (const std::string& each : texts) {
      if (each.size() > longest && text.compare(begin, each.size(), each) == 0) {
        longest = each.size();
      }
    }
    if (longest > 0) return ControlTexts::Match{begin, longest};
  }
  return std::nullopt;
}

TEST(ControlTextsTest, FindsTheFirstAndLongest) {
  const ControlTexts texts({"<|end|>", "<|end", "", "[X]"});
  const std::string text = "a<|end|>b[X]<|end";
  const auto first = texts.Find(text, 0);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->begin, 1u);
  EXPECT_EQ(first->length, 7u);
  EXPECT_EQ(texts.Find(text, 2)->begin, 9u);
  EXPECT_EQ(texts.Find(text, 10)->length, 5u);
  EXPECT_FALSE(texts.Find(text, 13));
  EXPECT_FALSE(texts.Find("", 0));
  EXPECT_FALSE(ControlTexts().Find(text, 0));
}

TEST(ControlTextsTest, AgreesWithASearchOfEveryText) {
  std::mt19937 random(1);
  const auto letters = [&random](size_t length) {
    std::string text;
    for (size_t i = 0; i < length; ++i) text += static_cast<char>('a' + random() % 3);
    return text;
  };
  for (int round = 0; round < 500; ++round) {
    std::vector<std::string> texts;
    for (int i = 0; i < 4; ++i) texts.push_back(letters(1 + random() % 5));
    const std::string text = letters(random() % 30);
    const ControlTexts control(texts);
    for (size_t from = 0; from <= text.size(); ++from) {
      const auto expected = FindSlowly(texts, text, from);
      const auto found = control.Find(text, from);
      ASSERT_EQ(found.has_value(), expected.has_value()) << text;
      if (!found) continue;
      EXPECT_EQ(found->begin, expected->begin) << text;
      EXPECT_EQ(found->length, expected->length) << text;
    }
  }
}

}  // namespace
}  // namespace foretoken
