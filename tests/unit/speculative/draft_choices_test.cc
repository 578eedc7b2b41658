#include "speculative/draft_choices.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace foretoken {
namespace {

// A target of 10 ms and 1 ms a row, and a draft model of a tenth of that.
ForwardCosts KnownCosts() {
  ForwardCosts costs;
  costs.drafts.resize(1);
  for (int i = 0; i < 200; ++i) {
    for (int32_t rows = 1; rows <= 64; rows = rows < 16 ? rows + 1 : rows * 2) {
      costs.target.Observe(rows, 10e3 + 1e3 * rows);
      costs.drafts[0].Observe(rows, 1e3 + 100 * rows);
    }
  }
  return costs;
}

class DraftChoicesTest : public ::testing::Test {
 protected:
  BudgetSequence Sequence(std::span<const DraftOffer> offers) {
    return {.acceptance = &acceptance_,
            .request = &request_,
            .prompt_tokens = 20,
            .generated_tokens = 10,
            .remaining_tokens = 100,
            .offers = offers};
  }
  void Prepare(std::vector<BudgetSequence> sequences, int32_t other_rows = 0,
               int32_t max_rows = 512) {
    sequences_ = std::move(sequences);
    grants_.assign(sequences_.size(), {});
    choices_.Prepare(sequences_, costs_, other_rows, max_rows, grants_);
  }

