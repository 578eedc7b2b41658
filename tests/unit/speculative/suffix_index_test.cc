#include "speculative/suffix_index.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "unit/speculative/suffix_reference.h"

namespace foretoken {
namespace {

uint32_t AddWholeText(SuffixIndex& index, const Tokens& tokens) {
  const uint32_t text = index.AddText(tokens);
  for (uint32_t offset = 1; offset < tokens.size(); ++offset) index.Insert({text, offset});
  return text;
}

void RemoveWholeText(SuffixIndex& index, uint32_t text) {
  const auto size = static_cast<uint32_t>(index.text(text).size());
  for (uint32_t offset = 1; offset < size; ++offset) index.Erase({text, offset});
  index.RemoveText(text);
}

void ExpectSame(const std::vector<Occurrence>& found, const std::vector<Occurrence>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].position, expected[i].position);
    ASSERT_EQ(found[i].match_tokens, expected[i].match_tokens);
  }
}

// An index and the reference of the same texts.
struct Pair {
  SuffixIndex index;
  ReferenceTexts reference;
  uint64_t added = 0;

  void Add(const Tokens& tokens) {
    const uint32_t text = AddWholeText(index, tokens);
    if (reference.texts.size() <= text) reference.texts.resize(text + 1);
    reference.texts[text] = {tokens, 1, ++added};
  }
  void Remove(uint32_t text) {
    RemoveWholeText(index, text);
    reference.texts[text].tokens.clear();
  }
};

TEST(SuffixIndexTest, FindsWhatASearchOfAllTextsFindsWhileTheyComeAndGo) {
  std::mt19937 random(1);
  size_t matches = 0;
  for (int trial = 0; trial < 60; ++trial) {
    Pair pair;
    const int alphabet = 1 + trial % 6;
    for (int step = 0; step < 60; ++step) {
      const auto text = static_cast<uint32_t>(random() % (pair.reference.texts.size() + 1));
      if (random() % 3 == 0 && text < pair.reference.texts.size() &&
          !pair.reference.texts[text].tokens.empty()) {
        pair.Remove(text);
      } else {
        pair.Add(RandomText(random, 1 + random() % 40, alphabet));
      }
      const Tokens context = RandomText(random, random() % 40, alphabet);
      const auto min_match = 1 + static_cast<int32_t>(random() % 4);
      const auto expected = pair.reference.FindAll(context, min_match);
      ExpectSame(pair.index.FindLongest(context, min_match, 1 << 20), expected);
      matches += expected.size();

      // Fewer than there are: the longest of them, all different.
      const size_t most = random() % 20;
      const auto found = pair.index.FindLongest(context, min_match, most);
      ASSERT_EQ(found.size(), std::min(most, expected.size()));
      std::set<std::pair<uint32_t, uint32_t>> different;
      for (size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(found[i].match_tokens, expected[i].match_tokens);
        different.emplace(found[i].position.text, found[i].position.offset);
      }
      ASSERT_EQ(different.size(), found.size());
    }
  }
  EXPECT_GT(matches, 100000u);
}

TEST(SuffixIndexTest, StaysInOrderOverManyBlocks) {
  std::mt19937 random(2);
  Pair pair;
  const auto check = [&] {
    for (int i = 0; i < 20; ++i) {
      const Tokens context = RandomText(random, 30, 3);
      ExpectSame(pair.index.FindLongest(context, 5, 1 << 20), pair.reference.FindAll(context, 5));
    }
  };
  for (int i = 0; i < 40; ++i) pair.Add(RandomText(random, 200, 3));
  EXPECT_EQ(pair.index.position_count(), 40u * 199);
  check();
  for (uint32_t text = 0; text < 39; ++text) {
    pair.Remove(text);
    if (text % 8 == 0) check();
  }
  check();
  EXPECT_EQ(pair.index.position_count(), 199u);
  for (int i = 0; i < 20; ++i) pair.Add(RandomText(random, 200, 3));
  check();
}

TEST(SuffixIndexTest, ATextGrowsAndItsPositionsComeInAnyOrder) {
  std::mt19937 random(3);
  const Tokens tokens = RandomText(random, 300, 3);
  SuffixIndex index;
  const uint32_t text = index.AddText(std::span(tokens).first(100));
  for (uint32_t offset = 60; offset < 100; ++offset) index.Insert({text, offset});
  index.Append(text, std::span(tokens).subspan(100));
  for (uint32_t offset = 59; offset >= 1; --offset) index.Insert({text, offset});
  for (uint32_t offset = 100; offset < 300; ++offset) index.Insert({text, offset});
  const ReferenceTexts reference{{{tokens, 1, 1}}};
  for (int i = 0; i < 50; ++i) {
    const Tokens context = RandomText(random, 20, 3);
    ExpectSame(index.FindLongest(context, 2, 1 << 20), reference.FindAll(context, 2));
  }
}

TEST(SuffixIndexTest, AnyTokenIdCanBeStored) {
  const TokenId low = std::numeric_limits<TokenId>::min();
  const TokenId high = std::numeric_limits<TokenId>::max();
  SuffixIndex index;
  AddWholeText(index, {low, high, -1, 0, low, high});
  const Tokens context = {0, low, high};
  const auto found = index.FindLongest(context, 2, 8);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].position, (TextPosition{0, 2}));
  EXPECT_EQ(found[0].match_tokens, 2);
}

TEST(SuffixIndexTest, NothingIsFoundInNothing) {
  SuffixIndex index;
  const Tokens context = {1, 2};
  EXPECT_TRUE(index.FindLongest(context, 1, 8).empty());
  const uint32_t text = AddWholeText(index, {1, 2, 3});
  EXPECT_TRUE(index.FindLongest({}, 1, 8).empty());
  EXPECT_TRUE(index.FindLongest(context, 1, 0).empty());
  EXPECT_EQ(index.FindLongest(context, 1, 8).size(), 1u);
  RemoveWholeText(index, text);
  EXPECT_TRUE(index.FindLongest(context, 1, 8).empty());
  EXPECT_EQ(index.position_count(), 0u);
}

TEST(SuffixIndexTest, TakesSixteenBytesATokenAndGivesThemBack) {
  std::mt19937 random(4);
  SuffixIndex index;
  constexpr uint32_t kTexts = 200;
  for (uint32_t i = 0; i < kTexts; ++i) AddWholeText(index, RandomText(random, 500, 1000));
  const size_t full = index.memory_bytes();
  EXPECT_LT(full, size_t{kTexts} * 500 * 18);
  // What is left is spread over all blocks.
  for (uint32_t text = 0; text < kTexts * 9 / 10; ++text) RemoveWholeText(index, text);
  EXPECT_LT(index.memory_bytes(), full / 4);
  for (uint32_t text = kTexts * 9 / 10; text < kTexts; ++text) RemoveWholeText(index, text);
  // The tables of texts and blocks are kept for those to come.
  EXPECT_LT(index.memory_bytes(), full / 40);
}

}  // namespace
}  // namespace foretoken
