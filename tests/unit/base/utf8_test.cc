#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace foretoken {
namespace {

TEST(Utf8Test, AcceptsEveryLengthAndTheBorders) {
  for (const char* text :
       {"", "plain", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
        "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(IsValidUtf8(text)) << text;
  }
  EXPECT_TRUE(IsValidUtf8(std::string(1, '\0')));
}

TEST(Utf8Test, RefusesWhatRfc3629Forbids) {
  for (const char* text :
       {"\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80", "\xFF", "\xC2", "\xE2\x82",
        "\xF0\x9F\x98", "\xC2 ", "a\xE2\x28\xA1"}) {
    EXPECT_FALSE(IsValidUtf8(text)) << text;
  }
}

}  // namespace
}  // namespace foretoken
