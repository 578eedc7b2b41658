#include "sampling/token_history.h"

namespace foretoken {

TokenHistory::TokenHistory(std::span<const TokenId> prompt) {
  for (const TokenId token : prompt) ++counts_[token].prompt;
}

void TokenHistory::AppendOutput(TokenId token) {
  output_.push_back(token);
  ++counts_[token].output;
}

void TokenHistory::TruncateOutput(size_t size) {
  while (output_.size() > size) {
    const auto entry = counts_.find(output_.back());
    if (--entry->second.output == 0 && entry->second.prompt == 0) counts_.erase(entry);
    output_.pop_back();
  }
}

}  // namespace foretoken
