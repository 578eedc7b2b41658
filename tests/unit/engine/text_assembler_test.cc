#include "engine/text_assembler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace foretoken {
namespace {

const std::string kReplacement = "\xEF\xBF\xBD";

// Whether some well-formed sequence starts with `bytes`, by the code points it could still be.
bool IsStartOfCharacter(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  size_t length = 0;
  uint32_t low = 0;
  uint32_t smallest = 0;
  if (byte(0) < 0x80) {
    length = 1, low = byte(0);
  } else if ((byte(0) & 0xE0) == 0xC0) {
    length = 2, low = byte(0) & 0x1F, smallest = 0x80;
  } else if ((byte(0) & 0xF0) == 0xE0) {
    length = 3, low = byte(0) & 0x0F, smallest = 0x800;
  } else if ((byte(0) & 0xF8) == 0xF0) {
    length = 4, low = byte(0) & 0x07, smallest = 0x10000;
  } else {
    return false;
  }
  if (bytes.size() > length) return false;
  uint32_t high = low;
  for (size_t i = 1; i < length; ++i) {
    if (i < bytes.size() && (byte(i) & 0xC0) != 0x80) return false;
    low = low << 6 | (i < bytes.size() ? byte(i) & 0x3F : 0);
    high = high << 6 | (i < bytes.size() ? byte(i) & 0x3F : 0x3F);
  }
  low = std::max(low, smallest);
  high = std::min(high, uint32_t{0x10FFFF});
  return low <= high && !(low >= 0xD800 && high <= 0xDFFF);
}

bool IsCharacter(std::string_view bytes) {
  return IsStartOfCharacter(bytes) && !IsStartOfCharacter(std::string(bytes) + "\x80") &&
         !IsStartOfCharacter(std::string(bytes) + "\xBF");
}

// The oracle for decoding. An incomplete end becomes U+FFFD only if the text is `complete`.
std::string Decode(std::string_view bytes, bool complete) {
  std::string text;
  for (size_t i = 0; i < bytes.size();) {
    size_t size = 1;
    while (i + size < bytes.size() && IsStartOfCharacter(bytes.substr(i, size + 1))) ++size;
    const std::string_view part = bytes.substr(i, size);
    i += size;
    if (IsCharacter(part)) {
      text += part;
    } else if (complete || i < bytes.size() || !IsStartOfCharacter(part)) {
      text += kReplacement;
    }
  }
  return text;
}

struct Expected {
  std::string text;
  bool stopped = false;
};

// The oracle for stop strings: what may be visible of a whole decoded text.
Expected CutAtStop(const std::string& text, const std::vector<std::string>& stops, bool complete) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) return {text.substr(0, end - longest), true};
  }
  size_t held = 0;
  for (const std::string& stop : stops) {
    for (size_t n = 1; n < stop.size() && n <= text.size() && !complete; ++n) {
      if (text.compare(text.size() - n, n, stop, 0, n) == 0) held = std::max(held, n);
    }
  }
  return {text.substr(0, text.size() - held), false};
}

std::vector<std::string> Split(const std::string& bytes, std::mt19937& random, int mean_bytes) {
  std::vector<std::string> pieces(1);
  for (char byte : bytes) {
    while (random() % static_cast<unsigned>(mean_bytes + 1) == 0) pieces.emplace_back();
    pieces.back().push_back(byte);
  }
  return pieces;
}

Expected Assemble(const std::vector<std::string>& pieces, const std::vector<std::string>& stops) {
  TextAssembler assembler(stops);
  Expected result;
  for (const std::string& piece : pieces) {
    TextAssembler::Output output = assembler.Append(piece);
    result.text += output.text;
    result.stopped = output.stopped;
  }
  result.text += assembler.Flush();
  return result;
}

