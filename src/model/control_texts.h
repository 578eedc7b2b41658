#ifndef FORETOKEN_MODEL_CONTROL_TEXTS_H_
#define FORETOKEN_MODEL_CONTROL_TEXTS_H_

#include <bitset>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace foretoken {

// The texts that a tokenizer turns into control tokens where it is told to: what text from outside
// must never become. Immutable; any thread may call it.
class ControlTexts {
 public:
  ControlTexts() = default;
  explicit ControlTexts(const std::vector<std::string>& texts);  // empty ones do not count

  struct Match {
    size_t begin;
    size_t length;
  };
  // The first occurrence that begins at `from` or later; of several that begin there, the longest.
  // Time is linear in the text.
  std::optional<Match> Find(std::string_view text, size_t from) const;

 private:
  struct Hash {
    using is_transparent = void;  // NOLINT: the standard's name
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_set<std::string, Hash, std::equal_to<>> texts_;
  std::vector<size_t> lengths_;  // of the texts, each once, longest first
  std::bitset<256> first_bytes_;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_CONTROL_TEXTS_H_
