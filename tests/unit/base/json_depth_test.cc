#include "base/json_depth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace foretoken {
namespace {

std::string Nested(int depth, const std::string& open, const std::string& close) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += open;
  text += "1";
  for (int i = 0; i < depth; ++i) text += close;
  return text;
}

TEST(JsonDepthTest, CountsWhatIsOpenAtOnce) {
  EXPECT_FALSE(IsJsonTooDeep(Nested(kMaxJsonDepth, "[", "]")));
  EXPECT_TRUE(IsJsonTooDeep(Nested(kMaxJsonDepth + 1, "[", "]")));
  EXPECT_FALSE(IsJsonTooDeep(Nested(kMaxJsonDepth, "{\"a\":", "}")));
  EXPECT_TRUE(IsJsonTooDeep(Nested(kMaxJsonDepth + 1, "{\"a\":", "}")));
  std::string wide = "[";
  for (int i = 0; i < 1000; ++i) wide += "[],{},";
  EXPECT_FALSE(IsJsonTooDeep(wide + "1]"));
}

TEST(JsonDepthTest, BracketsInStringsDoNotCount) {
  EXPECT_FALSE(IsJsonTooDeep("\"" + std::string(100, '[') + "\""));
  EXPECT_FALSE(IsJsonTooDeep(R"("\")" + std::string(100, '{') + "\""));
  EXPECT_TRUE(IsJsonTooDeep(R"(["\\", )" + std::string(100, '[')));
}

TEST(JsonDepthTest, TextThatIsNoJsonIsReadToItsEnd) {
  EXPECT_FALSE(IsJsonTooDeep(""));
  EXPECT_FALSE(IsJsonTooDeep("\"\\"));
  EXPECT_FALSE(IsJsonTooDeep("]]]]"));
  EXPECT_TRUE(IsJsonTooDeep(std::string(1 << 20, '[')));
}

// The depth that a reader reaches who begins at the beginning of `text` and goes on to its end.
int DepthFromHere(const std::string& text) {
  int depth = 0;
  int deepest = 0;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == '\\') {
        ++i;
      } else if (c == quote) {
        quote = 0;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

TEST(NestingBoundTest, IsTheDeepestThatBeginsAnywhere) {
  std::mt19937 random(1);
  const std::string letters = "[[{]}\"'\\ab";
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (size_t i = random() % 40; i > 0; --i) text += letters[random() % letters.size()];
    int expected = 0;
    for (size_t begin = 0; begin < text.size(); ++begin) {
      expected = std::max(expected, DepthFromHere(text.substr(begin)));
    }
    NestingBound bound;
    const size_t cut = text.empty() ? 0 : random() % text.size();
    bound.Add(text.substr(0, cut));
    bound.Add(text.substr(cut));
    ASSERT_EQ(bound.deepest(), expected) << text;
  }
}

TEST(NestingBoundTest, BracketsInStringsOfJsonCountLittle) {
  NestingBound bound;
  for (int i = 0; i < 100; ++i) bound.Add(R"({"code": "if (a[0]) { say(\"it's {\"); }"}, )");
  EXPECT_LE(bound.deepest(), 10);
}

}  // namespace
}  // namespace foretoken
