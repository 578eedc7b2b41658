#include "speculative/suffix_index.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "unit/speculative/suffix_reference.h"

namespace foretoken {
namespace {

SuffixIndex IndexOf(const Tokens& text, const SuffixIndexOptions& options = {}) {
  Result<SuffixIndex> index = SuffixIndex::Create(options);
  EXPECT_TRUE(index.ok()) << index.status().ToString();
  index->Append(text);
  return *std::move(index);
}

// Every match length is tried to its end; no shortcut.
SuffixProposal ReferenceProposal(const Tokens& text, const SuffixIndexOptions& options,
                                 int32_t max_tokens) {
  SuffixProposal best;
  for (int32_t match = options.min_match_tokens; match < options.max_depth; ++match) {
    if (match > static_cast<int32_t>(text.size())) break;
    ReferenceWalk walk(text, options.max_depth, match);
    if (walk.Ends().size() < 2) break;
    const double allowed = options.tokens_per_matched_token * match + options.extra_tokens;
    SuffixProposal proposal;
    proposal.match_tokens = match;
    double path_probability = 1;
    while (static_cast<int32_t>(proposal.tokens.size()) < max_tokens &&
           static_cast<double>(proposal.tokens.size()) + 1 <= allowed) {
      const auto step = walk.Advance();
      if (!step) break;
      path_probability *= step->probability;
      if (path_probability < options.min_probability) break;
      proposal.tokens.push_back(step->token);
      proposal.score += path_probability;
    }
    if (!proposal.tokens.empty() && proposal.score >= best.score) best = proposal;
  }
  return best;
}

TEST(SuffixIndexTest, ProposalsEqualASearchOfTheText) {
  std::mt19937 random(1);
  int proposed_tokens = 0;
  for (int trial = 0; trial < 700; ++trial) {
    SuffixIndexOptions options;
    options.max_depth = 3 + static_cast<int32_t>(random() % 10);
    options.min_match_tokens = 1 + static_cast<int32_t>(random() % 2);
    options.min_probability = std::vector<double>{0, 0.1, 0.3, 0.5}[random() % 4];
    options.tokens_per_matched_token = std::vector<double>{0, 0.5, 1, 2.5}[random() % 4];
    options.extra_tokens = static_cast<int32_t>(random() % 3);
    const Tokens text = RandomText(random, 1 + random() % 90, 1 + trial % 5);
    SuffixIndex index = IndexOf({}, options);
    Tokens seen;
    for (TokenId token : text) {
      index.Append(token);
      seen.push_back(token);
      if (random() % 6 != 0) continue;
      const auto max_tokens = static_cast<int32_t>(random() % 10);
      const SuffixProposal proposal = index.Propose(max_tokens);
      const SuffixProposal expected = ReferenceProposal(seen, options, max_tokens);
      ASSERT_EQ(proposal.tokens, expected.tokens);
      ASSERT_EQ(proposal.match_tokens, expected.match_tokens);
      ASSERT_EQ(proposal.score, expected.score);
      proposed_tokens += static_cast<int>(proposal.tokens.size());
    }
  }
  EXPECT_GT(proposed_tokens, 5000);
}

TEST(SuffixIndexTest, ProposesWhatFollowedBefore) {
  const SuffixProposal proposal = IndexOf({1, 2, 3, 4, 5, 6, 9, 1, 2, 3}).Propose(8);
  EXPECT_EQ(proposal.tokens, (Tokens{4, 5, 6}));  // as many as were matched
  EXPECT_EQ(proposal.match_tokens, 3);
  EXPECT_EQ(proposal.score, 1.5);  // what was seen once is trusted by half
}

TEST(SuffixIndexTest, ALongerMatchBeatsAShorterOneOfEqualScore) {
  SuffixIndexOptions options;
  options.tokens_per_matched_token = 0;
  options.extra_tokens = 1;
  const SuffixProposal proposal = IndexOf({1, 2, 3, 7, 9, 1, 2, 3}, options).Propose(8);
  EXPECT_EQ(proposal.tokens, (Tokens{7}));
  EXPECT_EQ(proposal.match_tokens, 3);
}

TEST(SuffixIndexTest, AFrequentShortMatchBeatsARareLongOne) {
  SuffixIndexOptions options;
  options.tokens_per_matched_token = 0;
  options.extra_tokens = 1;
  const SuffixProposal proposal =
      IndexOf({8, 2, 3, 5, 8, 2, 3, 5, 8, 2, 3, 5, 1, 2, 3, 6, 1, 2, 3}, options).Propose(8);
  EXPECT_EQ(proposal.tokens, (Tokens{5}));  // 3 of 5 after (2, 3), where 6 is 1 of 2 after 1
  EXPECT_EQ(proposal.match_tokens, 2);
}

TEST(SuffixIndexTest, ProposesNothingWithoutAMatchOrRoom) {
  EXPECT_TRUE(IndexOf({}).Propose(8).tokens.empty());
  EXPECT_TRUE(IndexOf({1}).Propose(8).tokens.empty());
  EXPECT_TRUE(IndexOf({1, 2, 3, 4, 5, 6}).Propose(8).tokens.empty());
  EXPECT_TRUE(IndexOf({1, 2, 3, 4, 1}).Propose(8).tokens.empty());  // below min_match_tokens
  const SuffixIndex index = IndexOf({1, 2, 3, 4, 1, 2});
  EXPECT_EQ(index.Propose(1).tokens, (Tokens{3}));
  for (int32_t max_tokens : {0, -1, std::numeric_limits<int32_t>::min()}) {
    const SuffixProposal proposal = index.Propose(max_tokens);
    EXPECT_TRUE(proposal.tokens.empty());
    EXPECT_EQ(proposal.match_tokens, 0);
    EXPECT_EQ(proposal.score, 0);
  }
}

TEST(SuffixIndexTest, MatchesStayBelowTheDepth) {
  Tokens text;
  for (TokenId i = 0; i < 200; ++i) text.push_back(i % 50);
  const SuffixProposal proposal = IndexOf(text).Propose(1000);
  EXPECT_EQ(proposal.match_tokens, 23);
  EXPECT_EQ(proposal.tokens.size(), 23u);
}

TEST(SuffixIndexTest, APeriodIsProposedBeyondTheDepthAndOnePeriod) {
  SuffixIndexOptions options;
  options.max_depth = 8;
  options.tokens_per_matched_token = 4;
  Tokens text;
  for (TokenId i = 0; i < 60; ++i) text.push_back(i % 5);
  const SuffixProposal proposal = IndexOf(text, options).Propose(20);
  ASSERT_GT(proposal.tokens.size(), 10u);
  for (size_t i = 0; i < proposal.tokens.size(); ++i) {
    EXPECT_EQ(proposal.tokens[i], static_cast<TokenId>(i % 5));
  }
}

TEST(SuffixIndexTest, StillProposesAfterItsNodesAreUsedUp) {
  SuffixIndexOptions options;
  options.max_nodes = 1024;
  std::mt19937 random(2);
  const Tokens known = {1001, 1002, 1003, 1004, 1005, 1006, 1007};
  SuffixIndex index = IndexOf(known, options);
  index.Append(known);
  index.Append(RandomText(random, 5000, 500));
  EXPECT_LE(index.trie().node_count(), 1024u);
  index.Append({{1001, 1002, 1003}});
  EXPECT_EQ(index.Propose(8).tokens, (Tokens{1004, 1005, 1006}));
}

TEST(SuffixIndexTest, OptionsOutOfRangeAreNamed) {
  EXPECT_TRUE(Validate(SuffixIndexOptions{}).ok());
  const auto expect_error = [](const char* field, auto change) {
    SuffixIndexOptions options;
    change(options);
    const Result<SuffixIndex> index = SuffixIndex::Create(options);
    EXPECT_EQ(index.status().code(), StatusCode::kInvalidArgument) << field;
    EXPECT_EQ(index.status().message().find(field), 0u) << index.status().message();
  };
  const double nan = std::nan("");
  expect_error("max_depth", [](auto& o) { o.max_depth = 1; });
  expect_error("max_depth", [](auto& o) { o.max_depth = 65; });
  expect_error("min_match_tokens", [](auto& o) { o.min_match_tokens = 0; });
  expect_error("min_match_tokens", [](auto& o) { o.min_match_tokens = o.max_depth; });
  expect_error("min_probability", [](auto& o) { o.min_probability = -0.1; });
  expect_error("min_probability", [](auto& o) { o.min_probability = 1.1; });
  expect_error("min_probability", [&](auto& o) { o.min_probability = nan; });
  expect_error("tokens_per_matched_token", [](auto& o) { o.tokens_per_matched_token = -1; });
  expect_error("tokens_per_matched_token", [&](auto& o) { o.tokens_per_matched_token = nan; });
  expect_error("tokens_per_matched_token", [](auto& o) { o.tokens_per_matched_token = HUGE_VAL; });
  expect_error("extra_tokens", [](auto& o) { o.extra_tokens = -1; });
  expect_error("max_nodes", [](auto& o) { o.max_nodes = 1023; });
  expect_error("max_nodes", [](auto& o) { o.max_nodes = (1 << 24) + 1; });
}

}  // namespace
}  // namespace foretoken
