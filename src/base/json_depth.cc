#include "base/json_depth.h"

#include <algorithm>
#include <cstddef>

namespace foretoken {

bool IsJsonTooDeep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxJsonDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

void NestingBound::AddToString(Quoted& string, char c, int outside_before, int& outside) const {
  const Quoted before = string;
  string.escaped = c == '\\' ? before.inside : -1;
  string.inside = before.escaped;
  if (c == string.quote) {
    string.inside = std::max(string.inside, outside_before);
    outside = std::max(outside, before.inside);
  } else if (c != '\\') {
    string.inside = std::max(string.inside, before.inside);
  }
}

void NestingBound::Add(std::string_view text) {
  for (const char c : text) {
    const int before = outside_;
    const bool opens = c == '{' || c == '[';
    const bool closes = c == '}' || c == ']';
    const bool quotes = c == double_.quote || c == single_.quote;
    // Reading may begin here too, at depth 0.
    outside_ = quotes ? 0 : std::max(0, before + (opens ? 1 : 0) - (closes ? 1 : 0));
    AddToString(double_, c, before, outside_);
    AddToString(single_, c, before, outside_);
    deepest_ = std::max(deepest_, outside_);
  }
}

}  // namespace foretoken
