#include "server/wire_text.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace foretoken {
namespace {

std::string Escaped(std::string_view text) {
  std::string out;
  AppendJsonString(out, text);
  return out;
}

std::string Expected(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void AppendUtf8(std::string& out, uint32_t value) {
  const auto add = [&out](uint32_t byte) { out += static_cast<char>(byte); };
  if (value < 0x80) {
    add(value);
  } else if (value < 0x800) {
    add(0xC0 | value >> 6);
    add(0x80 | (value & 0x3F));
  } else if (value < 0x10000) {
    add(0xE0 | value >> 12);
    add(0x80 | (value >> 6 & 0x3F));
    add(0x80 | (value & 0x3F));
  } else {
    add(0xF0 | value >> 18);
    add(0x80 | (value >> 12 & 0x3F));
    add(0x80 | (value >> 6 & 0x3F));
    add(0x80 | (value & 0x3F));
  }
}

TEST(WireTextTest, EveryCharacterIsEscapedAsNlohmannDoes) {
  // Surrogates included: they are invalid, and past the end too.
  for (uint32_t block = 0; block < 0x110100; block += 0x100) {
    std::string text;
    for (uint32_t value = block; value < block + 0x100; ++value) AppendUtf8(text, value);
    ASSERT_EQ(Escaped(text), Expected(text)) << block;
  }
}

TEST(WireTextTest, EveryPairOfBytesAndRandomOnesAreEscapedAsNlohmannDoes) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string pair = {static_cast<char>(first), static_cast<char>(second)};
      ASSERT_EQ(Escaped(pair), Expected(pair)) << first << " " << second;
      ASSERT_EQ(Escaped(pair + "a"), Expected(pair + "a")) << first << " " << second;
    }
  }
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    // Mostly lead and continuation bytes.
    for (size_t i = random() % 12; i > 0; --i) {
      text += static_cast<char>(random() % 3 == 0 ? random() : 0x80 + random() % 0x80);
    }
    ASSERT_EQ(Escaped(text), Expected(text));
  }
}

TEST(WireTextTest, NumbersReadBackAsTheyWere) {
  for (const float value : {0.0f, -1.5f, 1e-30f, 3.4e38f, -0.33333334f, 12345678.0f}) {
    std::string out;
    AppendJsonNumber(out, value);
    EXPECT_EQ(nlohmann::json::parse(out).get<float>(), value) << out;
  }
  std::string out;
  AppendJsonNumber(out, 0.1);
  out += ' ';
  AppendJsonNumber(out, -std::numeric_limits<float>::infinity());
  out += ' ';
  AppendJsonNumber(out, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(out, "0.1 -9999.0 -9223372036854775808");
}

TEST(WireTextTest, Words) {
  EXPECT_EQ(JoinWithCommas(std::vector<std::string>()), "");
  EXPECT_EQ(JoinWithCommas(std::vector<std::string>{"a"}), "a");
  EXPECT_EQ(JoinWithCommas(std::vector<std::string>{"a", "b", "c"}), "a, b, c");
}

TEST(WireTextTest, InvalidBytesAreReplacedAndTheRestIsKept) {
  EXPECT_EQ(ReplaceInvalidUtf8("a\xC3\xA9\xF0\x9F\x98z\xFF\"\n"),
            "a\xC3\xA9\xEF\xBF\xBDz\xEF\xBF\xBD\"\n");
  EXPECT_EQ(ReplaceInvalidUtf8(""), "");
}

// RFC 4648, section 10.
TEST(WireTextTest, Base64) {
  const char* const kCases[][2] = {{"", ""},
                                   {"f", "Zg=="},
                                   {"fo", "Zm8="},
                                   {"foo", "Zm9v"},
                                   {"foob", "Zm9vYg=="},
                                   {"fooba", "Zm9vYmE="},
                                   {"foobar", "Zm9vYmFy"},
                                   {"\xFB\xFF", "+/8="}};
  for (const auto& [bytes, expected] : kCases) EXPECT_EQ(EncodeBase64(bytes), expected);
}

}  // namespace
}  // namespace foretoken
