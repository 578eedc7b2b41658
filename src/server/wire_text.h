#ifndef FORETOKEN_SERVER_WIRE_TEXT_H_
#define FORETOKEN_SERVER_WIRE_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace foretoken {

// Appends `text` as a JSON string, quotes included. Bytes that are no UTF-8 become U+FFFD, one for
// each maximal part of a sequence (as Unicode recommends). What nlohmann-json's dump() writes, at
// several times its speed: a stream writes one for every token.
void AppendJsonString(std::string& out, std::string_view text);

// Appends the shortest decimal that reads back as `value`; a number that JSON has no form for, such
// as -infinity, as -9999.0, which is how OpenAI's API writes it.
void AppendJsonNumber(std::string& out, float value);
void AppendJsonNumber(std::string& out, double value);
void AppendJsonNumber(std::string& out, int64_t value);

// "a, b, c".
template <typename Words>
std::string JoinWithCommas(const Words& words) {
  std::string out;
  for (const std::string_view word : words) {
    if (!out.empty()) out += ", ";
    out += word;
  }
  return out;
}

// `text` with bytes that are no UTF-8 as U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

// The bytes of `text` in base 64, padded (RFC 4648, section 4).
std::string EncodeBase64(std::string_view bytes);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WIRE_TEXT_H_
