#include "speculative/suffix_draft.h"

#include <gtest/gtest.h>

#include <vector>

#include "unit/speculative/session_fixture.h"

namespace foretoken {
namespace {

TEST(SuffixDraftTest, ProposesWhatFollowedBefore) {
  SuffixDraft suffix;
  Session session = NewSession({1, 2, 3, 4, 5, 6, 1, 2, 3});
  const auto draft = suffix.GenerateDraft(session, 2);
  ASSERT_TRUE(draft.ok());
  EXPECT_EQ(draft->tokens, (std::vector<TokenId>{4, 5}));
  EXPECT_EQ(draft->source, DraftSourceKind::kSuffix);
  EXPECT_TRUE(draft->laws.empty());
  EXPECT_GT(draft->expected_accepted, 0);
}

TEST(SuffixDraftTest, FollowsTheCommittedTokens) {
  SuffixDraft suffix;
  Session session = NewSession({1, 2, 3, 4});
  EXPECT_TRUE(suffix.GenerateDraft(session, 4)->tokens.empty());
  for (const TokenId token : {9, 1, 2, 3}) session.Commit(token);
  EXPECT_EQ(suffix.GenerateDraft(session, 1)->tokens, (std::vector<TokenId>{4}));
  EXPECT_TRUE(suffix.GenerateDraft(session, 0)->tokens.empty());
}

}  // namespace
}  // namespace foretoken
