#include "speculative/speculative_decoder.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "unit/speculative/round_fixture.h"

namespace foretoken {
namespace {

using Sources = std::vector<std::unique_ptr<DraftModel>>;

// What a test tells a draft source to do, call by call (then nothing), and what it was asked for.
struct Script {
  std::deque<Result<Draft>> drafts;
  std::vector<int32_t> asked;
};

class ScriptedDraft : public DraftModel {
 public:
  explicit ScriptedDraft(Script& script, DraftSourceKind kind = DraftSourceKind::kSuffix)
      : script_(script), kind_(kind) {}
  DraftSourceKind kind() const override { return kind_; }
  Result<Draft> GenerateDraft(Session&, int32_t k) override {
    script_.asked.push_back(k);
    if (script_.drafts.empty()) return Draft();
    Result<Draft> next = std::move(script_.drafts.front());
    script_.drafts.pop_front();
    if (next.ok()) next->source = kind_;
    return next;
  }

 private:
  Script& script_;
  const DraftSourceKind kind_;
};

template <typename... Models>
Sources Of(std::unique_ptr<Models>... models) {
  Sources sources;
  (sources.push_back(std::move(models)), ...);
  return sources;
}

Draft DraftOf(const Tokens& tokens) {
  Draft draft;
  draft.tokens = tokens;
  return draft;
}

DecoderOptions Options(SpeculationMode mode = SpeculationMode::kFixed, int32_t k = 3) {
  DecoderOptions options;
  options.speculation.mode = mode;
  options.speculation.draft_k = k;
  options.seed = 5;
  options.vocabulary_size = 16;
  return options;
}

const Tokens kPrompt = {1, 2, 3};

class SpeculativeDecoderTest : public testing::Test {
 protected:
  SpeculativeDecoder NewDecoder(Sources sources, const DecoderOptions& options = Options()) {
    return SpeculativeDecoder(TargetModelWrapper("t", *target_setup_.pool, std::nullopt),
                              std::move(sources), options);
  }
  std::unique_ptr<DraftModelWrapper> NewDraftModel() {
    return std::make_unique<DraftModelWrapper>("d", *draft_setup_.pool);
  }
  std::unique_ptr<ScriptedDraft> NewScripted(DraftSourceKind kind = DraftSourceKind::kSuffix) {
    return std::make_unique<ScriptedDraft>(script_, kind);
  }

  // What the target says by itself.
  Tokens Plain(int32_t max_tokens) {
    return Continuation(target_setup_.options, NewSession(kPrompt, {}, 5), max_tokens);
  }

