#include "speculative/draft_model_wrapper.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "unit/speculative/session_fixture.h"

namespace foretoken {
namespace {

TEST(DraftModelWrapperTest, ProposesWhatTheModelItselfWouldSayWithTheSameNoise) {
  FakeSetup setup;
  DraftModelWrapper draft_model("draft", *setup.pool);
  Session session = NewSession({3, 4, 5});
  const auto draft = draft_model.GenerateDraft(session, 4);
  ASSERT_TRUE(draft.ok());
  ASSERT_EQ(draft->tokens.size(), 4u);
  EXPECT_EQ(draft->source, DraftSourceKind::kDraftModel);
  EXPECT_TRUE(draft->laws.empty());
  // The session is as it was.
  EXPECT_EQ(session.tokens.size(), 3u);
  EXPECT_EQ(session.history.output_size(), 0u);
  // Token by token from fresh caches, with the noise of each position.
  for (const TokenId token : draft->tokens) {
    FakeSetup fresh;
    CachedSequence sequence(*fresh.pool);
    const auto logits = sequence.Advance(session.tokens, {});
    EXPECT_EQ(*session.sampler.Select((*logits)[0], session.history, session.stream,
                                      session.next_position()),
              token);
    session.Commit(token);
  }
}

TEST(DraftModelWrapperTest, AcceptedPositionsAreNotRunAgain) {
  FakeSetup setup;
  DraftModelWrapper draft_model("draft", *setup.pool);
  Session session = NewSession({3, 4, 5});
  auto draft = draft_model.GenerateDraft(session, 3).value();
  EXPECT_EQ(setup.control->rows, 3 + 2);  // the prompt and all but the last proposal
  // Accepted whole, and a bonus token.
  for (const TokenId token : draft.tokens) session.Commit(token);
  session.Commit(1);
  draft = draft_model.GenerateDraft(session, 2).value();
  EXPECT_EQ(setup.control->rows, 5 + 2 + 1);  // the last proposal and the bonus; one proposal
  // The first proposal is rejected: the correction replaces it.
  session.Commit(draft.tokens[0] == 1 ? 2 : 1);
  ASSERT_TRUE(draft_model.GenerateDraft(session, 1).ok());
  EXPECT_EQ(setup.control->rows, 8 + 1);
}

TEST(DraftModelWrapperTest, StopsAtTheEndOfItsContext) {
  FakeSetup setup({.context_tokens = 5});
  DraftModelWrapper draft_model("draft", *setup.pool);
  Session session = NewSession({1, 2, 3, 4});
  EXPECT_EQ(draft_model.GenerateDraft(session, 8)->tokens.size(), 2u);
  session.Commit(5);
  EXPECT_EQ(draft_model.GenerateDraft(session, 8)->tokens.size(), 1u);
  session.Commit(6);
  EXPECT_EQ(draft_model.GenerateDraft(session, 8)->tokens.size(), 0u);
}

TEST(DraftModelWrapperTest, UnderRejectionSamplingTheLawsComeAlongAndNoiseIsFresh) {
  FakeSetup setup;
  DraftModelWrapper draft_model("draft", *setup.pool);
  Session session = NewSession({3, 4, 5});
  session.rule = VerifyRule::kMaxAcceptance;
  bool differs = false;
  const auto first = draft_model.GenerateDraft(session, 3).value();
  for (session.rounds = 1; session.rounds < 20; ++session.rounds) {
    const auto draft = draft_model.GenerateDraft(session, 3).value();
    ASSERT_EQ(draft.laws.size(), 3u);
    double sum = 0;
    for (const double p : *draft.laws[0]) sum += p;
    EXPECT_NEAR(sum, 1.0, 1e-12);
    EXPECT_EQ(draft.laws[0], first.laws[0]);
    differs |= draft.tokens != first.tokens;
  }
  EXPECT_TRUE(differs);
}

TEST(DraftModelWrapperTest, AFailureNamesTheModelAndTheNextCallStartsOver) {
  FakeSetup setup;
  setup.control->before_decode = [](int64_t decode, std::span<const BatchRow>) {
    return decode == 1 ? ResourceExhaustedError("full") : OkStatus();
  };
  DraftModelWrapper draft_model("tiny", *setup.pool);
  Session session = NewSession({3, 4});
  const auto failed = draft_model.GenerateDraft(session, 3);
  EXPECT_EQ(failed.status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(failed.status().message(), "draft model tiny: full");
  EXPECT_EQ(session.history.output_size(), 0u);
  EXPECT_EQ(draft_model.GenerateDraft(session, 3)->tokens.size(), 3u);
}

}  // namespace
}  // namespace foretoken
