#include "model/control_texts.h"

#include <functional>
#include <set>

namespace foretoken {

ControlTexts::ControlTexts(const std::vector<std::string>& texts) {
  std::set<size_t, std::greater<>> lengths;
  for (const std::string& text : texts) {
    if (text.empty()) continue;
    texts_.insert(text);
    lengths.insert(text.size());
    first_bytes_.set(static_cast<unsigned char>(text[0]));
  }
  lengths_.assign(lengths.begin(), lengths.end());
}

std::optional<ControlTexts::Match> ControlTexts::Find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!first_bytes_.test(static_cast<unsigned char>(text[begin]))) continue;
    for (const size_t length : lengths_) {
      if (length > text.size() - begin) continue;
      if (texts_.contains(text.substr(begin, length))) return Match{begin, length};
    }
  }
  return std::nullopt;
}

}  // namespace foretoken
