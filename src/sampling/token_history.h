#ifndef FORETOKEN_SAMPLING_TOKEN_HISTORY_H_
#define FORETOKEN_SAMPLING_TOKEN_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "foretoken/options.h"

namespace foretoken {

// What penalties look at: which tokens the prompt holds and how often the output holds each.
// Drafted tokens are appended like committed ones and rolled back on rejection.
// One thread at a time. A value.
class TokenHistory {
 public:
  struct Counts {
    int32_t prompt = 0;
    int32_t output = 0;
  };

  explicit TokenHistory(std::span<const TokenId> prompt = {});

  void AppendOutput(TokenId token);
  // Takes back output tokens until `size` are left; a no-op where there are not more.
  void TruncateOutput(size_t size);

  size_t output_size() const { return output_.size(); }
  // Every token that occurs, each once, in no particular order, with its counts.
  const std::unordered_map<TokenId, Counts>& counts() const { return counts_; }

 private:
  std::vector<TokenId> output_;
  std::unordered_map<TokenId, Counts> counts_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SAMPLING_TOKEN_HISTORY_H_
