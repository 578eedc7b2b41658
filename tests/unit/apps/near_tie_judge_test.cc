#include "near_tie_judge.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "sampling/gumbel_noise.h"

namespace foretoken {
namespace {

constexpr int32_t kVocabulary = 8;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// After n cached tokens the most likely token is Best(n) and the next one is Second(n), which is
// `gap` behind; in a forward of several rows it gains `batch_shift`: a back end that is not
// batch-invariant. Refuses what breaks the ModelBackend contract.
class ShapedBackend : public ModelBackend {
 public:
  static TokenId Best(size_t n) { return static_cast<TokenId>((3 * n + 1) % kVocabulary); }
  static TokenId Second(size_t n) { return static_cast<TokenId>((3 * n + 2) % kVocabulary); }

  ShapedBackend(float gap, float batch_shift) : gap_(gap), batch_shift_(batch_shift) {
    description_ = {.vocabulary_size = kVocabulary,
                    .context_tokens = 64,
                    .cache_tokens = 64,
                    .max_batch_rows = 4,
                    .max_logits_rows = 4,
                    .max_sequences = 2,
                    .can_truncate = true,
                    .batch_invariant = false};
  }

  const BackendDescription& description() const override { return description_; }
  Result<LogitsRows> Decode(std::span<const BatchRow> rows) override {
    if (rows.size() > 4) return InvalidArgumentError("too many rows");
    logits_.clear();
    int32_t count = 0;
    Sequence& sequence = Of(rows.front().sequences.front());
    std::vector<TokenId>& cached = sequence.cached;
    for (const BatchRow& row : rows) {
      if (row.position != static_cast<int32_t>(cached.size())) {
        return InvalidArgumentError("a gap in the positions");
      }
      cached.push_back(row.token);
      if (!row.wants_logits) continue;
      ++count;
      std::vector<float> logits(kVocabulary, 0.0f);
      logits[static_cast<size_t>(Best(cached.size()))] = 5;
      logits[static_cast<size_t>(Second(cached.size()))] =
          5 - gap_ + (rows.size() > 1 && sequence.prefilled ? batch_shift_ : 0);
      logits_.insert(logits_.end(), logits.begin(), logits.end());
    }
    if (count > 0) sequence.prefilled = true;
    forwards.push_back(static_cast<int32_t>(rows.size()));
    return LogitsRows(logits_.data(), count, kVocabulary);
  }
  Status Truncate(SequenceId sequence, int32_t length) override {
    std::vector<TokenId>& cached = Of(sequence).cached;
    if (static_cast<size_t>(length) < cached.size()) cached.resize(static_cast<size_t>(length));
    if (length == 0) Of(sequence) = Sequence();
    return OkStatus();
  }
  Status Fork(SequenceId, SequenceId, int32_t) override { return UnimplementedError("no fork"); }
  Result<std::vector<uint8_t>> SaveSequence(SequenceId) override {
    return UnimplementedError("no saving");
  }
  Status RestoreSequence(SequenceId, std::span<const uint8_t>) override {
    return UnimplementedError("no restoring");
  }
  Status UseAdapter(const LoadedAdapter*, float) override {
    return UnimplementedError("no adapters");
  }

  bool empty() const { return sequences_[0].cached.empty() && sequences_[1].cached.empty(); }
  std::vector<int32_t> forwards;  // rows of each

 private:
  struct Sequence {
    std::vector<TokenId> cached;
    bool prefilled = false;
  };
  Sequence& Of(SequenceId sequence) { return sequences_[static_cast<size_t>(sequence)]; }

