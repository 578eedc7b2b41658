#include "engine/text_assembler.h"

#include <utility>

namespace foretoken {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

std::string ToValidUtf8(std::string_view bytes) {
  Utf8Decoder decoder;
  std::string text;
  for (char byte : bytes) decoder.Decode(static_cast<unsigned char>(byte), text);
  decoder.Finish(text);
  return text;
}

}  // namespace

void Utf8Decoder::Decode(unsigned char byte, std::string& out) {
  if (needed_ > 0) {
    if (byte >= lower_ && byte <= upper_) {
      lower_ = 0x80;
      upper_ = 0xBF;
      pending_.push_back(static_cast<char>(byte));
      if (--needed_ > 0) return;
      out += pending_;
      pending_.clear();
      return;
    }
    Finish(out);  // and the byte starts anew
  }
  if (byte < 0x80) {
    out.push_back(static_cast<char>(byte));
    return;
  }
  // Table 3-7 of the Unicode standard: the second byte's range excludes overlong forms, surrogates
  // and what is above U+10FFFF.
  if (byte >= 0xC2 && byte <= 0xDF) {
    needed_ = 1;
  } else if (byte >= 0xE0 && byte <= 0xEF) {
    needed_ = 2;
    if (byte == 0xE0) lower_ = 0xA0;
    if (byte == 0xED) upper_ = 0x9F;
  } else if (byte >= 0xF0 && byte <= 0xF4) {
    needed_ = 3;
    if (byte == 0xF0) lower_ = 0x90;
    if (byte == 0xF4) upper_ = 0x8F;
  } else {
    out += kReplacement;
    return;
  }
  pending_.push_back(static_cast<char>(byte));
}

void Utf8Decoder::Finish(std::string& out) {
  if (needed_ > 0) out += kReplacement;
  pending_.clear();
  needed_ = 0;
  lower_ = 0x80;
  upper_ = 0xBF;
}

TextAssembler::TextAssembler(const std::vector<std::string>& stop_strings) : states_(1) {
  for (const std::string& stop : stop_strings) AddStopString(ToValidUtf8(stop));
  LinkFallbacks();
}

int32_t TextAssembler::Child(int32_t state, char byte) const {
  int32_t child = states_[static_cast<size_t>(state)].first_child;
  while (child >= 0 && states_[static_cast<size_t>(child)].byte != byte) {
    child = states_[static_cast<size_t>(child)].next_sibling;
  }
  return child;
}

void TextAssembler::AddStopString(const std::string& text) {
  int32_t state = 0;
  for (char byte : text) {
    int32_t child = Child(state, byte);
    if (child < 0) {
      child = static_cast<int32_t>(states_.size());
      State& parent = states_[static_cast<size_t>(state)];
      State added;
      added.byte = byte;
      added.next_sibling = std::exchange(parent.first_child, child);
      added.length = parent.length + 1;
      states_.push_back(added);
    }
    state = child;
  }
  states_[static_cast<size_t>(state)].stop_bytes = text.size();
}

void TextAssembler::LinkFallbacks() {
  // Breadth first: a state's fallback is shorter than the state.
  std::vector<int32_t> queue = {0};
  for (size_t i = 0; i < queue.size(); ++i) {
    const int32_t parent = queue[i];
    for (int32_t child = states_[static_cast<size_t>(parent)].first_child; child >= 0;
         child = states_[static_cast<size_t>(child)].next_sibling) {
      State& state = states_[static_cast<size_t>(child)];
      if (parent != 0) {
        int32_t from = states_[static_cast<size_t>(parent)].fallback;
        while (from != 0 && Child(from, state.byte) < 0) {
          from = states_[static_cast<size_t>(from)].fallback;
        }
        const int32_t found = Child(from, state.byte);
        state.fallback = found < 0 ? 0 : found;
      }
      // A state's own stop string is longer than any that ends in its fallback.
      if (state.stop_bytes == 0) {
        state.stop_bytes = states_[static_cast<size_t>(state.fallback)].stop_bytes;
      }
      queue.push_back(child);
    }
  }
}

// Runs the automaton over the decoded bytes it has not seen, up to the first stop.
void TextAssembler::Match() {
  for (; matched_ < decoded_.size() && !stopped_; ++matched_) {
    const char byte = decoded_[matched_];
    int32_t child = Child(state_, byte);
    while (child < 0 && state_ != 0) {
      state_ = states_[static_cast<size_t>(state_)].fallback;
      child = Child(state_, byte);
    }
    state_ = child < 0 ? 0 : child;
    const size_t stop_bytes = states_[static_cast<size_t>(state_)].stop_bytes;
    if (stop_bytes > 0) {
      decoded_.resize(matched_ + 1 - stop_bytes);
      matched_ = decoded_.size();
      stopped_ = true;
      return;
    }
  }
}

// Releases the text up to byte `end` of decoded_.
std::string TextAssembler::Release(size_t end) {
  std::string text = decoded_.substr(visible_, end - visible_);
  visible_ = end;
  // Moving what is left only when it is the smaller part costs O(1) a byte, however long it is.
  if (visible_ >= decoded_.size() - visible_) {
    decoded_.erase(0, visible_);
    matched_ -= visible_;
    visible_ = 0;
  }
  return text;
}

TextAssembler::Output TextAssembler::Append(std::string_view piece) {
  if (stopped_) return {"", true};
  for (char byte : piece) decoder_.Decode(static_cast<unsigned char>(byte), decoded_);
  Match();
  const size_t undecided = stopped_ ? 0 : states_[static_cast<size_t>(state_)].length;
  return {Release(decoded_.size() - undecided), stopped_};
}

std::string TextAssembler::Flush() {
  if (!stopped_) {
    decoder_.Finish(decoded_);
    Match();
  }
  return Release(decoded_.size());
}

}  // namespace foretoken
