#include "speculative/prediction_draft.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "unit/speculative/session_fixture.h"

namespace foretoken {
namespace {

using Tokens = std::vector<TokenId>;

// A prompt that shares its tokens with the prediction: only the output counts.
const Tokens kPrompt = {1, 2, 3};

Tokens Range(TokenId begin, TokenId end) {
  Tokens tokens;
  for (TokenId token = begin; token < end; ++token) tokens.push_back(token);
  return tokens;
}

Tokens Joined(Tokens tokens, const Tokens& more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

// What is proposed after an output that is committed at once.
Draft DraftAfter(const Tokens& prediction, const Tokens& output, int32_t k) {
  PredictionDraft source(prediction);
  Session session = NewSession(kPrompt);
  for (TokenId token : output) session.Commit(token);
  return source.GenerateDraft(session, k).value();
}

TEST(PredictionDraftTest, FollowsThePredictionFromItsStart) {
  PredictionDraft source(Range(1, 9));
  Session session = NewSession(kPrompt);
  auto draft = source.GenerateDraft(session, 3);
  ASSERT_TRUE(draft.ok());
  EXPECT_EQ(draft->tokens, (Tokens{1, 2, 3}));
  EXPECT_EQ(draft->confidence.size(), 3u);
  EXPECT_EQ(draft->source, DraftSourceKind::kPrediction);
  EXPECT_TRUE(draft->laws.empty());
  for (TokenId token : {1, 2, 3, 4, 5}) session.Commit(token);
  EXPECT_EQ(source.GenerateDraft(session, 8)->tokens, (Tokens{6, 7, 8}));
  EXPECT_EQ(source.GenerateDraft(session, 8)->tokens, (Tokens{6, 7, 8}));  // asking changes nothing
  EXPECT_TRUE(source.GenerateDraft(session, 0)->tokens.empty());
  EXPECT_TRUE(source.GenerateDraft(session, -1)->tokens.empty());
}

TEST(PredictionDraftTest, FindsBackAfterAnEdit) {
  const Tokens prediction = Range(100, 200);
  EXPECT_TRUE(DraftAfter(prediction, {100, 101, 7}, 2).tokens.empty());
  // Inserted, deleted, replaced; and out of order.
  EXPECT_EQ(DraftAfter(prediction, {100, 101, 7, 8, 102, 103}, 2).tokens, (Tokens{104, 105}));
  EXPECT_EQ(DraftAfter(prediction, {100, 101, 150, 151}, 2).tokens, (Tokens{152, 153}));
  EXPECT_EQ(DraftAfter(prediction, {100, 101, 7, 8, 9, 104, 105}, 2).tokens, (Tokens{106, 107}));
  EXPECT_EQ(DraftAfter(prediction, Joined(Range(100, 150), {110, 111}), 2).tokens,
            (Tokens{112, 113}));
  // One token is not enough.
  EXPECT_TRUE(DraftAfter(prediction, {100, 101, 150}, 2).tokens.empty());
  EXPECT_TRUE(DraftAfter(prediction, {7, 101}, 2).tokens.empty());
}

TEST(PredictionDraftTest, TheNearestAheadIsTakenElseTheNearestBehindUnlessAnotherMatchesFurther) {
  // (5, 6) before 10, 20, 30 and 40.
  const Tokens prediction = {5, 6, 10, 5, 6, 20, 90, 5, 6, 30, 80, 5, 6, 40};
  const Tokens start = {5, 6, 10, 5, 6, 20};
  EXPECT_EQ(DraftAfter(prediction, Joined(start, {7, 5, 6}), 1).tokens, (Tokens{30}));
  EXPECT_EQ(DraftAfter(prediction, Joined(start, {80, 5, 6}), 1).tokens, (Tokens{40}));
  EXPECT_EQ(DraftAfter(prediction, Joined(start, {10, 5, 6}), 1).tokens, (Tokens{20}));
  const Tokens to_the_end = Joined(prediction, {7, 5, 6});
  EXPECT_EQ(DraftAfter(prediction, to_the_end, 1).tokens, (Tokens{40}));
  // (9, 5) is taken to be ahead, before 7; then (9, 5, 6) is behind and only (5, 6) ahead.
  EXPECT_EQ(DraftAfter({1, 9, 5, 6, 10, 2, 3, 9, 5, 7, 4, 5, 6, 20},
                       {1, 9, 5, 6, 10, 2, 3, 8, 9, 5, 6}, 1)
                .tokens,
            (Tokens{10}));
}

TEST(PredictionDraftTest, ProposesNothingWhereThereIsNothing) {
  for (const Tokens& prediction : {Tokens{}, Tokens{5}, Tokens{5, 6}}) {
    EXPECT_TRUE(DraftAfter(prediction, {7, 8, 5, 6}, 4).tokens.empty());
    EXPECT_TRUE(DraftAfter(prediction, {5, 6, 7, 8}, 4).tokens.empty());
  }
  EXPECT_TRUE(DraftAfter({}, {}, 4).tokens.empty());
  const Tokens prediction = Range(100, 110);
  EXPECT_TRUE(DraftAfter(prediction, prediction, 4).tokens.empty());
  EXPECT_EQ(DraftAfter(prediction, Joined(prediction, {102, 103}), 1).tokens, (Tokens{104}));
}

TEST(PredictionDraftTest, ConfidenceGrowsWithTheRunAndFollowsWhatHappened) {
  const Tokens prediction = Range(100, 400);
  const Draft at_start = DraftAfter(prediction, {}, 20);
  EXPECT_TRUE(std::is_sorted(at_start.confidence.begin(), at_start.confidence.end()));
  EXPECT_NEAR(at_start.confidence[0], 0.8, 0.05);
  EXPECT_NEAR(DraftAfter(prediction, {7, 120, 121}, 1).confidence[0], 0.55, 0.05);
  EXPECT_GT(DraftAfter(prediction, Range(100, 300), 1).confidence[0], 0.98);

  // Where pairs have always misled, or never, they are trusted less, or more.
  Tokens misled;
  Tokens led;
  for (TokenId i = 0; i < 25; ++i) {
    misled.insert(misled.end(), {110 + 9 * i, 111 + 9 * i, 7});
    led.push_back(7);
    led = Joined(led, Range(110 + 9 * i, 118 + 9 * i));
  }
  misled.insert(misled.end(), {350, 351});
  led.insert(led.end(), {7, 350, 351});
  EXPECT_LT(DraftAfter(prediction, misled, 1).confidence[0], 0.2);
  EXPECT_GT(DraftAfter(prediction, led, 1).confidence[0], 0.85);
}

// The same rule by a search of the whole prediction after every token.
class ReferencePrediction {
 public:
  explicit ReferencePrediction(Tokens prediction) : prediction_(std::move(prediction)) {}

  Tokens DraftAfter(const Tokens& output, size_t k) {
    for (; seen_ < output.size(); ++seen_) {
      if (is_following_ && place_ < prediction_.size() && prediction_[place_] == output[seen_]) {
        ++place_;
        continue;
      }
      Rejoin({output.begin(), output.begin() + static_cast<ptrdiff_t>(seen_) + 1});
    }
    if (!is_following_) return {};
    const auto at = prediction_.begin() + static_cast<ptrdiff_t>(place_);
    return {at, at + static_cast<ptrdiff_t>(std::min(k, prediction_.size() - place_))};
  }

 private:
  void Rejoin(const Tokens& output) {
    struct Candidate {
      size_t match, is_ahead, distance, place;
    };
    std::optional<Candidate> best;
    for (size_t place = 0; place < prediction_.size(); ++place) {
      size_t match = 0;
      while (match < std::min({place, output.size(), size_t{16}}) &&
             prediction_[place - 1 - match] == output[output.size() - 1 - match]) {
        ++match;
      }
      if (match < 2) continue;
      const bool is_ahead = place >= place_;
      const Candidate candidate{match, is_ahead, is_ahead ? place - place_ : place_ - place, place};
      const auto is_better = [](const Candidate& a, const Candidate& b) {
        if (a.match != b.match) return a.match > b.match;
        return a.is_ahead != b.is_ahead ? a.is_ahead > b.is_ahead : a.distance < b.distance;
      };
      if (!best || is_better(candidate, *best)) best = candidate;
    }
    is_following_ = best.has_value();
    if (best) place_ = best->place;
  }

  Tokens prediction_;
  size_t seen_ = 0;
  size_t place_ = 0;
  bool is_following_ = true;
};

// An answer that is the prediction with spans inserted, deleted and replaced. `source[i]` is where
// token i stands in the prediction, -1 where it is new.
struct EditedText {
  Tokens tokens;
  std::vector<ptrdiff_t> source;
};

EditedText Edit(const Tokens& prediction, std::mt19937& random, unsigned tokens_per_edit) {
  EditedText text;
  size_t i = 0;
  while (i < prediction.size()) {
    if (random() % tokens_per_edit != 0) {
      text.tokens.push_back(prediction[i]);
      text.source.push_back(static_cast<ptrdiff_t>(i++));
      continue;
    }
    const unsigned kind = random() % 3;
    if (kind != 0) i += 1 + random() % 20;
    for (unsigned j = 0; kind != 1 && j <= random() % 20; ++j) {
      text.tokens.push_back(static_cast<TokenId>(random() % 300));
      text.source.push_back(-1);
    }
  }
  return text;
}

struct Counts {
  size_t drafted = 0;
  size_t accepted = 0;
};

// Generates `answer` in rounds of up to `k` drafted tokens and one more.
template <typename Propose>
Counts Generate(const Tokens& answer, const Propose& propose) {
  Counts counts;
  Tokens output;
  while (output.size() < answer.size()) {
    const Tokens draft = propose(output);
    counts.drafted += draft.size();
    size_t accepted = 0;
    while (accepted < draft.size() && output.size() < answer.size() &&
           draft[accepted] == answer[output.size()]) {
      output.push_back(draft[accepted++]);
    }
    counts.accepted += accepted;
    if (output.size() < answer.size()) output.push_back(answer[output.size()]);
  }
  return counts;
}

TEST(PredictionDraftTest, EditedAnswersAreDraftedAlmostAsByOneWhoKnowsTheEdits) {
  constexpr size_t kDraftTokens = 8;
  std::mt19937 random(1);
  for (const unsigned tokens_per_edit : {15u, 40u, 150u}) {
    Counts counts;
    Counts oracle_counts;
    for (int trial = 0; trial < 30; ++trial) {
      Tokens prediction;
      for (int i = 0; i < 600; ++i) prediction.push_back(static_cast<TokenId>(random() % 300));
      const EditedText text = Edit(prediction, random, tokens_per_edit);
      PredictionDraft source(prediction);
      ReferencePrediction reference(prediction);
      Session session = NewSession(kPrompt);
      const Counts own = Generate(text.tokens, [&](const Tokens& output) {
        while (session.history.output_size() < output.size()) {
          session.Commit(output[session.history.output_size()]);
        }
        Draft draft = source.GenerateDraft(session, kDraftTokens).value();
        EXPECT_EQ(draft.tokens, reference.DraftAfter(output, kDraftTokens));
        EXPECT_EQ(draft.confidence.size(), draft.tokens.size());
        return draft.tokens;
      });
      // Knows of every token where it stands, not which edits will come.
      const Counts oracle = Generate(text.tokens, [&](const Tokens& output) {
        const ptrdiff_t last = output.empty() ? -1 : text.source[output.size() - 1];
        if (last < 0 && !output.empty()) return Tokens();
        const auto at = prediction.begin() + last + 1;
        return Tokens(at, at + std::min<ptrdiff_t>(kDraftTokens, prediction.end() - at));
      });
      counts.drafted += own.drafted;
      counts.accepted += own.accepted;
      oracle_counts.drafted += oracle.drafted;
      oracle_counts.accepted += oracle.accepted;
    }
    // It needs two tokens to find back where the oracle needs one.
    EXPECT_GT(static_cast<double>(counts.accepted),
              0.9 * static_cast<double>(oracle_counts.accepted))
        << tokens_per_edit;
    EXPECT_LT(static_cast<double>(counts.drafted),
              1.05 * static_cast<double>(oracle_counts.drafted))
        << tokens_per_edit;
  }
}

TEST(PredictionDraftTest, APairThatIsEverywhereCostsABoundedSearch) {
  // Too many places to look at all: still one of them, or none.
  const Tokens prediction(100'000, 5);
  PredictionDraft source(prediction);
  Session session = NewSession(kPrompt);
  for (int i = 0; i < 2001; ++i) session.Commit(i % 3 == 0 ? 7 : 5);
  const Draft draft = source.GenerateDraft(session, 4).value();
  EXPECT_EQ(draft.tokens, (Tokens{5, 5, 5, 5}));
}

}  // namespace
}  // namespace foretoken
