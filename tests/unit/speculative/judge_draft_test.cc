#include "speculative/judge_draft.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "unit/speculative/session_fixture.h"

namespace foretoken {
namespace {

// Rows whose most likely token is given.
std::vector<float> RowsFor(const std::vector<TokenId>& tops, int32_t vocabulary_size = 16) {
  std::vector<float> rows(tops.size() * static_cast<size_t>(vocabulary_size), 0.0f);
  for (size_t i = 0; i < tops.size(); ++i) {
    rows[i * static_cast<size_t>(vocabulary_size) + static_cast<size_t>(tops[i])] = 9.0f;
  }
  return rows;
}

std::vector<VerifiedToken> Judge(Session& session, const std::vector<TokenId>& draft_tokens,
                                 const std::vector<TokenId>& tops) {
  Draft draft;
  draft.tokens = draft_tokens;
  const std::vector<float> rows = RowsFor(tops);
  auto tokens =
      JudgeDraft(session, draft, LogitsRows(rows.data(), static_cast<int32_t>(tops.size()), 16), 0);
  EXPECT_TRUE(tokens.ok()) << tokens.status().ToString();
  return tokens.ok() ? *tokens : std::vector<VerifiedToken>();
}

TEST(JudgeDraftTest, OriginsSayWhatHappened) {
  Session session = NewSession({1}, {.temperature = 0});
  auto plain = Judge(session, {}, {5});
  ASSERT_EQ(plain.size(), 1u);
  EXPECT_EQ(plain[0].origin, TokenOrigin::kPlain);

  auto all = Judge(session, {5, 6}, {5, 6, 7});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].origin, TokenOrigin::kAccepted);
  EXPECT_EQ(all[2].origin, TokenOrigin::kBonus);
  EXPECT_EQ(all[2].id, 7);
  EXPECT_TRUE(all[2].logprobs.has_value());

  auto some = Judge(session, {5, 6, 7}, {5, 9, 7, 8});
  ASSERT_EQ(some.size(), 2u);
  EXPECT_EQ(some[0].origin, TokenOrigin::kAccepted);
  EXPECT_EQ(some[1].id, 9);
  EXPECT_EQ(some[1].origin, TokenOrigin::kCorrected);

  auto none = Judge(session, {5}, {4, 5});
  ASSERT_EQ(none.size(), 1u);
  EXPECT_EQ(none[0].id, 4);
}

TEST(JudgeDraftTest, PenaltiesSeeTheDraftedPrefixAndForgetIt) {
  // 5 is most likely everywhere, but not a second time.
  SamplingOptions sampling{.temperature = 0};
  sampling.presence_penalty = 2.0f;
  sampling.frequency_penalty = 2.0f;
  sampling.logit_bias = {{5, -6.0f}, {6, 1.0f}};
  Session session = NewSession({1}, sampling);
  const auto tokens = Judge(session, {5, 5}, {5, 5, 5});
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[0].id, 5);
  EXPECT_EQ(tokens[1].id, 6);
  EXPECT_EQ(session.history.output_size(), 0u);
}

TEST(JudgeDraftTest, TheNumberOfRowsMustFit) {
  Session session = NewSession({1});
  const std::vector<float> rows = RowsFor({5});
  Draft draft;
  draft.tokens = {5};
  EXPECT_EQ(
      JudgeDraft(session, draft, LogitsRows(rows.data(), 1, 16), std::nullopt).status().code(),
      StatusCode::kInternal);
}

// Under rejection sampling the first token follows the target's law, whatever was drafted.
TEST(JudgeDraftTest, MaxAcceptanceKeepsTheLaw) {
  constexpr int32_t kVocabulary = 4;
  const std::vector<float> rows = {0.0f, 1.0f, 2.0f, 0.5f, 0.0f, 0.0f, 0.0f, 0.0f};
  const std::vector<float> draft_row = {1.0f, 0.0f, 0.0f, 1.5f};
  Session session = NewSession({1}, {}, 11, kVocabulary);
  session.rule = VerifyRule::kMaxAcceptance;
  Distribution target_law;
  Distribution draft_law;
  ASSERT_TRUE(
      session.sampler
          .ComputeDistribution(std::span(rows).first(kVocabulary), session.history, target_law)
          .ok());
  ASSERT_TRUE(session.sampler.ComputeDistribution(draft_row, session.history, draft_law).ok());
  constexpr int kTrials = 40000;
  std::map<TokenId, int> counts;
  for (int trial = 0; trial < kTrials; ++trial) {
    Draft draft;
    // Another stream than the rule's uniforms: the draft draws by itself.
    draft.tokens = {*session.sampler.Select(draft_row, session.history, 99, trial)};
    draft.laws.emplace_back(draft_law);
    ++counts[JudgeDraft(session, draft, LogitsRows(rows.data(), 2, kVocabulary), std::nullopt)
                 ->front()
                 .id];
  }
  double chi_square = 0;
  for (TokenId token = 0; token < kVocabulary; ++token) {
    const double expected = kTrials * target_law[static_cast<size_t>(token)];
    chi_square += (counts[token] - expected) * (counts[token] - expected) / expected;
  }
  EXPECT_LT(chi_square, 16.3);  // 3 degrees of freedom, p = 0.001
}

}  // namespace
}  // namespace foretoken
