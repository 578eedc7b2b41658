#include "speculative/suffix_draft.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "unit/speculative/session_fixture.h"
#include "unit/speculative/suffix_reference.h"

namespace foretoken {
namespace {

const SuffixStoreIdentity kIdentity{"a", 1, 1 << 20};
constexpr int64_t kStoreBytes = 1 << 20;

TEST(SuffixDraftTest, ProposesWhatFollowedBefore) {
  SuffixDraft suffix;
  Session session = NewSession({1, 2, 3, 4, 5, 6, 1, 2, 3});
  const auto draft = suffix.GenerateDraft(session, 2);
  ASSERT_TRUE(draft.ok());
  EXPECT_EQ(draft->tokens, (Tokens{4, 5}));
  EXPECT_EQ(draft->confidence, (std::vector<float>{0.5F, 1}));
  EXPECT_EQ(draft->source, DraftSourceKind::kSuffix);
  EXPECT_TRUE(draft->laws.empty());
}

TEST(SuffixDraftTest, FollowsTheCommittedTokens) {
  SuffixDraft suffix;
  Session session = NewSession({1, 2, 3, 4});
  EXPECT_TRUE(suffix.GenerateDraft(session, 4)->tokens.empty());
  for (const TokenId token : {9, 1, 2, 3}) session.Commit(token);
  EXPECT_EQ(suffix.GenerateDraft(session, 1)->tokens, (Tokens{4}));
  EXPECT_TRUE(suffix.GenerateDraft(session, 0)->tokens.empty());
}

TEST(SuffixDraftTest, EqualsTheReferenceWhateverRoundsCommit) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 100; ++trial) {
    const Tokens text = RandomText(random, 40 + random() % 100, 12);
    const size_t prompt_size = 1 + random() % 30;
    SuffixDraft suffix;
    Session session = NewSession({text.begin(), text.begin() + static_cast<int>(prompt_size)});
    for (size_t i = prompt_size; i < text.size(); ++i) {
      session.Commit(text[i]);
      if (random() % 3 != 0) continue;  // not asked in every round
      const ReferenceTexts reference{{{session.tokens, 1, 1}}};
      SuffixProposalOptions options;
      const SuffixProposal expected = ReferenceProposal(reference, session.tokens, 6, options);
      ASSERT_EQ(suffix.GenerateDraft(session, 6)->tokens, expected.tokens);
    }
  }
}

TEST(SuffixDraftTest, TakesTheBetterOfSessionAndStoreAndTheSessionOnATie) {
  TenantSuffixStore store(kIdentity, kStoreBytes);
  store.Learn({{1, 2, 7, 8, 9}});
  SuffixDraft suffix(&store);
  Session only_in_store = NewSession({5, 1, 2});
  EXPECT_EQ(suffix.GenerateDraft(only_in_store, 4)->tokens, (Tokens{7, 8}));

  SuffixDraft tied(&store);
  Session session = NewSession({1, 2, 3, 4, 1, 2});
  EXPECT_EQ(tied.GenerateDraft(session, 4)->tokens, (Tokens{3, 4}));
  // A longer match in the store promises more.
  store.Learn({{3, 4, 1, 2, 6, 6, 6, 6}});
  const auto draft = tied.GenerateDraft(session, 4);
  EXPECT_EQ(draft->tokens, (Tokens{6, 6, 6, 6}));
  EXPECT_EQ(draft->confidence.size(), 4u);
}

TEST(SuffixDraftTest, ALongPromptIsIndexedOverSeveralRoundsNewestFirst) {
  Tokens prompt;
  for (TokenId i = 0; i < 20000; ++i) prompt.push_back(100 + i);
  prompt.insert(prompt.end(), {150, 151, 152});  // as near its start
  SuffixDraft suffix;
  Session session = NewSession(prompt);
  EXPECT_TRUE(suffix.GenerateDraft(session, 2)->tokens.empty());
  int rounds = 1;
  while (rounds < 10 && suffix.GenerateDraft(session, 2)->tokens.empty()) ++rounds;
  EXPECT_EQ(suffix.GenerateDraft(session, 2)->tokens, (Tokens{153, 154}));
  EXPECT_LT(rounds, 10);
  // What is near the end is known at once.
  SuffixDraft another;
  for (TokenId token : {20090, 20091}) session.Commit(token);
  EXPECT_EQ(another.GenerateDraft(session, 1)->tokens, (Tokens{20092}));
}

}  // namespace
}  // namespace foretoken
