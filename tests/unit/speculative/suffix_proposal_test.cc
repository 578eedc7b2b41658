#include "speculative/suffix_proposal.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <span>
#include <vector>

#include "unit/speculative/suffix_reference.h"

namespace foretoken {
namespace {

SuffixIndex IndexOf(const std::vector<Tokens>& texts) {
  SuffixIndex index;
  for (const Tokens& tokens : texts) {
    const uint32_t text = index.AddText(tokens);
    for (uint32_t offset = 1; offset < tokens.size(); ++offset) index.Insert({text, offset});
  }
  return index;
}

// Of a text that is its own context.
SuffixProposal Propose(const Tokens& text, int32_t max_tokens,
                       const SuffixProposalOptions& options = {}) {
  return ProposeContinuation(IndexOf({text}), text, max_tokens, options);
}

TEST(SuffixProposalTest, EqualsASearchOfTheTexts) {
  std::mt19937 random(1);
  size_t proposed_tokens = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    SuffixProposalOptions options;
    options.min_match_tokens = 1 + static_cast<int32_t>(random() % 3);
    options.min_probability = std::vector<double>{0, 0.1, 0.3, 0.5}[random() % 4];
    options.tokens_per_matched_token = std::vector<double>{0, 0.5, 1, 2.5}[random() % 4];
    options.extra_tokens = static_cast<int32_t>(random() % 3);
    options.max_occurrences = 1 << 20;
    const int alphabet = 1 + trial % 6;
    std::vector<Tokens> texts;
    ReferenceTexts reference;
    for (size_t i = 0; i <= random() % 4; ++i) {
      texts.push_back(RandomText(random, 1 + random() % 60, alphabet));
      reference.texts.push_back({texts.back(), 1, i});
    }
    const bool is_own = random() % 2 == 0;
    const Tokens context = is_own ? texts[0] : RandomText(random, random() % 50, alphabet);
    const auto max_tokens = static_cast<int32_t>(random() % 12);
    const SuffixProposal proposal =
        ProposeContinuation(IndexOf(texts), context, max_tokens, options);
    const SuffixProposal expected = ReferenceProposal(reference, context, max_tokens, options);
    ASSERT_EQ(proposal.tokens, expected.tokens);
    ASSERT_EQ(proposal.confidence, expected.confidence);
    ASSERT_EQ(proposal.match_tokens, expected.match_tokens);
    ASSERT_EQ(proposal.score, expected.score);
    proposed_tokens += proposal.tokens.size();
  }
  EXPECT_GT(proposed_tokens, 8000u);
}

TEST(SuffixProposalTest, FewOccurrencesStillProposeWhatFollowsSomewhere) {
  std::mt19937 random(2);
  const Tokens text = RandomText(random, 3000, 4);
  const SuffixIndex index = IndexOf({text});
  SuffixProposalOptions options;
  options.max_occurrences = 5;
  size_t proposed_tokens = 0;
  for (int trial = 0; trial < 500; ++trial) {
    const std::span<const TokenId> context = std::span(text).first(2 + random() % 2998);
    const SuffixProposal proposal = ProposeContinuation(index, context, 8, options);
    ASSERT_EQ(proposal.tokens.size(), proposal.confidence.size());
    double path_probability = 1;
    double score = 0;
    for (float confidence : proposal.confidence) {
      path_probability *= confidence;
      score += path_probability;
    }
    ASSERT_NEAR(proposal.score, score, 1e-5);
    Tokens passage(context.end() - proposal.match_tokens, context.end());
    passage.insert(passage.end(), proposal.tokens.begin(), proposal.tokens.end());
    ASSERT_NE(std::search(text.begin(), text.end(), passage.begin(), passage.end()), text.end());
    proposed_tokens += proposal.tokens.size();
  }
  EXPECT_GT(proposed_tokens, 2000u);
}

TEST(SuffixProposalTest, ProposesWhatFollowedBefore) {
  const SuffixProposal proposal = Propose({1, 2, 3, 4, 5, 6, 9, 1, 2, 3}, 8);
  EXPECT_EQ(proposal.tokens, (Tokens{4, 5, 6}));  // as many as were matched
  EXPECT_EQ(proposal.confidence, (std::vector<float>{0.5F, 1, 1}));
  EXPECT_EQ(proposal.match_tokens, 3);
  EXPECT_EQ(proposal.score, 1.5);  // what was seen once is trusted by half
}

TEST(SuffixProposalTest, ALongerMatchBeatsAShorterOneOfEqualScore) {
  SuffixProposalOptions options;
  options.tokens_per_matched_token = 0;
  options.extra_tokens = 1;
  const SuffixProposal proposal = Propose({1, 2, 3, 7, 9, 1, 2, 3}, 8, options);
  EXPECT_EQ(proposal.tokens, (Tokens{7}));
  EXPECT_EQ(proposal.match_tokens, 3);
}

TEST(SuffixProposalTest, AFrequentShortMatchBeatsARareLongOne) {
  SuffixProposalOptions options;
  options.tokens_per_matched_token = 0;
  options.extra_tokens = 1;
  const SuffixProposal proposal =
      Propose({8, 2, 3, 5, 8, 2, 3, 5, 8, 2, 3, 5, 1, 2, 3, 6, 1, 2, 3}, 8, options);
  EXPECT_EQ(proposal.tokens, (Tokens{5}));  // 3 of 5 after (2, 3), where 6 is 1 of 2 after 1
  EXPECT_EQ(proposal.match_tokens, 2);
}

TEST(SuffixProposalTest, OfEquallyFrequentTokensTheLatestIsTaken) {
  EXPECT_EQ(Propose({1, 2, 5, 1, 2, 9, 1, 2}, 1).tokens, (Tokens{9}));
  EXPECT_EQ(Propose({1, 2, 9, 1, 2, 5, 1, 2}, 1).tokens, (Tokens{5}));
  EXPECT_EQ(Propose({1, 2, 5, 1, 2, 5, 1, 2, 9, 1, 2}, 1).tokens, (Tokens{5}));
  const Tokens context = {1, 2};
  const SuffixIndex index = IndexOf({{1, 2, 3}, {1, 2, 4}});
  const SuffixProposal proposal = ProposeContinuation(index, context, 1);
  EXPECT_EQ(proposal.tokens, (Tokens{4}));
  EXPECT_EQ(proposal.text, 1u);
}

TEST(SuffixProposalTest, ProposesNothingWithoutAMatchOrRoom) {
  EXPECT_TRUE(Propose({}, 8).tokens.empty());
  EXPECT_TRUE(Propose({1}, 8).tokens.empty());
  EXPECT_TRUE(Propose({1, 2, 3, 4, 5, 6}, 8).tokens.empty());
  EXPECT_TRUE(Propose({1, 2, 3, 4, 1}, 8).tokens.empty());  // below min_match_tokens
  const Tokens text = {1, 2, 3, 4, 1, 2};
  EXPECT_EQ(Propose(text, 1).tokens, (Tokens{3}));
  for (int32_t max_tokens : {0, -1, std::numeric_limits<int32_t>::min()}) {
    const SuffixProposal proposal = Propose(text, max_tokens);
    EXPECT_TRUE(proposal.tokens.empty());
    EXPECT_EQ(proposal.match_tokens, 0);
    EXPECT_EQ(proposal.score, 0);
  }
}

TEST(SuffixProposalTest, ALongPeriodIsFollowedBeyondTheLongestMatch) {
  SuffixProposalOptions options;
  options.tokens_per_matched_token = 4;
  Tokens text;
  for (TokenId i = 0; i < 200; ++i) text.push_back(i % 50);
  const SuffixProposal proposal = Propose(text, 1000, options);
  EXPECT_EQ(proposal.match_tokens, SuffixIndex::kMaxMatchTokens);
  ASSERT_EQ(proposal.tokens.size(), 96u);
  for (size_t i = 0; i < 96; ++i) EXPECT_EQ(proposal.tokens[i], static_cast<TokenId>(i % 50));
}

}  // namespace
}  // namespace foretoken
