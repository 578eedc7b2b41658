#include "speculative/draft_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <numeric>
#include <random>
#include <span>
#include <vector>

namespace foretoken {
namespace {

// Sequences that go on for ever, a true cost curve and one rate of acceptance.
class DraftBudgetTest : public ::testing::Test {
 protected:
  struct Step {
    std::vector<DraftGrant> grants;
    int32_t granted = 0;
    double us = 0;
    double plain_us = 0;  // of the same tokens
  };

  void AddSequences(int32_t count, SpeculationMode mode = SpeculationMode::kAuto,
                    int64_t tenant = 0) {
    while (acceptance_.size() <= static_cast<size_t>(tenant)) acceptance_.emplace_back();
    for (int32_t i = 0; i < count; ++i) {
      offers_.push_back({{.max_tokens = 4, .draft_model = 0}});
      sequences_.push_back({.tenant = tenant,
                            .mode = mode,
                            .fixed_tokens = 3,
                            .acceptance = &acceptance_[static_cast<size_t>(tenant)],
                            .request = &requests_.emplace_back(),
                            .remaining_tokens = 1000,
                            .offers = offers_.back()});
    }
  }
  void SetOffers(size_t sequence, std::vector<DraftOffer> offers) {
    offers_[sequence] = std::move(offers);
    sequences_[sequence].offers = offers_[sequence];
  }

  Step Run(int32_t other_rows = 0) {
    const auto n = static_cast<int32_t>(sequences_.size());
    const auto chosen = budget_.Choose(sequences_, other_rows, max_rows_);
    Step step{.grants = {chosen.begin(), chosen.end()}};
    std::vector<DraftOutcome> outcomes;
    std::vector<int32_t> draft_rows;
    int32_t accepted_of_all = 0;
    for (const DraftGrant& grant : step.grants) {
      step.granted += grant.tokens;
      int32_t accepted = 0;
      while (accepted < grant.tokens && uniform_(random_) < rate_) ++accepted;
      accepted_of_all += accepted;
      outcomes.push_back({grant.tokens, accepted});
      if (draft_rows.size() < static_cast<size_t>(grant.tokens)) {
        draft_rows.resize(static_cast<size_t>(grant.tokens), 0);
      }
      for (int32_t depth = 0; depth < grant.tokens; ++depth) {
        ++draft_rows[static_cast<size_t>(depth)];
      }
    }
    std::vector<DraftForward> forwards;
    for (const int32_t rows : draft_rows) {
      const bool is_slow = draft_forwards_++ % 5 == 4;
      forwards.push_back(
          {0, rows, draft_cost_ * target_us_(rows) * (is_slow ? draft_outlier_ : 1)});
      step.us += forwards.back().us;
    }
    const int32_t rows = n + other_rows + step.granted;
    step.us += target_us_(rows);
    step.plain_us = target_us_(n + other_rows) + target_us_(n) * accepted_of_all / std::max(n, 1);
    budget_.Observe(sequences_, {rows, target_us_(rows), forwards, outcomes});
    return step;
  }

