#include "speculative/speculative_decoder.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "speculative/draft_model_wrapper.h"
#include "speculative/target_model_wrapper.h"
#include "unit/speculative/session_fixture.h"

namespace foretoken {
namespace {

// A draft source that does what the test says, call by call; then nothing.
class ScriptedDraft : public DraftModel {
 public:
  DraftSourceKind kind() const override { return DraftSourceKind::kSuffix; }
  Result<Draft> GenerateDraft(Session&, int32_t k) override {
    asked.push_back(k);
    if (script.empty()) return Draft();
    Result<Draft> next = std::move(script.front());
    script.pop_front();
    return next;
  }

  std::deque<Result<Draft>> script;
  std::vector<int32_t> asked;
};

class RecordingSink : public CommitSink {
 public:
  bool Commit(const VerifiedToken& token, std::optional<DraftSourceKind>) override {
    tokens.push_back(token.id);
    return static_cast<int>(tokens.size()) != stop_after;
  }
  Status EndRound() override {
    ++rounds;
    return rounds == cancel_at_round ? CancelledError("cancelled") : OkStatus();
  }

  std::vector<TokenId> tokens;
  int rounds = 0;
  int stop_after = -1;
  int cancel_at_round = -1;
};

DecoderOptions Options(SpeculationMode mode = SpeculationMode::kFixed, int32_t k = 3) {
  DecoderOptions options;
  options.speculation.mode = mode;
  options.speculation.draft_k = k;
  options.seed = 5;
  options.vocabulary_size = 16;
  return options;
}

constexpr TokenId kPrompt[] = {1, 2, 3};

class SpeculativeDecoderTest : public testing::Test {
 protected:
  // A draft whose every guess is the target's own choice.
  SpeculativeDecoderTest() : draft_setup_(FakeModelOptions{}), target_setup_(FakeModelOptions{}) {}

  std::vector<TokenId> Plain(int32_t max_tokens) {
    FakeSetup setup;
    TargetModelWrapper target("t", *setup.pool, std::nullopt);
    SpeculativeDecoder decoder(target, {}, policy_, Options(SpeculationMode::kOff));
    return decoder.Generate(kPrompt, max_tokens).value();
  }

