#include "base/json_depth.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace foretoken