  DraftBudget budget_;
  std::deque<AcceptanceModel> acceptance_;  // by tenant
  std::deque<RequestAcceptance> requests_;
  std::deque<std::vector<DraftOffer>> offers_;
  std::vector<BudgetSequence> sequences_;
  std::function<double(int32_t)> target_us_ = [](int32_t) { return 10e3; };
  double draft_cost_ = 0.1;
  double draft_outlier_ = 1;  // of every fifth forward of the draft model
  int64_t draft_forwards_ = 0;
  double rate_ = 0.8;
  int32_t max_rows_ = 64;
  std::mt19937 random_{1};
  std::uniform_real_distribution<double> uniform_;
};

// Every row costs as much as the first: speculation can only lose.
double Linear(int32_t rows) {
  return 10e3 * rows;
}

TEST_F(DraftBudgetTest, FixedIsGrantedAlwaysAndOffNever) {
  target_us_ = Linear;
  rate_ = 0;
  AddSequences(2, SpeculationMode::kFixed);
  AddSequences(1, SpeculationMode::kOff);
  SetOffers(1, {{.source = DraftSourceKind::kSuffix}, {.max_tokens = 2, .draft_model = 0}});
  for (int i = 0; i < 300; ++i) {
    const Step step = Run();
    ASSERT_EQ(step.grants[0].tokens, 3);
    ASSERT_EQ(step.grants[0].offer, 0);
    ASSERT_EQ(step.grants[1].tokens, 2);
    ASSERT_EQ(step.grants[1].offer, 1);
    ASSERT_EQ(step.grants[2].tokens, 0);
  }
  EXPECT_EQ(budget_.metrics().drafted_tokens, 300 * 5);
  EXPECT_EQ(budget_.metrics().accepted_tokens, 0);
}

TEST_F(DraftBudgetTest, OffIsOffWhereItWouldPay) {
  AddSequences(2, SpeculationMode::kOff);
  for (int i = 0; i < 300; ++i) ASSERT_EQ(Run().granted, 0);
  EXPECT_EQ(budget_.metrics().drafting_steps, 0);
  EXPECT_EQ(budget_.metrics().steps, 300);
}

TEST_F(DraftBudgetTest, DraftsWhereItPays) {
  for (const int32_t n : {1, 4}) {
    budget_ = {};
    sequences_.clear();
    AddSequences(n);
    double us = 0;
    double plain_us = 0;
    for (int i = 0; i < 1000; ++i) {
      const Step step = Run();
      if (i < 300) continue;
      us += step.us;
      plain_us += step.plain_us;
    }
    // Four drafted tokens: 1 + 0.8 + ... + 0.8^4 = 3.36 tokens for 1.4 times the time.
    EXPECT_GT(plain_us / us, 0.95 * 3.36 / 1.4) << n << " sequences";
  }
}

// What is lost against plain decoding is the allowance, from the first step on.
TEST_F(DraftBudgetTest, TrialsAreBoundedWhereNothingPays) {
  for (const int32_t n : {1, 4}) {
    budget_ = {};
    acceptance_.assign(1, {});
    sequences_.clear();
    target_us_ = Linear;
    rate_ = 0;
    draft_cost_ = 0.5;
    AddSequences(n);
    double us = 0;
    double plain_us = 0;
    int drafting = 0;
    for (int i = 0; i < 5000; ++i) {
      const Step step = Run();
      us += step.us;
      plain_us += step.plain_us;
      ASSERT_LE(us - plain_us, 0.016 * us) << "step " << i;
      if (i >= 1000 && step.granted > 0) ++drafting;
    }
    EXPECT_LT(drafting, 80) << n << " sequences";
    EXPECT_GT(budget_.metrics().off_reasons[static_cast<size_t>(OffReason::kDoesNotPay)], 5000 / 2);
  }
}

// What a trial cost is charged as it was, not as it should have been.
TEST_F(DraftBudgetTest, TrialsThatGoWrongAreBoundedToo) {
  target_us_ = Linear;
  rate_ = 0;
  draft_cost_ = 0.5;
  draft_outlier_ = 50;
  AddSequences(1);
  double us = 0;
  double plain_us = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Step step = Run();
    us += step.us;
    plain_us += step.plain_us;
  }
  EXPECT_GT(budget_.metrics().drafting_steps, 10);
  EXPECT_LE(us - plain_us, 0.016 * us);
}

TEST_F(DraftBudgetTest, PlainDecodingIsMeasuredAgainTheSoonerTheLessIsGained) {
  AddSequences(1);
  rate_ = 1;
  for (const bool gains_much : {true, false}) {
    budget_ = {};
    acceptance_[0] = {};
    // Five tokens for 1.4 times the time, or for 4.6 times.
    target_us_ = [=](int32_t rows) { return gains_much ? 10e3 : 10e3 + 8e3 * (rows - 1); };
    int since_plain = 0;
    int longest = 0;
    for (int i = 0; i < 2000; ++i) {
      since_plain = Run().granted == 0 ? 0 : since_plain + 1;
      if (i >= 1000) longest = std::max(longest, since_plain);
    }
    EXPECT_EQ(longest > 200, gains_much) << longest;
    EXPECT_GE(longest, 64);
    EXPECT_LE(longest, 256);
  }
}

// A plain step with a prompt in it does not tell what plain decoding costs.
TEST_F(DraftBudgetTest, PromptsDoNotStandInForAPlainStep) {
  AddSequences(1);
  rate_ = 1;
  int without_prompt = 0;
  for (int i = 0; i < 2000; ++i) {
    max_rows_ = i % 50 == 0 ? 21 : 64;
    const Step step = Run(i % 50 == 0 ? 20 : 0);
    if (i >= 1000 && i % 50 != 0 && step.granted == 0) ++without_prompt;
  }
  EXPECT_GE(without_prompt, 1000 / 256);
}

TEST_F(DraftBudgetTest, WhatIsTriedMayTurnOutToPay) {
  AddSequences(1);
  rate_ = 0;
  for (int i = 0; i < 2000; ++i) Run();
  rate_ = 0.9;
  int64_t granted = 0;
  for (int i = 0; i < 2000; ++i) {
    const Step step = Run();
    if (i >= 1000) granted += step.granted;
  }
  EXPECT_GT(granted, 3000);
}

TEST_F(DraftBudgetTest, RowsAreNeverMoreThanThereIsRoomFor) {
  AddSequences(3);
  AddSequences(2, SpeculationMode::kFixed);
  for (int i = 0; i < 2000; ++i) {
    max_rows_ = static_cast<int32_t>(5 + random_() % 16);
    const auto other_rows = static_cast<int32_t>(random_() % 3 == 0 ? random_() % 8 : 0);
    if (5 + other_rows > max_rows_) continue;
    const Step step = Run(other_rows);
    ASSERT_LE(5 + other_rows + step.granted, max_rows_);
  }
  EXPECT_GT(budget_.metrics().drafted_tokens, 1000);
}

TEST_F(DraftBudgetTest, APrefillDoesNotStopDrafting) {
  target_us_ = [](int32_t rows) { return 10e3 + (rows > 32 ? 300.0 * (rows - 32) : 0); };
  AddSequences(2);
  max_rows_ = 512;
  for (int i = 0; i < 500; ++i) Run(i % 4 == 0 ? 100 : 0);
  int64_t with = 0;
  int64_t without = 0;
  for (int i = 0; i < 400; ++i) {
    with += Run(100).granted;
    without += Run().granted;
  }
  EXPECT_GT(without, 400 * 4);
  EXPECT_GT(with, 400 * 4);
  max_rows_ = 102;
  const auto limit = static_cast<size_t>(OffReason::kLimit);
  const int64_t before = budget_.metrics().off_reasons[limit];
  EXPECT_EQ(Run(100).granted, 0);
  EXPECT_EQ(budget_.metrics().off_reasons[limit], before + 2);
}

TEST_F(DraftBudgetTest, TenantsKeepTheirFloor) {
  AddSequences(6, SpeculationMode::kAuto, 0);
  AddSequences(1, SpeculationMode::kAuto, 1);
  max_rows_ = 7 + 4;  // room for four positions
  // The second tenant's texts are poorer, so that by merit it would get none.
  RequestAcceptance request;
  for (int i = 0; i < 100; ++i) {
    acceptance_[0].Observe({}, {4, 4, {}}, request);
    acceptance_[1].Observe({}, {4, i % 2, {}}, request);
  }
  int64_t all = 0;
  int64_t floored = 0;
  constexpr int kSteps = 200;
  for (int i = 0; i < kSteps; ++i) {
    // Each keeps its rate.
    const auto grants = budget_.Choose(sequences_, 0, max_rows_);
    std::vector<DraftOutcome> outcomes;
    for (size_t s = 0; s < grants.size(); ++s) {
      outcomes.push_back({grants[s].tokens, s < 6 ? grants[s].tokens : i % 2});
      outcomes.back().accepted = std::min(outcomes.back().accepted, grants[s].tokens);
      all += grants[s].tokens;
    }
    floored += grants[6].tokens;
    int32_t rows = 7;
    for (const DraftGrant& grant : grants) rows += grant.tokens;
    budget_.Observe(sequences_, {rows, 10e3, {}, outcomes});
  }
  EXPECT_GT(all, kSteps * 2);
  EXPECT_GE(floored, all / 5);  // of a floor of a quarter, trials and plain steps aside
  EXPECT_GT(budget_.metrics().off_reasons[static_cast<size_t>(OffReason::kFloor)], kSteps / 2);
}

TEST_F(DraftBudgetTest, NothingOfferedIsPlain) {
  AddSequences(2);
  SetOffers(0, {});
  SetOffers(1, {{.source = DraftSourceKind::kSuffix, .max_tokens = 0}});
  for (int i = 0; i < 100; ++i) ASSERT_EQ(Run().granted, 0);
  EXPECT_EQ(budget_.metrics().off_reasons[static_cast<size_t>(OffReason::kNoDraft)], 200);
  sequences_[0].limited = true;
  Run();
  EXPECT_EQ(budget_.metrics().off_reasons[static_cast<size_t>(OffReason::kLimit)], 1);
  sequences_.clear();
  EXPECT_TRUE(Run().grants.empty());
  EXPECT_TRUE(Run(30).grants.empty());
}

TEST_F(DraftBudgetTest, OnlyWhatWasDraftedIsLearnedFrom) {
  AddSequences(2, SpeculationMode::kFixed);
  budget_.Choose(sequences_, 0, max_rows_);
  // One of the three tokens granted, of the first sequence; of the second nothing is reported.
  const std::vector<DraftOutcome> outcomes = {{1, 1}};
  budget_.Observe(sequences_, {3, 10e3, {}, outcomes});
  EXPECT_EQ(acceptance_[0].Evidence({}), 1);
  EXPECT_EQ(budget_.metrics().drafted_tokens, 1);
  EXPECT_EQ(budget_.metrics().accepted_tokens, 1);

  budget_.Choose(sequences_, 0, max_rows_);
  budget_.Observe(sequences_, {2, 10e3, {}, {}});
  EXPECT_EQ(acceptance_[0].Evidence({}), 1);
  EXPECT_EQ(budget_.metrics().steps, 2);
  EXPECT_EQ(budget_.metrics().drafting_steps, 1);
}

TEST_F(DraftBudgetTest, ATenantsResultsAreNotAnothers) {
  AddSequences(1, SpeculationMode::kFixed, 0);
  AddSequences(1, SpeculationMode::kOff, 1);
  for (int i = 0; i < 100; ++i) Run();
  EXPECT_GT(acceptance_[0].Evidence({}), 100);
  EXPECT_EQ(acceptance_[1].Evidence({}), 0);
  EXPECT_EQ(acceptance_[1].Rate({}), AcceptanceModel().Rate({}));
}

TEST_F(DraftBudgetTest, CountersAddUp) {
  AddSequences(3);
  AddSequences(1, SpeculationMode::kOff);
  int64_t granted = 0;
  for (int i = 0; i < 500; ++i) granted += Run().granted;
  const DraftBudgetMetrics& metrics = budget_.metrics();
  EXPECT_EQ(metrics.drafted_tokens, granted);
  const auto& chosen = metrics.chosen_tokens;
  const auto& off = metrics.off_reasons;
  EXPECT_EQ(std::accumulate(chosen.begin(), chosen.end(), int64_t{0}), 3 * 500);
  EXPECT_EQ(std::accumulate(off.begin(), off.end(), int64_t{0}), chosen[0]);
  // Forwards take the same each time, so what was predicted is what was measured, and acceptance
  // is near.
  EXPECT_NEAR(metrics.predicted_us / metrics.measured_us, 1, 0.05);
  EXPECT_NEAR(metrics.predicted_accepted / static_cast<double>(metrics.accepted_tokens), 1, 0.1);
}

}  // namespace
}  // namespace foretoken