  const float gap_;
  const float batch_shift_;
  BackendDescription description_;
  std::array<Sequence, 2> sequences_;
  std::vector<float> logits_;
};

// A prompt of six tokens, an answer of eight. The speculative run took the second most likely token
// at `position`; its rounds committed 1 (the prompt's), 3, 1, 2 and 1 tokens.
RunPair Runs(size_t position) {
  RunPair runs;
  runs.prompt = {1, 2, 3, 4, 5, 6};
  for (size_t i = 0; i < 8; ++i) runs.plain.push_back(ShapedBackend::Best(6 + i));
  runs.speculative = runs.plain;
  runs.speculative[position] = ShapedBackend::Second(6 + position);
  runs.rounds = {{.rows = 1, .committed = 1},
                 {.rows = 4, .committed = 3},
                 {.rows = 1, .committed = 1},
                 {.rows = 3, .committed = 2},
                 {.rows = 2, .committed = 1}};
  runs.sampling.temperature = 0;
  runs.seed = 3;
  return runs;
}

TEST(NearTieJudgeTest, ExcusesATieThatTheShapeCanTurn) {
  for (const size_t position : {1, 2, 3, 5, 6, 7}) {
    ShapedBackend backend(/*gap=*/0.01f, /*batch_shift=*/0.02f);
    const auto verdict = JudgeNearTie(backend, Runs(position));
    ASSERT_TRUE(verdict.ok()) << verdict.status().message();
    EXPECT_EQ(verdict->position, static_cast<int32_t>(position));
    EXPECT_EQ(verdict->plain_token, ShapedBackend::Best(6 + position));
    EXPECT_EQ(verdict->speculative_token, ShapedBackend::Second(6 + position));
    // Only the row of that position has this gap between these tokens.
    EXPECT_NEAR(verdict->score_gap, 0.01, 1e-4) << position;
    EXPECT_GT(verdict->shape_difference, 0.005);
    EXPECT_LT(verdict->shape_difference, 0.02);
    EXPECT_TRUE(verdict->excused) << position;
    EXPECT_TRUE(backend.empty()) << "the sequence is left empty";
  }
}

TEST(NearTieJudgeTest, ReplaysPrefillPlainStepsAndRounds) {
  ShapedBackend backend(0.01f, 0.02f);
  ASSERT_TRUE(JudgeNearTie(backend, Runs(5)).ok());
  EXPECT_EQ(backend.forwards, (std::vector<int32_t>{4, 2, 1, 1, 1, 1, 1,  // plain, to position 5
                                                    4, 2, 4, 1, 3}));     // speculative
}

TEST(NearTieJudgeTest, DoesNotExcuseWhatTheShapeCannotTurn) {
  struct Case {
    const char* why;
    size_t position;
    float gap;
    float batch_shift;
  };
  const Case cases[] = {
      {"the back end is batch-invariant", 2, 0.01f, 0.0f},
      {"no tie at all", 2, 1.0f, 0.02f},
      {"a plain round has one shape", 4, 0.01f, 0.02f},
      {"the prompt's row has one shape", 0, 0.01f, 0.02f},
  };
  for (const Case& c : cases) {
    ShapedBackend backend(c.gap, c.batch_shift);
    const auto verdict = JudgeNearTie(backend, Runs(c.position));
    ASSERT_TRUE(verdict.ok()) << c.why;
    EXPECT_FALSE(verdict->excused) << c.why;
    EXPECT_NEAR(verdict->score_gap, c.gap, 1e-4) << c.why;
  }
}

TEST(NearTieJudgeTest, ScoresHoldTheRequestsNoiseAndTemperature) {
  RunPair runs = Runs(2);
  runs.sampling.temperature = 0.5f;
  ShapedBackend backend(0.25f, 0.0f);
  const auto verdict = JudgeNearTie(backend, runs);
  ASSERT_TRUE(verdict.ok());
  const RowNoise noise(runs.seed, /*stream=*/0, /*position=*/8);
  const double best = noise.Gumbel(ShapedBackend::Best(8));
  const double second = noise.Gumbel(ShapedBackend::Second(8)) - 0.25 / 0.5;
  EXPECT_NEAR(verdict->score_gap, std::abs(best - second), 1e-5);
}

TEST(NearTieJudgeTest, AFilterThatKeepsATokenInOneShapeOnlyIsAnExcuse) {
  RunPair runs = Runs(2);
  runs.sampling.temperature = 1;
  runs.sampling.top_k = 1;
  ShapedBackend turns(0.01f, 0.02f);
  const auto turned = JudgeNearTie(turns, runs);
  ASSERT_TRUE(turned.ok());
  EXPECT_EQ(turned->shape_difference, kInfinity);
  EXPECT_TRUE(turned->excused);

  // Dropped in both shapes: no shape could have chosen it.
  ShapedBackend keeps(1.0f, 0.02f);
  const auto kept = JudgeNearTie(keeps, runs);
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(kept->score_gap, kInfinity);
  EXPECT_FALSE(kept->excused);
}

TEST(NearTieJudgeTest, PenaltiesCountForTheScore) {
  RunPair runs = Runs(2);
  const TokenId best = ShapedBackend::Best(8);
  runs.plain[0] = best;  // said once: the presence penalty applies
  runs.speculative[0] = best;
  runs.sampling.presence_penalty = 0.5f;
  ShapedBackend backend(0.25f, 0.0f);
  const auto verdict = JudgeNearTie(backend, runs);
  ASSERT_TRUE(verdict.ok());
  EXPECT_NEAR(verdict->score_gap, 0.25, 1e-5) << "5 - 0.5 against 5 - 0.25";
}

TEST(NearTieJudgeTest, ARunThatEndedEarlyIsNotExcused) {
  RunPair runs = Runs(2);
  runs.speculative = {runs.plain.begin(), runs.plain.begin() + 3};
  ShapedBackend backend(0.01f, 0.02f);
  const auto verdict = JudgeNearTie(backend, runs);
  ASSERT_TRUE(verdict.ok());
  EXPECT_EQ(verdict->position, 3);
  EXPECT_EQ(verdict->speculative_token, -1);
  EXPECT_FALSE(verdict->excused);
}

TEST(NearTieJudgeTest, WrongInputIsAnError) {
  ShapedBackend backend(0.01f, 0.02f);
  RunPair equal = Runs(2);
  equal.speculative = equal.plain;
  EXPECT_EQ(JudgeNearTie(backend, equal).status().code(), StatusCode::kInvalidArgument);
  RunPair short_record = Runs(7);
  short_record.rounds.resize(2);
  EXPECT_EQ(JudgeNearTie(backend, short_record).status().code(), StatusCode::kInternal);
}

TEST(NearTieJudgeTest, InBatchesTriesShapesUntilOneExcuses) {
  for (const size_t position : {1, 5, 7}) {
    ShapedBackend backend(/*gap=*/0.01f, /*batch_shift=*/0.02f);
    const auto verdict = JudgeNearTieInBatches(backend, Runs(position), std::array{3, 2});
    ASSERT_TRUE(verdict.ok()) << verdict.status().message();
    EXPECT_EQ(verdict->position, static_cast<int32_t>(position));
    EXPECT_NEAR(verdict->score_gap, 0.01, 1e-4) << position;
    EXPECT_GT(verdict->shape_difference, 0.005);
    EXPECT_TRUE(verdict->excused) << position;
    EXPECT_TRUE(backend.empty()) << "the sequences are left empty";
  }
  ShapedBackend backend(0.01f, 0.02f);
  ASSERT_TRUE(JudgeNearTieInBatches(backend, Runs(2), std::array{1, 3, 2}).ok());
  EXPECT_EQ(backend.forwards, (std::vector<int32_t>{4, 2, 1, 1,              // plain
                                                    4, 2,                    // the neighbour
                                                    1, 1, 1, 1, 1, 1, 1, 1,  // no other shape
                                                    2, 3, 3}));              // excused: no more
}

TEST(NearTieJudgeTest, InBatchesThePromptsRowHasShapesToo) {
  ShapedBackend backend(0.01f, 0.02f);
  const auto verdict = JudgeNearTieInBatches(backend, Runs(0), std::array{1});
  ASSERT_TRUE(verdict.ok()) << verdict.status().message();
  EXPECT_EQ(verdict->position, 0);
  EXPECT_TRUE(verdict->excused);
}

TEST(NearTieJudgeTest, InBatchesExcusesNoMoreThanTheShapesDo) {
  ShapedBackend invariant(0.01f, 0.0f);
  ShapedBackend no_tie(1.0f, 0.02f);
  for (ShapedBackend* backend : {&invariant, &no_tie}) {
    const auto verdict = JudgeNearTieInBatches(*backend, Runs(2), std::array{3, 2});
    ASSERT_TRUE(verdict.ok());
    EXPECT_FALSE(verdict->excused);
  }
  RunPair ended = Runs(2);
  ended.speculative.resize(2);
  const auto verdict = JudgeNearTieInBatches(invariant, ended, std::array{3});
  ASSERT_TRUE(verdict.ok());
  EXPECT_EQ(verdict->speculative_token, -1);
  EXPECT_FALSE(verdict->excused);
}

TEST(NearTieJudgeTest, FindsTheFirstDifference) {
  const std::vector<TokenId> a = {1, 2, 3};
  EXPECT_EQ(FirstDifference(a, a), std::nullopt);
  EXPECT_EQ(FirstDifference(a, std::vector<TokenId>{1, 5, 3}), 1);
  EXPECT_EQ(FirstDifference(a, std::vector<TokenId>{1, 2}), 2);
  EXPECT_EQ(FirstDifference(std::vector<TokenId>{}, a), 0);
}

TEST(NearTieJudgeTest, ReadsARoundsShapeFromItsTokens) {
  const auto round = [](std::vector<TokenOrigin> origins) {
    TokensEvent event;
    for (const TokenOrigin origin : origins) event.tokens.emplace_back().origin = origin;
    return event;
  };
  using enum TokenOrigin;
  EXPECT_EQ(ShapeOfRound(round({kPlain}), 4).rows, 1);
  EXPECT_EQ(ShapeOfRound(round({kAccepted, kAccepted, kBonus}), 4).rows, 3);
  EXPECT_EQ(ShapeOfRound(round({kAccepted, kCorrected}), 4).rows, 5);
  EXPECT_EQ(ShapeOfRound(round({kAccepted, kAccepted, kCorrected}), 1).rows, 4);
  EXPECT_EQ(ShapeOfRound(round({kAccepted, kAccepted, kCorrected}), 1).committed, 3);
}

}  // namespace
}  // namespace foretoken
