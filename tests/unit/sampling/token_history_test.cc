#include "sampling/token_history.h"

#include <map>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace foretoken {
namespace {

std::map<TokenId, std::pair<int32_t, int32_t>> Contents(const TokenHistory& history) {
  std::map<TokenId, std::pair<int32_t, int32_t>> contents;
  for (const auto& [token, counts] : history.counts()) {
    contents[token] = {counts.prompt, counts.output};
  }
  return contents;
}

TEST(TokenHistoryTest, CountsPromptAndOutputApart) {
  TokenHistory history(std::vector<TokenId>{5, 7, 5});
  history.AppendOutput(7);
  history.AppendOutput(9);
  history.AppendOutput(9);
  EXPECT_EQ(history.output_size(), 3u);
  EXPECT_EQ(Contents(history), (std::map<TokenId, std::pair<int32_t, int32_t>>{
                                   {5, {2, 0}}, {7, {1, 1}}, {9, {0, 2}}}));
}

TEST(TokenHistoryTest, RollbackLeavesNothingBehind) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<TokenId> prompt(random() % 6);
    for (TokenId& token : prompt) token = static_cast<TokenId>(random() % 8);
    TokenHistory history(prompt);
    std::vector<TokenId> output;
    for (int step = 0; step < 30; ++step) {
      if (random() % 3 == 0) {
        const size_t size = random() % (output.size() + 3);  // also more than there are: a no-op
        history.TruncateOutput(size);
        if (size < output.size()) output.resize(size);
      } else {
        output.push_back(static_cast<TokenId>(random() % 8));
        history.AppendOutput(output.back());
      }
      TokenHistory fresh(prompt);
      for (const TokenId token : output) fresh.AppendOutput(token);
      ASSERT_EQ(history.output_size(), fresh.output_size());
      ASSERT_EQ(Contents(history), Contents(fresh));
    }
  }
}

}  // namespace
}  // namespace foretoken