TEST(TextAssemblerTest, HoldsBackACharacterUntilItIsWhole) {
  TextAssembler assembler({});
  EXPECT_EQ(assembler.Append("a\xF0\x9F").text, "a");
  EXPECT_EQ(assembler.Append("\x98").text, "");
  EXPECT_EQ(assembler.Append("\x80z").text, "\xF0\x9F\x98\x80z");
  EXPECT_EQ(assembler.Append("").text, "");
  EXPECT_EQ(assembler.Append("\xE2\x82").text, "");
  EXPECT_EQ(assembler.Flush(), kReplacement);
}

TEST(TextAssemblerTest, AnInvalidByteIsReplacedAsSoonAsItIsCertain) {
  // Unicode 15, table 3-8 and its neighbours: one U+FFFD for each maximal subpart.
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"\x80", kReplacement},
      {"\xFF", kReplacement},
      {"\xC0\xAF", kReplacement + kReplacement},
      {"\xE0\x80", kReplacement + kReplacement},
      {"\xED\xA0\x80", kReplacement + kReplacement + kReplacement},  // a surrogate
      {"\xF4\x90", kReplacement + kReplacement},
      {"\xF5", kReplacement},
      {"\xF0\x9F\x98x", kReplacement + "x"},
      {"\xE2\x82\xE2\x82\xAC", kReplacement + "\xE2\x82\xAC"},
      {"\xC3\xC3\xA9", kReplacement + "\xC3\xA9"},
      {std::string("\0", 1), std::string("\0", 1)},
  };
  for (const auto& [bytes, text] : cases) {
    TextAssembler assembler({});
    std::string visible;
    for (char byte : bytes) visible += assembler.Append({&byte, 1}).text;
    EXPECT_EQ(visible, text) << testing::PrintToString(bytes);
    EXPECT_EQ(assembler.Flush(), "");
  }
}

TEST(TextAssemblerTest, AnySplitOfValidTextGivesTheText) {
  std::mt19937 random(1);
  const std::vector<std::string> characters = {"a",
                                               "\n",
                                               "é",
                                               "ß",
                                               "€",
                                               "한",
                                               "語",
                                               "😀",
                                               "👩‍💻",
                                               "\xF4\x8F\xBF\xBF",
                                               "\xED\x9F\xBF",
                                               "\xEE\x80\x80"};
  for (int trial = 0; trial < 500; ++trial) {
    std::string text;
    for (int i = 0; i < 40; ++i) text += characters[random() % characters.size()];
    EXPECT_EQ(Assemble(Split(text, random, 1 + trial % 5), {}).text, text);
  }
}

TEST(TextAssemblerTest, FindsAStopAcrossTokens) {
  TextAssembler assembler({"STOP"});
  EXPECT_EQ(assembler.Append("go S").text, "go ");
  EXPECT_EQ(assembler.Append("TO").text, "");
  EXPECT_FALSE(assembler.stopped());
  const TextAssembler::Output output = assembler.Append("P never");
  EXPECT_EQ(output.text, "");
  EXPECT_TRUE(output.stopped);
  EXPECT_TRUE(assembler.stopped());
  EXPECT_EQ(assembler.Append("more").text, "");
  EXPECT_TRUE(assembler.Append("more").stopped);
  EXPECT_EQ(assembler.Flush(), "");
}

TEST(TextAssemblerTest, ReleasesAnAlmostStop) {
  TextAssembler assembler({"aab"});
  EXPECT_EQ(assembler.Append("aa").text, "");
  EXPECT_EQ(assembler.Append("a").text, "a");
  EXPECT_EQ(assembler.Append("c").text, "aac");
  EXPECT_EQ(assembler.Append("xa").text, "x");
  EXPECT_EQ(assembler.Flush(), "a");
}

TEST(TextAssemblerTest, AStopInsideATokenHidesTheRest) {
  TextAssembler assembler({"\n\n"});
  const TextAssembler::Output output = assembler.Append("one\n\ntwo\n\nthree");
  EXPECT_EQ(output.text, "one");
  EXPECT_TRUE(output.stopped);
}

