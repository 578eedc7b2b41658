#include "speculative/suffix_trie.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <set>
#include <utility>

#include "unit/speculative/suffix_reference.h"

namespace foretoken {
namespace {

constexpr int32_t kManyNodes = 1 << 20;

Tokens Follow(const SuffixTrie& trie, int32_t match_tokens, size_t most) {
  Tokens tokens;
  auto walk = trie.WalkFrom(match_tokens);
  while (walk && tokens.size() < most) {
    const auto step = trie.Advance(*walk);
    if (!step) break;
    tokens.push_back(step->token);
  }
  return tokens;
}

SuffixTrie TrieOf(const Tokens& text, int32_t max_depth) {
  SuffixTrie trie(max_depth, kManyNodes);
  for (TokenId token : text) trie.Append(token);
  return trie;
}

TEST(SuffixTrieTest, EveryWalkEqualsASearchOfTheText) {
  std::mt19937 random(1);
  int steps = 0;
  for (int trial = 0; trial < 500; ++trial) {
    const int32_t max_depth = 2 + static_cast<int32_t>(random() % 9);
    const Tokens text = RandomText(random, 1 + random() % 90, 1 + trial % 5);
    SuffixTrie trie(max_depth, kManyNodes);
    Tokens seen;
    for (TokenId token : text) {
      trie.Append(token);
      seen.push_back(token);
      if (random() % 8 != 0 && seen.size() != text.size()) continue;
      for (int32_t match = 0; match <= max_depth; ++match) {
        auto walk = trie.WalkFrom(match);
        if (match == 0 || match == max_depth || match > static_cast<int32_t>(seen.size())) {
          ASSERT_FALSE(walk);
          continue;
        }
        ReferenceWalk reference(seen, max_depth, match);
        ASSERT_EQ(walk.has_value(), reference.Ends().size() > 1);
        if (!walk) continue;
        for (int i = 0; i < 15; ++i) {
          const auto step = trie.Advance(*walk);
          const auto expected = reference.Advance();
          ASSERT_EQ(step.has_value(), expected.has_value());
          if (!step) break;
          ASSERT_EQ(step->token, expected->token);
          ASSERT_EQ(step->probability, expected->probability);
          ++steps;
        }
      }
    }
  }
  EXPECT_GT(steps, 50000);
}

TEST(SuffixTrieTest, CountsOverlappingOccurrences) {
  const SuffixTrie trie = TrieOf({7, 7, 7, 7}, 8);
  auto walk = trie.WalkFrom(1);
  ASSERT_TRUE(walk);
  EXPECT_EQ(trie.Advance(*walk)->probability, 3.0 / 4);
  EXPECT_EQ(trie.Advance(*walk)->probability, 2.0 / 3);
  EXPECT_EQ(trie.Advance(*walk)->probability, 1.0 / 2);
  EXPECT_FALSE(trie.Advance(*walk));
}

TEST(SuffixTrieTest, OfEqualsTheLatestIsTaken) {
  EXPECT_EQ(Follow(TrieOf({1, 5, 1, 9, 1}, 4), 1, 1), (Tokens{9}));
  EXPECT_EQ(Follow(TrieOf({1, 9, 1, 5, 1}, 4), 1, 1), (Tokens{5}));
  EXPECT_EQ(Follow(TrieOf({1, 5, 1, 5, 1, 9, 1}, 4), 1, 1), (Tokens{5}));
}

TEST(SuffixTrieTest, NothingIsFollowedWhereNothingRepeats) {
  Tokens text;
  for (TokenId token = 0; token < 1000; ++token) text.push_back(token);
  const SuffixTrie trie = TrieOf(text, 24);
  for (int32_t match = 1; match < 24; ++match) EXPECT_FALSE(trie.WalkFrom(match));
  EXPECT_FALSE(SuffixTrie(24, kManyNodes).WalkFrom(1));
  EXPECT_EQ(trie.node_count(), 1001u);  // one token deep
}

TEST(SuffixTrieTest, APeriodIsFollowedBeyondTheDepth) {
  Tokens text;
  for (TokenId i = 0; i < 100; ++i) text.push_back(i % 10);
  const Tokens followed = Follow(TrieOf(text, 24), 20, 60);
  ASSERT_GE(followed.size(), 40u);
  for (size_t i = 0; i < followed.size(); ++i) EXPECT_EQ(followed[i], static_cast<TokenId>(i % 10));
}

TEST(SuffixTrieTest, AnyTokenIdCanBeStored) {
  const TokenId low = std::numeric_limits<TokenId>::min();
  const TokenId high = std::numeric_limits<TokenId>::max();
  EXPECT_EQ(Follow(TrieOf({low, high, -1, 0, low, high}, 4), 2, 2), (Tokens{-1, 0}));
}

TEST(SuffixTrieTest, StopsGrowingAtItsNodeLimitAndKeepsWhatItKnows) {
  std::mt19937 random(2);
  constexpr int32_t kMaxNodes = 2000;
  SuffixTrie trie(16, kMaxNodes);
  const Tokens passage = RandomText(random, 60, 40);
  Tokens text = passage;
  const Tokens filler = RandomText(random, 20000, 40);
  text.insert(text.end(), filler.begin(), filler.end());
  text.insert(text.end(), passage.begin(), passage.end());
  std::set<std::pair<TokenId, TokenId>> pairs;
  for (size_t i = 1; i < text.size(); ++i) pairs.emplace(text[i - 1], text[i]);
  size_t followed = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    trie.Append(text[i]);
    ASSERT_LE(trie.node_count(), static_cast<size_t>(kMaxNodes));
    if (i + passage.size() < text.size()) continue;
    for (int32_t match = 1; match < 16; ++match) {
      TokenId before = text[i];
      for (TokenId token : Follow(trie, match, 100)) {
        EXPECT_TRUE(pairs.contains({before, token}));
        before = token;
        ++followed;
      }
    }
  }
  EXPECT_GT(trie.node_count(), static_cast<size_t>(kMaxNodes) - 16);
  EXPECT_EQ(trie.size_tokens(), text.size());
  EXPECT_GT(followed, 100u);
}

TEST(SuffixTrieTest, EightThousandTokensTakeAFewMegabytes) {
  std::mt19937 random(3);
  EXPECT_LT(TrieOf(RandomText(random, 8192, 1000), 24).memory_bytes(), size_t{8} << 20);
  // The most nodes: everything occurs exactly twice.
  Tokens twice;
  for (TokenId i = 0; i < 8192; ++i) twice.push_back(i % 4096);
  EXPECT_LT(TrieOf(twice, 24).memory_bytes(), size_t{8} << 20);
}

}  // namespace
}  // namespace foretoken
