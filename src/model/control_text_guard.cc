#include "model/control_text_guard.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <random>

#include <fmt/format.h>

namespace foretoken {
namespace {

constexpr size_t kIndexDigits = 6;

// About 126 bits, so that nobody can write it.
std::string RandomDigits() {
  std::random_device device;
  std::string digits;
  for (int i = 0; i < 4; ++i) digits += fmt::format("{:010}", uint32_t{device()});
  return digits;
}

}  // namespace

ControlTextGuard::ControlTextGuard(const ControlTexts& texts)
    : texts_(texts), nonce_(RandomDigits()) {}

std::string ControlTextGuard::Hide(std::string_view text) {
  std::string result;
  size_t begin = 0;
  while (const auto match = texts_.Find(text, begin)) {
    result.append(text, begin, match->begin - begin);
    const std::string_view found = text.substr(match->begin, match->length);
    const auto known = std::find(hidden_.begin(), hidden_.end(), found);
    result += fmt::format("{}{:0{}}", nonce_, known - hidden_.begin(), kIndexDigits);
    if (known == hidden_.end()) hidden_.emplace_back(found);
    begin = match->begin + match->length;
  }
  result.append(text, begin);
  return result;
}

std::vector<GuardedPiece> ControlTextGuard::Reveal(std::string_view rendered) const {
  if (hidden_.empty()) return {{std::string(rendered), /*parse_special=*/true}};
  std::vector<GuardedPiece> pieces;
  const auto add = [&pieces](std::string_view text, bool parse_special) {
    if (text.empty()) return;
    if (pieces.empty() || pieces.back().parse_special != parse_special) {
      pieces.push_back({"", parse_special});
    }
    pieces.back().text += text;
  };
  for (size_t begin = 0; begin < rendered.size();) {
    const std::optional<ControlTexts::Match> match = texts_.Find(rendered, begin);
    const size_t end = match ? match->begin : rendered.size();
    const std::string_view run = rendered.substr(begin, end - begin);
    const std::string revealed = RevealRun(run);
    add(revealed, /*parse_special=*/revealed == run);
    if (match) add(rendered.substr(match->begin, match->length), /*parse_special=*/true);
    begin = match ? match->begin + match->length : end;
  }
  return pieces;
}

std::string ControlTextGuard::RevealRun(std::string_view run) const {
  std::string result;
  size_t begin = 0;
  for (size_t found = run.find(nonce_); found != std::string_view::npos;
       found = run.find(nonce_, begin)) {
    result.append(run, begin, found - begin);
    begin = found + nonce_.size();
    const std::string_view digits = run.substr(begin, kIndexDigits);
    size_t index = hidden_.size();
    std::from_chars(digits.data(), digits.data() + digits.size(), index);
    // A template that cut the number cut the text.
    if (digits.size() == kIndexDigits && index < hidden_.size()) result += hidden_[index];
    begin += digits.size();
  }
  result.append(run, begin);
  return result;
}

}  // namespace foretoken
