#include "console.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace foretoken {
namespace {

TEST(ConsoleTest, FindsTheFirstByteThatIsNotUtf8) {
  struct Case {
    std::string text;
    std::optional<size_t> offset;
  };
  const Case cases[] = {
      {"", std::nullopt},
      {"plain", std::nullopt},
      {"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", std::nullopt},
      {"\xF4\x8F\xBF\xBF", std::nullopt},  // U+10FFFF
      {"ab\xFF", 2},                       // never a lead byte
      {"\x80", 0},                         // a continuation alone
      {"a\xC3", 1},                        // cut off
      {"a\xE2\x82", 1},                    // cut off
      {"a\xC3(", 1},                       // no continuation
      {"\xC0\xAF", 0},                     // overlong
      {"\xE0\x80\xAF", 0},                 // overlong
      {"\xF0\x80\x80\xAF", 0},             // overlong
      {"x\xED\xA0\x80", 1},                // a surrogate
      {"\xF4\x90\x80\x80", 0},             // above U+10FFFF
      {"\xF5\x80\x80\x80", 0},
      {"\xF0\x9F\x98\x80\xF0\x9F\x98", 4},
  };
  for (const Case& c : cases) EXPECT_EQ(FindInvalidUtf8(c.text), c.offset) << c.text;
}

TEST(ConsoleTest, ReadsAFileWholeAndNamesOneItCannotRead) {
  const std::string path = testing::TempDir() + "/foretoken_console_test";
  std::string content = "a\0b\n";
  content += std::string(200000, 'x');
  std::ofstream(path, std::ios::binary) << content;
  const auto text = ReadInput(path);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, content);
  std::filesystem::remove(path);

  const auto missing = ReadInput(path);
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find(path), std::string::npos);
  EXPECT_EQ(ReadInput(testing::TempDir()).status().code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace foretoken
