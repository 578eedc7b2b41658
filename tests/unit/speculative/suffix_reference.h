#ifndef FORETOKEN_TESTS_UNIT_SPECULATIVE_SUFFIX_REFERENCE_H_
#define FORETOKEN_TESTS_UNIT_SPECULATIVE_SUFFIX_REFERENCE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "speculative/suffix_index.h"

namespace foretoken {

using Tokens = std::vector<TokenId>;

// What SuffixTrie::Advance promises, by searching the whole text for the context each time.
class ReferenceWalk {
 public:
  ReferenceWalk(const Tokens& text, int32_t max_depth, int32_t match_tokens)
      : text_(text),
        max_depth_(static_cast<size_t>(max_depth)),
        context_(text.end() - match_tokens, text.end()) {}

  // Positions after each occurrence of the context.
  std::vector<size_t> Ends() const {
    std::vector<size_t> ends;
    for (auto at = text_.begin();; ++at) {
      at = std::search(at, text_.end(), context_.begin(), context_.end());
      if (at == text_.end()) return ends;
      ends.push_back(static_cast<size_t>(at - text_.begin()) + context_.size());
    }
  }

  std::optional<SuffixTrie::Step> Advance() {
    std::vector<size_t> ends = Ends();
    if (ends.size() > 1 && context_.size() == max_depth_) {
      context_.erase(context_.begin());
      ends = Ends();
    }
    std::map<TokenId, int> counts;
    std::map<TokenId, size_t> latest;
    for (size_t end : ends) {
      if (end == text_.size()) continue;
      ++counts[text_[end]];
      latest[text_[end]] = end;
    }
    if (counts.empty()) return std::nullopt;
    TokenId best = counts.begin()->first;
    for (const auto& [token, count] : counts) {
      if (count > counts[best] || (count == counts[best] && latest[token] > latest[best])) {
        best = token;
      }
    }
    context_.push_back(best);
    return SuffixTrie::Step{best,
                            static_cast<double>(counts[best]) / static_cast<double>(ends.size())};
  }

 private:
  const Tokens& text_;
  size_t max_depth_;
  Tokens context_;
};

// Text that repeats itself: random tokens, copies of earlier passages and runs of a short period.
inline Tokens RandomText(std::mt19937& random, size_t size, int alphabet) {
  Tokens text;
  while (text.size() < size) {
    const size_t length = 1 + random() % 12;
    const size_t back = 1 + random() % (text.size() + 1);
    if (random() % 3 == 0 || back > text.size()) {
      text.push_back(static_cast<TokenId>(random() % static_cast<unsigned>(alphabet)));
    } else {
      for (size_t i = 0; i < length; ++i) text.push_back(text[text.size() - back]);
    }
  }
  text.resize(size);
  return text;
}

}  // namespace foretoken

#endif  // FORETOKEN_TESTS_UNIT_SPECULATIVE_SUFFIX_REFERENCE_H_
