#include "server/wire_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>

namespace foretoken {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// The bounds of a sequence's second byte depend on its first: they exclude overlong forms,
// surrogates and values past U+10FFFF (Unicode, table 3-7).
struct Sequence {
  size_t length;
  unsigned char second_low;
  unsigned char second_high;
};

Sequence SequenceOf(unsigned char lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

struct Character {
  size_t bytes;
  bool valid;
};

// The character that begins `text` (not empty), or the bytes that one U+FFFD stands for.
Character FirstCharacter(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return {1, true};
  const Sequence sequence = SequenceOf(byte(0));
  if (sequence.length == 0) return {1, false};
  for (size_t i = 1; i < sequence.length; ++i) {
    const unsigned char low = i == 1 ? sequence.second_low : 0x80;
    const unsigned char high = i == 1 ? sequence.second_high : 0xBF;
    if (i == text.size() || byte(i) < low || byte(i) > high) return {i, false};
  }
  return {sequence.length, true};
}

void AppendControlCharacter(std::string& out, char c) {
  switch (c) {
    case '\b':
      out += "\\b";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\r':
      out += "\\r";
      return;
    default:
      break;
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += "\\u00";
  out += kDigits[static_cast<unsigned char>(c) >> 4];
  out += kDigits[static_cast<unsigned char>(c) & 15];
}

bool IsPlain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

// Calls `other(text, i)` at each byte that is not `plain`; it returns how many bytes it took.
template <typename Plain, typename Other>
void AppendRuns(std::string& out, std::string_view text, Plain plain, Other other) {
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    if (plain(text[i])) {
      ++i;
      continue;
    }
    out.append(text, begin, i - begin);
    i += other(text.substr(i));
    begin = i;
  }
  out.append(text, begin);
}

size_t AppendCharacter(std::string& out, std::string_view text) {
  const Character character = FirstCharacter(text);
  out += character.valid ? text.substr(0, character.bytes) : kReplacement;
  return character.bytes;
}

template <typename T>
void AppendDigits(std::string& out, T value) {
  std::array<char, 64> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

template <typename T>
void AppendFloating(std::string& out, T value) {
  if (std::isfinite(value)) {
    AppendDigits(out, value);
  } else {
    out += "-9999.0";
  }
}

}  // namespace

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  AppendRuns(out, text, IsPlain, [&out](std::string_view rest) -> size_t {
    const char c = rest[0];
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      AppendControlCharacter(out, c);
    } else {
      return AppendCharacter(out, rest);
    }
    return 1;
  });
  out += '"';
}

void AppendJsonNumber(std::string& out, float value) {
  AppendFloating(out, value);
}

void AppendJsonNumber(std::string& out, double value) {
  AppendFloating(out, value);
}

void AppendJsonNumber(std::string& out, int64_t value) {
  AppendDigits(out, value);
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string out;
  AppendRuns(
      out, text, [](char c) { return static_cast<unsigned char>(c) < 0x80; },
      [&out](std::string_view rest) { return AppendCharacter(out, rest); });
  return out;
}

std::string EncodeBase64(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      const unsigned char byte =
          i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0;
      group = group << 8 | byte;
    }
    const size_t digits = std::min<size_t>(bytes.size() - i, 3) + 1;
    for (size_t j = 0; j < 4; ++j) {
      out += j < digits ? kAlphabet[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return out;
}

}  // namespace foretoken
