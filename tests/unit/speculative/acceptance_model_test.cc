#include "speculative/acceptance_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

namespace foretoken {
namespace {

constexpr DraftClass kDraft{DraftSourceKind::kDraftModel, TemperatureBand::kZero};
constexpr DraftClass kSuffix{DraftSourceKind::kSuffix, TemperatureBand::kZero};

// Drafts of four tokens, each accepted with the probability that `truth` gives its depth.
void Feed(AcceptanceModel& model, DraftClass draft, int drafts, RequestAcceptance& request,
          std::mt19937& random, const std::function<double(int)>& truth) {
  std::uniform_real_distribution<double> uniform;
  for (int i = 0; i < drafts; ++i) {
    int32_t accepted = 0;
    while (accepted < 4 && uniform(random) < truth(accepted)) ++accepted;
    model.Observe(draft, {4, accepted, {}}, request);
  }
}

void Feed(AcceptanceModel& model, DraftClass draft, int drafts, std::mt19937& random, double rate) {
  RequestAcceptance request;
  Feed(model, draft, drafts, request, random, [&](int) { return rate; });
}

std::vector<float> Survival(const AcceptanceModel& model, DraftClass draft,
                            const RequestAcceptance& request = {}, size_t tokens = 4) {
  std::vector<float> survival(tokens);
  model.PredictSurvival(draft, {}, request, survival);
  return survival;
}

TEST(TemperatureBandTest, Bounds) {
  EXPECT_EQ(BandOf(-1), TemperatureBand::kZero);
  EXPECT_EQ(BandOf(std::nanf("")), TemperatureBand::kZero);
  EXPECT_EQ(BandOf(0), TemperatureBand::kZero);
  EXPECT_EQ(BandOf(0.5f), TemperatureBand::kLow);
  EXPECT_EQ(BandOf(1), TemperatureBand::kMiddle);
  EXPECT_EQ(BandOf(1.01f), TemperatureBand::kHigh);
}

TEST(AcceptanceModelTest, WhatWasNeverSeenIsFair) {
  const AcceptanceModel model;
  EXPECT_EQ(model.Evidence(kDraft), 0);
  EXPECT_GT(model.Rate(kDraft), 0.4);
  EXPECT_LT(model.Rate(kDraft), 0.8);
  EXPECT_NEAR(Survival(model, kDraft)[1], std::pow(model.Rate(kDraft), 2), 1e-5);
}

TEST(AcceptanceModelTest, LearnsARate) {
  for (const double rate : {0.1, 0.5, 0.9}) {
    std::mt19937 random(1);
    AcceptanceModel model;
    Feed(model, kDraft, 500, random, rate);
    const std::vector<float> survival = Survival(model, kDraft);
    for (size_t i = 0; i < survival.size(); ++i) {
      EXPECT_NEAR(survival[i], std::pow(rate, i + 1), 0.08) << rate << " at " << i;
    }
  }
}

TEST(AcceptanceModelTest, FewResultsCountLittle) {
  AcceptanceModel model;
  RequestAcceptance request;
  const double before = model.Rate(kDraft);
  model.Observe(kDraft, {4, 0, {}}, request);
  EXPECT_EQ(model.Evidence(kDraft), 1);  // what stands behind a rejected token says nothing
  EXPECT_LT(model.Rate(kDraft), before);
  EXPECT_GT(model.Rate(kDraft), before - 0.2);
  for (int i = 0; i < 200; ++i) model.Observe(kDraft, {4, 0, {}}, request);
  EXPECT_LT(model.Rate(kDraft), 0.05);
}

TEST(AcceptanceModelTest, BandsAreApartAndAnUnseenOneIsLikeTheSource) {
  std::mt19937 random(2);
  AcceptanceModel model;
  const DraftClass hot{DraftSourceKind::kDraftModel, TemperatureBand::kHigh};
  for (int i = 0; i < 100; ++i) {
    Feed(model, kDraft, 5, random, 0.9);
    Feed(model, hot, 10, random, 0.2);
  }
  EXPECT_NEAR(model.Rate(kDraft), 0.9, 0.06);
  EXPECT_NEAR(model.Rate(hot), 0.2, 0.06);
  const DraftClass warm{DraftSourceKind::kDraftModel, TemperatureBand::kMiddle};
  EXPECT_GT(model.Rate(warm), model.Rate(hot) + 0.1);
  EXPECT_LT(model.Rate(warm), model.Rate(kDraft) - 0.1);
  EXPECT_EQ(model.Rate(kSuffix), AcceptanceModel().Rate(kSuffix));  // another source
}

TEST(AcceptanceModelTest, DepthsAreApart) {
  constexpr std::array<double, 4> kTruth = {0.95, 0.8, 0.5, 0.2};
  std::mt19937 random(3);
  AcceptanceModel model;
  RequestAcceptance request;
  Feed(model, kDraft, 1000, request, random,
       [&](int depth) { return kTruth[static_cast<size_t>(depth)]; });
  const std::vector<float> survival = Survival(model, kDraft);
  double truth = 1;
  double before = 1;
  double rate_before = 1;
  for (size_t i = 0; i < survival.size(); ++i) {
    truth *= kTruth[i];
    EXPECT_NEAR(survival[i], truth, 0.1) << i;
    EXPECT_LT(survival[i] / before, rate_before);
    rate_before = survival[i] / before;
    before = survival[i];
  }
}

TEST(AcceptanceModelTest, ConfidencesAreCalibrated) {
  constexpr std::array<float, 3> kConfidence = {0.15f, 0.55f, 0.95f};
  constexpr std::array<double, 3> kTruth = {0.05, 0.75, 0.9};  // neither proportional nor equal
  std::mt19937 random(4);
  std::uniform_real_distribution<double> uniform;
  AcceptanceModel model;
  RequestAcceptance request;
  for (int i = 0; i < 2000; ++i) {
    std::array<float, 3> confidences;
    int32_t accepted = 0;
    bool right = true;
    for (float& confidence : confidences) {
      const size_t which = random() % kConfidence.size();
      confidence = kConfidence[which];
      right = right && uniform(random) < kTruth[which];
      if (right) ++accepted;
    }
    model.Observe(kSuffix, {3, accepted, confidences}, request);
  }
  for (size_t i = 0; i < kConfidence.size(); ++i) {
    std::array<float, 1> survival;
    model.PredictSurvival(kSuffix, {&kConfidence[i], 1}, {}, survival);
    EXPECT_NEAR(survival[0], kTruth[i], 0.1) << kConfidence[i];
  }
}

// Requests of two kinds, `drafts` each; the rate that is then expected of a new one of each.
std::array<float, 2> AfterTwoKinds(double rate_a, double rate_b, AcceptanceModel& model,
                                   std::mt19937& random) {
  for (int i = 0; i < 60; ++i) {
    RequestAcceptance request;
    Feed(model, kDraft, 40, request, random, [&](int) { return i % 2 == 0 ? rate_a : rate_b; });
  }
  std::array<float, 2> expected;
  for (size_t kind = 0; kind < 2; ++kind) {
    RequestAcceptance request;
    for (int i = 0; i < 6; ++i) model.Observe(kDraft, {4, kind == 0 ? 4 : 0, {}}, request);
    expected[kind] = Survival(model, kDraft, request)[0];
  }
  return expected;
}

TEST(AcceptanceModelTest, ARequestDiffersFromItsTenantsAverage) {
  std::mt19937 random(5);
  AcceptanceModel model;
  const auto [good, bad] = AfterTwoKinds(0.95, 0.15, model, random);
  EXPECT_GT(good, 0.85);
  EXPECT_LT(bad, 0.4);
}

TEST(AcceptanceModelTest, WhereRequestsAreAlikeAStreakSaysLittle) {
  std::mt19937 random(6);
  AcceptanceModel model;
  const auto [good, bad] = AfterTwoKinds(0.6, 0.6, model, random);
  EXPECT_NEAR(good, 0.6, 0.15);
  EXPECT_NEAR(bad, 0.6, 0.25);
}

TEST(AcceptanceModelTest, ARequestsShiftIsForgotten) {
  std::mt19937 random(7);
  AcceptanceModel model;
  AfterTwoKinds(0.95, 0.15, model, random);
  RequestAcceptance request;
  for (int i = 0; i < 6; ++i) model.Observe(kDraft, {4, 0, {}}, request);
  const float fresh = Survival(model, kDraft)[0];
  EXPECT_LT(Survival(model, kDraft, request)[0], fresh - 0.2f);
  for (int i = 0; i < 600; ++i) request.Forget(DraftSourceKind::kDraftModel);
  EXPECT_NEAR(Survival(model, kDraft, request)[0], fresh, 0.01);
}

TEST(AcceptanceModelTest, OldResultsLoseWeight) {
  std::mt19937 random(8);
  AcceptanceModel model;
  Feed(model, kDraft, 1000, random, 0.9);
  Feed(model, kDraft, 1000, random, 0.1);
  EXPECT_LT(model.Rate(kDraft), 0.25);
}

TEST(AcceptanceModelTest, LimitedEvidenceIsSoonOverruled) {
  std::mt19937 random(9);
  AcceptanceModel model;
  Feed(model, kDraft, 300, random, 0.9);
  const double rate = model.Rate(kDraft);
  model.LimitEvidence(kDraft, 12);
  EXPECT_NEAR(model.Evidence(kDraft), 12, 1e-9);
  EXPECT_NEAR(model.Rate(kDraft), rate, 0.05);
  model.LimitEvidence(kDraft, 20);
  EXPECT_NEAR(model.Evidence(kDraft), 12, 1e-9);
  RequestAcceptance request;
  for (int i = 0; i < 24; ++i) model.Observe(kDraft, {1, 0, {}}, request);
  EXPECT_LT(model.Rate(kDraft), rate - 0.3);
}

TEST(AcceptanceModelTest, SurvivalNeverRises) {
  std::mt19937 random(10);
  AcceptanceModel model;
  RequestAcceptance request;
  for (int i = 0; i < 3000; ++i) {
    std::vector<float> confidences(random() % 2 == 0 ? 0 : 24);
    for (float& confidence : confidences) {
      confidence = static_cast<float>(random() % 1200) / 1000.0f - 0.1f;  // beyond 0 and 1, too
    }
    const DraftClass draft{static_cast<DraftSourceKind>(random() % kDraftSources),
                           static_cast<TemperatureBand>(random() % kTemperatureBands)};
    std::vector<float> survival(24);
    model.PredictSurvival(draft, confidences, request, survival);
    float before = 1;
    for (const float value : survival) {
      ASSERT_GE(value, 0);
      ASSERT_LE(value, before);
      before = value;
    }
    const int32_t drafted = static_cast<int32_t>(random() % 26) - 1;
    const int32_t accepted = static_cast<int32_t>(random() % 26) - 1;
    model.Observe(draft, {std::min(drafted, 24), accepted, confidences}, request);
  }
}

TEST(AcceptanceModelTest, NothingDraftedTeachesNothing) {
  AcceptanceModel model;
  RequestAcceptance request;
  model.Observe(kDraft, {0, 0, {}}, request);
  model.Observe(kDraft, {-3, 2, {}}, request);
  EXPECT_EQ(model.Evidence(kDraft), 0);
  EXPECT_EQ(model.Rate(kDraft), AcceptanceModel().Rate(kDraft));
}

// What one tenant's model says is the same to the bit whatever another's sees in between.
TEST(AcceptanceModelTest, TenantsAreApart) {
  AcceptanceModel alone;
  AcceptanceModel beside;
  AcceptanceModel other;
  RequestAcceptance alone_request;
  RequestAcceptance beside_request;
  RequestAcceptance other_request;
  std::mt19937 random(11);
  for (int i = 0; i < 1000; ++i) {
    const auto accepted = static_cast<int32_t>(random() % 5);
    alone.Observe(kDraft, {4, accepted, {}}, alone_request);
    beside.Observe(kDraft, {4, accepted, {}}, beside_request);
    other.Observe(kDraft, {4, 4 - accepted / 2, {}}, other_request);
    other.LimitEvidence(kDraft, 12);
    other.trial(kDraft) = {i, i};
    ASSERT_EQ(Survival(alone, kDraft, alone_request), Survival(beside, kDraft, beside_request));
    ASSERT_EQ(alone.Rate(kDraft), beside.Rate(kDraft));
    ASSERT_EQ(alone.Evidence(kDraft), beside.Evidence(kDraft));
    ASSERT_EQ(beside.trial(kDraft).due_step, 0);
  }
}

}  // namespace
}  // namespace foretoken
