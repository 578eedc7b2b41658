#ifndef FORETOKEN_ENGINE_TEXT_ASSEMBLER_H_
#define FORETOKEN_ENGINE_TEXT_ASSEMBLER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace foretoken {

// Bytes that may end inside a character -> whole UTF-8 characters. A sequence that cannot become
// valid gives one U+FFFD for each maximal subpart, as soon as that is certain (Unicode 15, section
// 3.9; the WHATWG decoder). One thread at a time. A value. Never fails.
class Utf8Decoder {
 public:
  // Appends to `out` the characters that `byte` completes.
  void Decode(unsigned char byte, std::string& out);
  // The end of the input: an incomplete sequence becomes U+FFFD.
  void Finish(std::string& out);

 private:
  std::string pending_;         // the bytes of an incomplete sequence
  int needed_ = 0;              // how many more it needs
  unsigned char lower_ = 0x80;  // allowed range of the next one
  unsigned char upper_ = 0xBF;
};

// The pieces of a generation's tokens -> the text a client sees: whole characters only, and nothing
// of a stop string, which may span tokens. Of several stop strings the one that ends first counts,
// of those that end together the longest; text before it is shown, it and all after it never.
// One thread at a time. A value. Never fails.
class TextAssembler {
 public:
  // Empty stop strings are ignored; invalid UTF-8 in one stands for U+FFFD.
  explicit TextAssembler(const std::vector<std::string>& stop_strings);

  struct Output {
    std::string text;      // valid UTF-8 that became visible; may be empty
    bool stopped = false;  // a stop string was found: the generation is over
  };

  // Takes a token's bytes. Text that might be the start of a stop string is held back until that is
  // decided. After a stop there is never more text. O(bytes) amortised.
  Output Append(std::string_view piece);
  // The end of a generation: releases what is held back; an incomplete character becomes U+FFFD.
  // Empty after a stop. Nothing may be appended afterwards.
  std::string Flush();

  bool stopped() const { return stopped_; }

 private:
  // A state of the Aho-Corasick automaton: a prefix of a stop string.
  struct State {
    char byte = 0;  // the last of the prefix
    int32_t first_child = -1;
    int32_t next_sibling = -1;
    int32_t fallback = 0;  // the longest other state that is a suffix of this one
    size_t length = 0;
    size_t stop_bytes = 0;  // length of the longest stop string that ends here; 0: none
  };

  int32_t Child(int32_t state, char byte) const;
  void AddStopString(const std::string& text);
  void LinkFallbacks();
  void Match();
  std::string Release(size_t end);

  Utf8Decoder decoder_;
  std::vector<State> states_;
  int32_t state_ = 0;    // what the decoded text ends with
  std::string decoded_;  // the end of the decoded text
  size_t visible_ = 0;   // bytes of decoded_ that were released
  size_t matched_ = 0;   // bytes of decoded_ that state_ has seen
  bool stopped_ = false;
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_TEXT_ASSEMBLER_H_