TEST(TextAssemblerTest, TheFirstEndCountsThenTheLongest) {
  EXPECT_EQ(Assemble({"xabcd"}, {"abcd", "bc"}).text, "xa");
  EXPECT_EQ(Assemble({"xabc"}, {"bc", "abc", "c"}).text, "x");
  EXPECT_EQ(Assemble({"xabc"}, {"abc", "ab"}).text, "x");
  EXPECT_EQ(Assemble({"xabd"}, {"abc", "bd"}).text, "xa");
  EXPECT_EQ(Assemble({"aé"}, {"é", "é", "aé"}).text, "");
}

TEST(TextAssemblerTest, StopStringsAreMatchedOnTheDecodedText) {
  // A replaced byte is text like any other; an invalid stop string stands for what it decodes to.
  EXPECT_TRUE(Assemble({"a\xFF", "b"}, {kReplacement + "b"}).stopped);
  EXPECT_TRUE(Assemble({"a\xFF", "b"}, {"\xFE"
                                        "b"})
                  .stopped);
  // The bytes of "é" end like this stop string, but no character does.
  EXPECT_FALSE(Assemble({"é"}, {"\xA9"}).stopped);
  EXPECT_FALSE(Assemble({"abc"}, {""}).stopped);
}

TEST(TextAssemblerTest, AStopCompletedByTheEndIsHidden) {
  TextAssembler assembler({kReplacement});
  EXPECT_EQ(assembler.Append("a\xE2\x82").text, "a");
  EXPECT_EQ(assembler.Flush(), "");
  EXPECT_TRUE(assembler.stopped());
}

TEST(TextAssemblerTest, EqualsTheOracleAfterEveryPiece) {
  std::mt19937 random(2);
  const std::vector<std::string> alphabet = {"a", "a", "b",    "b",    "é",        "😀",
                                             "é", "b", "\xF0", "\xC3", "\xF0\x9F", "\xE0\xA0"};
  const auto text_of = [&](size_t size, size_t letters) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text += alphabet[random() % letters];
    return text;
  };
  int stopped_trials = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    const size_t letters = 2 + random() % (alphabet.size() - 1);
    std::vector<std::string> stops(random() % 5);
    for (std::string& stop : stops) stop = text_of(1 + random() % 6, std::min<size_t>(letters, 8));
    const std::string bytes = text_of(random() % 24, letters);
    TextAssembler assembler(stops);
    std::string seen;
    std::string visible;
    for (const std::string& piece : Split(bytes, random, 1 + trial % 4)) {
      seen += piece;
      const TextAssembler::Output output = assembler.Append(piece);
      visible += output.text;
      const Expected expected = CutAtStop(Decode(seen, false), stops, false);
      ASSERT_EQ(visible, expected.text) << testing::PrintToString(seen);
      ASSERT_EQ(output.stopped, expected.stopped) << testing::PrintToString(seen);
    }
    visible += assembler.Flush();
    const Expected expected = CutAtStop(Decode(bytes, true), stops, true);
    ASSERT_EQ(visible, expected.text) << testing::PrintToString(bytes);
    stopped_trials += expected.stopped ? 1 : 0;
  }
  EXPECT_GT(stopped_trials, 2000);
  EXPECT_LT(stopped_trials, 18000);
}

TEST(TextAssemblerTest, ManyPiecesAgainstALongStopStringAreLinear) {
  // Quadratic work here would be 10^11 steps.
  const std::string stop(300000, 'a');
  TextAssembler assembler({stop + "b"});
  size_t visible = 0;
  for (int i = 0; i < 900000; ++i) visible += assembler.Append("a").text.size();
  EXPECT_EQ(visible, 600000u);
  EXPECT_EQ(assembler.Append("b").stopped, true);
}

}  // namespace
}  // namespace foretoken