  DraftLengthPolicy policy_;
  FakeSetup draft_setup_;
  FakeSetup target_setup_;
};

TEST_F(SpeculativeDecoderTest, APerfectDraftIsAcceptedWholeAndCostsOneForwardARound) {
  TargetModelWrapper target("t", *target_setup_.pool, std::nullopt);
  DraftModelWrapper draft("d", *draft_setup_.pool);
  SpeculativeDecoder decoder(target, {&draft}, policy_, Options());
  const auto tokens = decoder.Generate(kPrompt, 21);
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ(*tokens, Plain(21));
  // One token of the prefill, then rounds of 3 accepted and a bonus.
  EXPECT_EQ(decoder.stats().rounds, 6);
  EXPECT_EQ(target_setup_.control->decodes, 6);
  EXPECT_EQ(decoder.stats().accepted, 15);
  EXPECT_EQ(decoder.stats().rejected, 0);
  EXPECT_EQ(decoder.stats().bonus, 5);
  EXPECT_DOUBLE_EQ(decoder.stats().tau, 21.0 / 6.0);
  EXPECT_EQ(decoder.stats().by_position.size(), 3u);
  EXPECT_EQ(decoder.stats().by_position[2].accepted, 5);
}

// Accepted positions stay in the draft's cache: it runs at most prompt + committed + rejected.
TEST_F(SpeculativeDecoderTest, NothingIsDraftedTwice) {
  for (const double quality : {0.0, 0.5, 0.8, 1.0}) {
    FakeSetup drafts({.seed = 9, .quality = quality, .imitated_seed = 1});
    FakeSetup targets;
    TargetModelWrapper target("t", *targets.pool, std::nullopt);
    DraftModelWrapper draft("d", *drafts.pool);
    SpeculativeDecoder decoder(target, {&draft}, policy_, Options());
    const auto tokens = decoder.Generate(kPrompt, 50);
    ASSERT_TRUE(tokens.ok());
    EXPECT_EQ(*tokens, Plain(50));
    EXPECT_LE(drafts.control->rows,
              static_cast<int64_t>(std::size(kPrompt) + tokens->size()) + decoder.stats().rejected);
    EXPECT_GT(drafts.control->rows, 0);
  }
}

TEST_F(SpeculativeDecoderTest, TheDraftModelRestsWhileAnotherSourceServes) {
  TargetModelWrapper target("t", *target_setup_.pool, std::nullopt);
  ScriptedDraft suffix;
  Draft guess;
  guess.source = DraftSourceKind::kSuffix;
  guess.tokens = {1};
  for (int i = 0; i < 100; ++i) suffix.script.push_back(guess);
  DraftModelWrapper draft("d", *draft_setup_.pool);
  SpeculativeDecoder decoder(target, {&suffix, &draft}, policy_, Options());
  ASSERT_TRUE(decoder.Generate(kPrompt, 20).ok());
  EXPECT_EQ(draft_setup_.control->rows, 0);
  EXPECT_EQ(decoder.stats().by_source.size(), 1u);
}

TEST_F(SpeculativeDecoderTest, LengthsRespectEveryLimit) {
  TargetModelWrapper target("t", *target_setup_.pool, std::nullopt);
  ScriptedDraft draft;
  DecoderOptions options = Options(SpeculationMode::kFixed, 6);
  options.speculation.max_draft_tokens = 5;
  SpeculativeDecoder decoder(target, {&draft}, policy_, options);
  EXPECT_EQ(decoder.Generate(kPrompt, 9)->size(), 9u);
  // Room for the target's own token is kept: remaining - 1.
  EXPECT_EQ(draft.asked, (std::vector<int32_t>{5, 5, 5, 4, 3, 2, 1}));
}

TEST_F(SpeculativeDecoderTest, ZeroIsPlainDecoding) {
  TargetModelWrapper target("t", *target_setup_.pool, std::nullopt);
  ScriptedDraft draft;
  for (const auto& options :
       {Options(SpeculationMode::kFixed, 0), Options(SpeculationMode::kOff)}) {
    SpeculativeDecoder decoder(target, {&draft}, policy_, options);
    EXPECT_EQ(*decoder.Generate(kPrompt, 10), Plain(10));
    EXPECT_EQ(decoder.stats().rounds, 10);
  }
  EXPECT_TRUE(draft.asked.empty());
}

TEST_F(SpeculativeDecoderTest, AnEmptyDraftIsAPlainRoundAndNotTheEnd) {
  TargetModelWrapper target("t", *target_setup_.pool, std::nullopt);
  ScriptedDraft draft;
  SpeculativeDecoder decoder(target, {&draft}, policy_, Options());
  EXPECT_EQ(*decoder.Generate(kPrompt, 10), Plain(10));
  EXPECT_GT(draft.asked.size(), 5u);
}

TEST_F(SpeculativeDecoderTest, AFailingSourceIsSkippedForLongerAndLonger) {
  TargetModelWrapper target("t", *target_setup_.pool, std::nullopt);
  ScriptedDraft draft;
  for (int i = 0; i < 50; ++i) draft.script.push_back(InternalError("no luck"));
  SpeculativeDecoder decoder(target, {&draft}, policy_, Options());
  EXPECT_EQ(*decoder.Generate(kPrompt, 50), Plain(50));
  EXPECT_EQ(draft.asked.size(), 3u);  // at rounds 1, 9 and 25
  ASSERT_EQ(decoder.warnings().size(), 1u);
  EXPECT_NE(decoder.warnings()[0].find("no luck"), std::string::npos);
}

TEST_F(SpeculativeDecoderTest, AFailedVerificationIsRetriedPlainly) {
  target_setup_.control->before_decode = [](int64_t, std::span<const BatchRow> rows) {
    return rows.size() == 4 ? ResourceExhaustedError("four is too much") : OkStatus();
  };
  TargetModelWrapper target("t", *target_setup_.pool, std::nullopt);
  DraftModelWrapper draft("d", *draft_setup_.pool);
  SpeculativeDecoder decoder(target, {&draft}, policy_, Options());
  EXPECT_EQ(*decoder.Generate(kPrompt, 12), Plain(12));
  EXPECT_FALSE(decoder.warnings().empty());
}

TEST_F(SpeculativeDecoderTest, ATargetThatFailsPlainlyEndsTheGeneration) {
  target_setup_.control->before_decode = [](int64_t decode, std::span<const BatchRow>) {
    return decode >= 3 ? InternalError("broken") : OkStatus();
  };
  TargetModelWrapper target("t", *target_setup_.pool, std::nullopt);
  SpeculativeDecoder decoder(target, {}, policy_, Options());
  RecordingSink sink;
  EXPECT_EQ(decoder.Generate(kPrompt, 10, sink).status(), InternalError("model t: broken"));
  EXPECT_EQ(sink.tokens.size(), 3u);
}

TEST_F(SpeculativeDecoderTest, ABlockIsCutWhereTheSinkSaysStop) {
  for (int stop_after = 1; stop_after < 10; ++stop_after) {
    FakeSetup targets;
    FakeSetup drafts;
    TargetModelWrapper target("t", *targets.pool, std::nullopt);
    DraftModelWrapper draft("d", *drafts.pool);
    SpeculativeDecoder decoder(target, {&draft}, policy_, Options());
    RecordingSink sink;
    sink.stop_after = stop_after;
    const auto reason = decoder.Generate(kPrompt, 40, sink);
    ASSERT_TRUE(reason.ok());
    EXPECT_EQ(*reason, FinishReason::kStop);
    EXPECT_EQ(sink.tokens, Plain(stop_after));
    EXPECT_EQ(decoder.stats().rejected, 0) << "what stands behind a stop is not a rejection";
  }
}

TEST_F(SpeculativeDecoderTest, CancelledBetweenRounds) {
  TargetModelWrapper target("t", *target_setup_.pool, std::nullopt);
  SpeculativeDecoder decoder(target, {}, policy_, Options());
  RecordingSink sink;
  sink.cancel_at_round = 2;
  EXPECT_EQ(decoder.Generate(kPrompt, 40, sink).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(sink.tokens.size(), 2u);
}

TEST_F(SpeculativeDecoderTest, PromptsMustFit) {
  TargetModelWrapper target("t", *target_setup_.pool, std::nullopt);
  SpeculativeDecoder decoder(target, {}, policy_, Options());
  EXPECT_EQ(decoder.Generate({}, 1).status().code(), StatusCode::kInvalidArgument);
  const std::vector<TokenId> full(64, 1);
  EXPECT_EQ(decoder.Generate(full, 1).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(decoder.Generate(std::span(full).first(63), 5)->size(), 1u);
}

}  // namespace
}  // namespace foretoken