  Script script_;
  // A draft whose every guess is the target's own choice.
  FakeSetup draft_setup_;
  FakeSetup target_setup_;
};

TEST_F(SpeculativeDecoderTest, APerfectDraftIsAcceptedWholeAndCostsOneForwardARound) {
  SpeculativeDecoder decoder = NewDecoder(Of(NewDraftModel()));
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
  EXPECT_EQ(decoder.reason(), FinishReason::kLength);
}

// Accepted positions stay in the draft's cache: it runs at most prompt + committed + rejected.
TEST_F(SpeculativeDecoderTest, NothingIsDraftedTwice) {
  for (const double quality : {0.0, 0.5, 0.8, 1.0}) {
    FakeSetup drafts({.seed = 9, .quality = quality, .imitated_seed = 1});
    SpeculativeDecoder decoder =
        NewDecoder(Of(std::make_unique<DraftModelWrapper>("d", *drafts.pool)));
    const auto tokens = decoder.Generate(kPrompt, 50);
    ASSERT_TRUE(tokens.ok());
    EXPECT_EQ(*tokens, Plain(50));
    EXPECT_LE(drafts.control->rows,
              static_cast<int64_t>(std::size(kPrompt) + tokens->size()) + decoder.stats().rejected);
    EXPECT_GT(drafts.control->rows, 0);
  }
}

TEST_F(SpeculativeDecoderTest, TheDraftModelRestsWhileAnotherSourceServes) {
  for (int i = 0; i < 100; ++i) script_.drafts.push_back(DraftOf({1}));
  SpeculativeDecoder decoder = NewDecoder(Of(NewScripted(), NewDraftModel()));
  ASSERT_TRUE(decoder.Generate(kPrompt, 20).ok());
  EXPECT_EQ(draft_setup_.control->rows, 0);
  EXPECT_EQ(decoder.stats().by_source.size(), 1u);
}

TEST_F(SpeculativeDecoderTest, LengthsRespectEveryLimit) {
  DecoderOptions options = Options(SpeculationMode::kFixed, 6);
  options.speculation.max_draft_tokens = 5;
  SpeculativeDecoder decoder = NewDecoder(Of(NewScripted()), options);
  EXPECT_EQ(decoder.Generate(kPrompt, 9)->size(), 9u);
  // Room for the target's own token is kept: remaining - 1.
  EXPECT_EQ(script_.asked, (std::vector<int32_t>{5, 5, 5, 4, 3, 2, 1}));
}

TEST_F(SpeculativeDecoderTest, LengthsRespectTheTargetsBatch) {
  FakeSetup small({.max_batch_rows = 4, .max_logits_rows = 3});
  SpeculativeDecoder decoder(TargetModelWrapper("t", *small.pool, std::nullopt), Of(NewScripted()),
                             Options(SpeculationMode::kAuto));
  ASSERT_TRUE(decoder.Begin(kPrompt, 9).ok());
  EXPECT_EQ(decoder.remaining_tokens(), 9);
  EXPECT_EQ(decoder.missing_tokens(), 3);
  EXPECT_EQ(decoder.MaxDraftTokens(), 2);
}

TEST_F(SpeculativeDecoderTest, ZeroIsPlainDecoding) {
  for (const auto& options :
       {Options(SpeculationMode::kFixed, 0), Options(SpeculationMode::kOff)}) {
    SpeculativeDecoder decoder = NewDecoder(Of(NewScripted(), NewDraftModel()), options);
    EXPECT_EQ(*decoder.Generate(kPrompt, 10), Plain(10));
    EXPECT_EQ(decoder.stats().rounds, 10);
    EXPECT_EQ(decoder.stats().drafted, 0);
  }
  EXPECT_TRUE(script_.asked.empty());
  EXPECT_EQ(draft_setup_.control->rows, 0);
}

TEST_F(SpeculativeDecoderTest, AnEmptyDraftIsAPlainRoundAndNotTheEnd) {
  SpeculativeDecoder decoder = NewDecoder(Of(NewScripted()));
  EXPECT_EQ(*decoder.Generate(kPrompt, 10), Plain(10));
  EXPECT_EQ(script_.asked.size(), 8u);  // not before the first token, nor for the last
}

TEST_F(SpeculativeDecoderTest, AutoGivesTheSameTokens) {
  SpeculativeDecoder decoder =
      NewDecoder(Of(NewScripted(), NewDraftModel()), Options(SpeculationMode::kAuto));
  EXPECT_EQ(*decoder.Generate(kPrompt, 50), Plain(50));
}

TEST_F(SpeculativeDecoderTest, AFailingSourceIsSkippedForLongerAndLonger) {
  for (int i = 0; i < 50; ++i) script_.drafts.push_back(InternalError("no luck"));
  SpeculativeDecoder decoder = NewDecoder(Of(NewScripted()));
  EXPECT_EQ(*decoder.Generate(kPrompt, 50), Plain(50));
  EXPECT_EQ(script_.asked.size(), 3u);  // at rounds 1, 9 and 25
  ASSERT_EQ(decoder.warnings().size(), 1u);
  EXPECT_NE(decoder.warnings()[0].find("no luck"), std::string::npos);
}

TEST_F(SpeculativeDecoderTest, AFailingDraftModelIsSkippedForLongerAndLonger) {
  std::vector<int64_t> failed_rounds;
  draft_setup_.control->before_decode = [&](int64_t, std::span<const BatchRow>) {
    failed_rounds.push_back(target_setup_.control->decodes);
    return InternalError("no luck");
  };
  SpeculativeDecoder decoder = NewDecoder(Of(NewDraftModel()));
  EXPECT_EQ(*decoder.Generate(kPrompt, 50), Plain(50));
  EXPECT_EQ(failed_rounds, (std::vector<int64_t>{1, 9, 25}));
  ASSERT_EQ(decoder.warnings().size(), 1u);
  EXPECT_NE(decoder.warnings()[0].find("draft model d: no luck"), std::string::npos);
}

TEST_F(SpeculativeDecoderTest, AFailedVerificationIsRetriedPlainly) {
  target_setup_.control->before_decode = [](int64_t, std::span<const BatchRow> rows) {
    return rows.size() == 4 ? ResourceExhaustedError("four is too much") : OkStatus();
  };
  SpeculativeDecoder decoder = NewDecoder(Of(NewDraftModel()));
  EXPECT_EQ(*decoder.Generate(kPrompt, 12), Plain(12));
  // Said once, however often.
  ASSERT_EQ(decoder.warnings().size(), 1u);
  EXPECT_NE(decoder.warnings()[0].find("four is too much"), std::string::npos);
  // A draft that was not verified is no draft; those of the last rounds are shorter.
  EXPECT_LT(decoder.stats().drafted, 4);
  EXPECT_EQ(decoder.stats().rejected, 0);
}

TEST_F(SpeculativeDecoderTest, AfterFailedVerificationsDraftsRestForLongerAndLonger) {
  std::vector<int64_t> failed_rounds;
  SpeculativeDecoder decoder = NewDecoder(Of(NewDraftModel()));
  target_setup_.control->before_decode = [&](int64_t, std::span<const BatchRow> rows) {
    if (rows.size() == 1 || rows[0].position == 0) return OkStatus();
    failed_rounds.push_back(decoder.stats().rounds);
    return InternalError("one at a time");
  };
  EXPECT_EQ(*decoder.Generate(kPrompt, 50), Plain(50));
  EXPECT_EQ(failed_rounds, (std::vector<int64_t>{1, 9, 25}));
  EXPECT_EQ(decoder.warnings().size(), 1u);
  // The draft model was not asked in between.
  EXPECT_EQ(draft_setup_.control->decodes, 3 * 3);
}

TEST_F(SpeculativeDecoderTest, ATargetThatFailsPlainlyEndsTheGeneration) {
  target_setup_.control->before_decode = [](int64_t decode, std::span<const BatchRow>) {
    return decode >= 3 ? InternalError("broken") : OkStatus();
  };
  SpeculativeDecoder decoder = NewDecoder({});
  RecordingSink sink;
  EXPECT_EQ(decoder.Generate(kPrompt, 10, sink).status(), InternalError("model t: broken"));
  EXPECT_EQ(sink.tokens, Plain(3));
}

TEST_F(SpeculativeDecoderTest, ACancelledForwardEndsTheGeneration) {
  target_setup_.control->before_decode = [](int64_t decode, std::span<const BatchRow>) {
    return decode == 2 ? CancelledError("cancelled") : OkStatus();
  };
  SpeculativeDecoder decoder = NewDecoder({});
  RecordingSink sink;
  EXPECT_EQ(decoder.Generate(kPrompt, 40, sink).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(sink.tokens, Plain(2));
}

TEST_F(SpeculativeDecoderTest, ABlockIsCutWhereTheSinkSaysStop) {
  for (int stop_after = 1; stop_after < 10; ++stop_after) {
    SpeculativeDecoder decoder = NewDecoder(Of(NewDraftModel()));
    RecordingSink sink;
    sink.stop_after = stop_after;
    const auto reason = decoder.Generate(kPrompt, 40, sink);
    ASSERT_TRUE(reason.ok());
    EXPECT_EQ(*reason, FinishReason::kStop);
    EXPECT_EQ(sink.tokens, Plain(stop_after));
    EXPECT_EQ(decoder.stats().rejected, 0) << "what stands behind a stop is not a rejection";
  }
}

TEST_F(SpeculativeDecoderTest, ABlockIsCutAtAnEndOfText) {
  const Tokens plain = Plain(12);
  for (const TokenId end : plain) {
    Tokens expected;
    do {
      expected.push_back(plain[expected.size()]);
    } while (expected.back() != end);
    DecoderOptions options = Options();
    options.ends_generation = [end](TokenId token) { return token == end; };
    SpeculativeDecoder decoder = NewDecoder(Of(NewDraftModel()), options);
    RecordingSink sink;
    EXPECT_EQ(*decoder.Generate(kPrompt, 40, sink), FinishReason::kStop);
    EXPECT_EQ(sink.tokens, expected);
    EXPECT_EQ(decoder.stats().rejected, 0);
  }
}

TEST_F(SpeculativeDecoderTest, PromptsMustFit) {
  SpeculativeDecoder decoder = NewDecoder({});
  EXPECT_EQ(decoder.Generate({}, 1).status().code(), StatusCode::kInvalidArgument);
  const Tokens full(64, 1);
  EXPECT_EQ(decoder.Generate(full, 1).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(decoder.Generate(std::span(full).first(63), 5)->size(), 1u);
  // A second generation is another's.
  EXPECT_EQ(decoder.Generate(kPrompt, 1).status().code(), StatusCode::kFailedPrecondition);
  DecoderOptions options = Options();
  options.sampling.temperature = -1;
  EXPECT_EQ(NewDecoder({}, options).Begin(kPrompt, 1).code(), StatusCode::kInvalidArgument);
}

TEST_F(SpeculativeDecoderTest, SourcesAreAskedInTheOrderOfTheOptionsAndOthersNot) {
  Script prediction;
  script_.drafts.push_back(DraftOf({1}));
  prediction.drafts.push_back(DraftOf({2}));
  using enum DraftSourceKind;
  const auto proposals = [&](std::vector<DraftSourceKind> named) {
    DecoderOptions options = Options();
    options.speculation.sources = std::move(named);
    SpeculativeDecoder decoder =
        NewDecoder(Of(NewScripted(), NewDraftModel(), std::unique_ptr<ScriptedDraft>(),
                      std::make_unique<ScriptedDraft>(prediction, kPrediction)),
                   options);
    EXPECT_TRUE(decoder.Begin(kPrompt, 9).ok());
    for (Script* script : {&script_, &prediction}) script->drafts.assign(1, DraftOf({1}));
    std::vector<DraftSourceKind> kinds;
    for (const Draft& draft : decoder.ProposeText(3)) kinds.push_back(draft.source);
    if (decoder.ReadyDraftModel() != nullptr) kinds.push_back(kDraftModel);
    return kinds;
  };
  using Kinds = std::vector<DraftSourceKind>;
  EXPECT_EQ(proposals({kSuffix, kPrediction}), (Kinds{kSuffix, kPrediction}));
  EXPECT_EQ(proposals({kPrediction, kDraftModel, kSuffix}),
            (Kinds{kPrediction, kSuffix, kDraftModel}));
  EXPECT_EQ(proposals({kSuffix}), (Kinds{kSuffix}));
  EXPECT_EQ(proposals({}), Kinds{});
}

TEST_F(SpeculativeDecoderTest, CommittedTokensSayTheirSource) {
  const Tokens plain = Plain(4);
  script_.drafts.push_back(DraftOf({plain[1], plain[2], plain[3] == 1 ? 2 : 1}));
  SpeculativeDecoder decoder = NewDecoder(Of(NewScripted()));
  RecordingSink sink;
  ASSERT_TRUE(decoder.Generate(kPrompt, 5, sink).ok());
  const auto suffix = DraftSourceKind::kSuffix;
  const std::vector<std::optional<DraftSourceKind>> expected = {{}, suffix, suffix, {}, {}};
  EXPECT_EQ(sink.sources, expected);
}

TEST_F(SpeculativeDecoderTest, StreamsAndRulesDrawTheirOwnNoise) {
  DecoderOptions options = Options();
  options.noise_stream = 3;
  Session session = NewSession(kPrompt, {}, 5);
  session.stream = 3;
  const Tokens expected = Continuation(target_setup_.options, std::move(session), 20);
  EXPECT_NE(expected, Plain(20));
  EXPECT_EQ(*NewDecoder(Of(NewDraftModel()), options).Generate(kPrompt, 20), expected);
  options.speculation.rule = VerifyRule::kMaxAcceptance;
  SpeculativeDecoder decoder = NewDecoder(Of(NewDraftModel()), options);
  EXPECT_EQ(decoder.Generate(kPrompt, 20)->size(), 20u);
  EXPECT_EQ(decoder.session().rounds, static_cast<uint64_t>(decoder.stats().rounds));
  // The same model's law: block verification keeps all of it.
  EXPECT_EQ(decoder.stats().rejected, 0);
}

// Every length of a draft, every number of accepted tokens, every place of a stop.
TEST_F(SpeculativeDecoderTest, ARoundIsCountedAsWhatBecameOfEachToken) {
  for (int32_t drafted = 0; drafted <= 3; ++drafted) {
    for (int32_t accepted = 0; accepted <= drafted; ++accepted) {
      for (int32_t stop = 1; stop <= accepted + 2; ++stop) {
        SCOPED_TRACE(std::to_string(drafted) + " " + std::to_string(accepted) + " " +
                     std::to_string(stop));
        SpeculativeDecoder decoder = NewDecoder({});
        ASSERT_TRUE(decoder.Begin(kPrompt, 50).ok());
        Draft draft = DraftOf(Tokens(static_cast<size_t>(drafted), 1));
        draft.source = DraftSourceKind::kPrediction;
        Verification verification;
        verification.accepted = accepted;
        for (int32_t i = 0; i <= accepted; ++i) {
          verification.tokens.push_back(
              {.id = 1, .origin = i < accepted ? TokenOrigin::kAccepted : TokenOrigin::kPlain});
        }
        RecordingSink sink;
        sink.stop_after = stop;
        const int32_t committed = std::min(stop, accepted + 1);
        EXPECT_EQ(decoder.CommitRound(draft, verification, sink), stop <= accepted + 1);
        EXPECT_EQ(sink.tokens.size(), static_cast<size_t>(committed));
        EXPECT_EQ(decoder.session().tokens.size(), kPrompt.size() + sink.tokens.size());
        // A token is right if it was committed, wrong if the target's own stands in its place.
        int64_t right = 0;
        int64_t wrong = 0;
        for (int32_t i = 0; i < drafted; ++i) {
          if (i < accepted && i < committed) ++right;
          if (i >= accepted && committed == accepted + 1) ++wrong;
        }
        const SpeculationStats& stats = decoder.stats();
        EXPECT_EQ(stats.accepted, right);
        EXPECT_EQ(stats.rejected, wrong);
        EXPECT_EQ(stats.drafted, right + wrong);
        EXPECT_EQ(stats.bonus, drafted > 0 && accepted == drafted && committed > drafted ? 1 : 0);
        EXPECT_EQ(stats.rounds, 1);
        EXPECT_DOUBLE_EQ(stats.tau, committed);
        ASSERT_EQ(stats.by_source.size(), drafted > 0 ? 1u : 0u);
        if (drafted > 0) {
          EXPECT_EQ(stats.by_source.at(DraftSourceKind::kPrediction).drafted, right + wrong);
          EXPECT_EQ(stats.by_source.at(DraftSourceKind::kPrediction).accepted, right);
        }
        ASSERT_EQ(stats.by_position.size(), static_cast<size_t>(right + wrong));
        for (int64_t i = 0; i < right + wrong; ++i) {
          EXPECT_EQ(stats.by_position[static_cast<size_t>(i)].drafted, 1);
          EXPECT_EQ(stats.by_position[static_cast<size_t>(i)].accepted, i < right ? 1 : 0);
        }
      }
    }
  }
}

}  // namespace
}  // namespace foretoken