  AcceptanceModel acceptance_;
  RequestAcceptance request_;
  const ForwardCosts costs_ = KnownCosts();
  std::vector<BudgetSequence> sequences_;
  std::vector<DraftGrant> grants_;
  DraftChoices choices_;
};

TEST(ForwardCostsTest, ADraftModelThatNeverRanIsAGuessWithinWideBounds) {
  ForwardCosts costs = KnownCosts();
  const ForwardCost unseen = costs.Draft(1, 4);
  EXPECT_GT(unseen.us, unseen.least_us);
  EXPECT_LT(unseen.us, unseen.most_us);
  EXPECT_LE(unseen.most_us, costs.target.Predict(4).us * 1.001);
  EXPECT_NEAR(costs.Draft(0, 4).us, 1.4e3, 15);
  costs.drafts.emplace_back();  // there, but it has not run either
  EXPECT_EQ(costs.Draft(1, 4).us, unseen.us);
}

TEST_F(DraftChoicesTest, FixedDraftsAreGrantedAsFarAsThereIsRoom) {
  const std::vector<DraftOffer> offers = {{.source = DraftSourceKind::kSuffix, .max_tokens = 0},
                                          {.max_tokens = 5, .draft_model = 0}};
  BudgetSequence fixed = Sequence(offers);
  fixed.mode = SpeculationMode::kFixed;
  fixed.fixed_tokens = 3;
  BudgetSequence longer = fixed;
  longer.fixed_tokens = 7;
  BudgetSequence off = Sequence(offers);
  off.mode = SpeculationMode::kOff;
  Prepare({fixed, off, longer, fixed}, 10, 10 + 4 + 9);
  EXPECT_EQ(grants_[0].offer, 1);  // the first with something to say
  EXPECT_EQ(grants_[0].tokens, 3);
  EXPECT_EQ(grants_[1].tokens, 0);
  EXPECT_EQ(grants_[2].tokens, 5);
  EXPECT_EQ(grants_[3].tokens, 1);
  EXPECT_TRUE(choices_.options().empty());
  EXPECT_EQ(choices_.plain_rows(), 4 + 9);
  EXPECT_EQ(choices_.step_rows(), 10 + 4 + 9);
  EXPECT_EQ(choices_.costs().target.size(), 1u);
  EXPECT_EQ(choices_.costs().forced_rows[0], (std::vector<int32_t>{3, 2, 2, 1, 1}));
  // The target's 13 rows and the draft model's five forwards.
  EXPECT_NEAR(choices_.plain_us(), 23e3 + 1.3e3 + 2 * 1.2e3 + 2 * 1.1e3, 200);
}

TEST_F(DraftChoicesTest, OptionsAreWhatAutoSequencesAreOffered) {
  for (int i = 0; i < 20; ++i) {
    acceptance_.Observe({DraftSourceKind::kSuffix, TemperatureBand::kZero}, {4, 3, {}}, request_);
  }
  const std::vector<float> confidences = {0.9f, 0.8f, 0.2f};
  const std::vector<DraftOffer> offers = {
      {.source = DraftSourceKind::kPrediction, .max_tokens = 0},
      {.source = DraftSourceKind::kSuffix, .max_tokens = 3, .confidences = confidences},
      {.max_tokens = 4, .draft_model = 0}};
  BudgetSequence off = Sequence(offers);
  off.mode = SpeculationMode::kOff;
  BudgetSequence other = Sequence(offers);
  other.tenant = 7;
  other.weight = 2;
  Prepare({Sequence(offers), off, other});
  ASSERT_EQ(choices_.options().size(), 4u);
  for (size_t o = 0; o < 4; ++o) {
    const DraftOption& option = choices_.options()[o];
    EXPECT_EQ(option.sequence, o < 2 ? 0 : 2);
    EXPECT_EQ(option.tenant, o < 2 ? 0 : 1);
    EXPECT_EQ(choices_.OfferIndex(o), o % 2 == 0 ? 1 : 2);
    EXPECT_EQ(option.draft_model, o % 2 == 0 ? -1 : 0);
    const DraftOffer& offer = choices_.OfferOf(o);
    std::vector<float> survival(static_cast<size_t>(offer.max_tokens));
    acceptance_.PredictSurvival(choices_.ClassOf(o), offer.confidences, request_, survival);
    ASSERT_EQ(option.survival.size(), survival.size());
    for (size_t depth = 0; depth < survival.size(); ++depth) {
      EXPECT_EQ(option.survival[depth], survival[depth]);
      // Nothing is sure of a source that was never seen.
      EXPECT_LT(option.sure_survival[depth], survival[depth]);
      EXPECT_EQ(option.sure_survival[depth] > 0, o % 2 == 0);
    }
  }
  ASSERT_EQ(choices_.costs().tenant_weights.size(), 2u);
  EXPECT_EQ(choices_.costs().tenant_weights[1], 2);
}

TEST_F(DraftChoicesTest, EveryNumberOfRowsHasItsPrice) {
  const std::vector<DraftOffer> offers = {{.max_tokens = 4, .draft_model = 0}};
  const std::vector<BudgetSequence> sequences = {Sequence(offers), Sequence(offers)};
  Prepare(sequences);
  ASSERT_EQ(choices_.costs().target.size(), 1u + 8u);
  for (size_t x = 0; x <= 8; ++x) {
    const auto rows = static_cast<int32_t>(2 + x);
    EXPECT_EQ(choices_.costs().target[x].us, costs_.target.Predict(rows).us);
  }
  ASSERT_EQ(choices_.costs().drafts[0].size(), 1u + 2u);
  EXPECT_EQ(choices_.costs().drafts[0][0].us, 0);
  EXPECT_EQ(choices_.costs().drafts[0][2].us, costs_.Draft(0, 2).us);
  Prepare(sequences, 0, 5);  // room for three
  EXPECT_EQ(choices_.costs().target.size(), 1u + 3u);
  Prepare(sequences, 0, 1);  // for less than none
  EXPECT_EQ(choices_.costs().target.size(), 1u);
}

TEST_F(DraftChoicesTest, PrefillIsNotChargedToDrafts) {
  const std::vector<DraftOffer> offers = {{.max_tokens = 4, .draft_model = 0}};
  const std::vector<BudgetSequence> sequences = {Sequence(offers)};
  Prepare(sequences);
  const std::vector<ForwardCost> without(choices_.costs().target.begin(),
                                         choices_.costs().target.end());
  const double plain_us = choices_.plain_us();
  Prepare(sequences, 30, 64);
  EXPECT_EQ(choices_.step_rows(), 31);
  EXPECT_EQ(choices_.plain_us(), plain_us);
  ASSERT_EQ(choices_.costs().target.size(), without.size());
  for (size_t x = 0; x < without.size(); ++x) {
    EXPECT_GE(choices_.costs().target[x].us, without[x].us);
    EXPECT_NEAR(choices_.costs().target[x].us, without[x].us, 500);
  }
}

TEST_F(DraftChoicesTest, WhatADraftCacheLacksIsChargedToWhatItMayBring) {
  const std::vector<DraftOffer> ready = {{.max_tokens = 4, .draft_model = 0}};
  std::vector<DraftOffer> behind = ready;
  behind[0].catch_up_tokens = 30;
  Prepare({Sequence(ready), Sequence(behind)});
  EXPECT_EQ(choices_.options()[0].catch_up_us, 0);
  EXPECT_EQ(choices_.options()[0].catch_up_most_us, 0);
  const DraftOption& option = choices_.options()[1];
  // 30 rows of 0.1 ms at worst; of that the share that a draft has of what is to come.
  EXPECT_NEAR(option.catch_up_most_us, 3e3, 300);
  EXPECT_GT(option.catch_up_us, 0);
  EXPECT_LT(option.catch_up_us, 0.1 * option.catch_up_most_us);
  EXPECT_LE(choices_.settled_options()[1].catch_up_us, option.catch_up_us);

  BudgetSequence ending = Sequence(behind);
  ending.remaining_tokens = 1;
  Prepare({ending});
  EXPECT_NEAR(choices_.options()[0].catch_up_us, 3e3, 300);  // there is nothing to share it with
}

}  // namespace
}  // namespace foretoken
