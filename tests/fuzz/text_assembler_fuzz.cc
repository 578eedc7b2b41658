// Any bytes, any stop strings, any borders between tokens: the same text, valid, without a stop.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text_assembler.h"

namespace {

using foretoken::TextAssembler;
using foretoken::Utf8Decoder;

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

std::string Decode(std::string_view bytes) {
  Utf8Decoder decoder;
  std::string text;
  for (char byte : bytes) decoder.Decode(static_cast<unsigned char>(byte), text);
  decoder.Finish(text);
  return text;
}

// Cuts 1 + (first byte modulo `modulus`) bytes off the front.
std::string TakePiece(std::string_view& input, unsigned modulus) {
  if (input.empty()) return {};
  const size_t size = 1 + static_cast<unsigned char>(input[0]) % modulus;
  const std::string piece(input.substr(1, size));
  input.remove_prefix(std::min(input.size(), 1 + size));
  return piece;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> stops;
  if (!input.empty()) {
    const size_t count = static_cast<unsigned char>(input[0]) % 17;
    input.remove_prefix(1);
    while (stops.size() < count) stops.push_back(TakePiece(input, 8));
  }
  TextAssembler split(stops);
  std::string bytes;
  std::string text;
  while (!input.empty()) {
    const std::string piece = TakePiece(input, 5);
    bytes += piece;
    const std::string released = split.Append(piece).text;
    Require(Decode(released) == released);
    text += released;
  }
  text += split.Flush();

  TextAssembler whole(stops);
  std::string expected = whole.Append(bytes).text;
  expected += whole.Flush();
  Require(text == expected && split.stopped() == whole.stopped());
  Require(split.stopped() || text == Decode(bytes));
  for (const std::string& stop : stops) {
    Require(stop.empty() || text.find(Decode(stop)) == std::string::npos);
  }
  return 0;
}
