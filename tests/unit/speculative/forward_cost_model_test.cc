#include "speculative/forward_cost_model.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace foretoken {
namespace {

void ObserveTimes(ForwardCostModel& model, int count, int32_t rows, double us) {
  for (int i = 0; i < count; ++i) model.Observe(rows, us);
}

TEST(ForwardCostModelTest, KnowsNothingAtFirst) {
  const ForwardCostModel model;
  EXPECT_TRUE(model.empty());
  EXPECT_EQ(model.Predict(4).us, 0);
  EXPECT_EQ(model.Predict(4).most_us, 0);
  EXPECT_EQ(model.Certainty(4), 0);
}

TEST(ForwardCostModelTest, LearnsThroughNoiseAndOutliers) {
  const auto truth = [](int32_t rows) { return 20e3 + 1e3 * rows; };
  constexpr std::array<int32_t, 6> kRows = {1, 2, 4, 8, 16, 100};
  std::mt19937 random(1);
  std::uniform_real_distribution<double> noise(0.9, 1.1);
  ForwardCostModel model;
  for (int i = 0; i < 4000; ++i) {
    const int32_t rows = kRows[random() % kRows.size()];
    model.Observe(rows, truth(rows) * noise(random) * (random() % 100 == 0 ? 5 : 1));
  }
  for (const int32_t rows : kRows) {
    EXPECT_NEAR(model.Predict(rows).us / truth(rows), 1, 0.05) << rows << " rows";
    EXPECT_GT(model.Certainty(rows), 0.85) << rows << " rows";
  }
  EXPECT_NEAR(model.Predict(6).us / truth(6), 1, 0.05);      // between
  EXPECT_NEAR(model.Predict(103).us / truth(103), 1, 0.05);  // one range
}

TEST(ForwardCostModelTest, OneDisturbedForwardHardlyMoves) {
  ForwardCostModel model;
  ObserveTimes(model, 100, 4, 10e3);
  model.Observe(4, 1e12);
  EXPECT_GT(model.Predict(4).us, 10e3);
  EXPECT_LT(model.Predict(4).us, 10.4e3);
  const double before = model.Predict(4).us;
  model.Observe(4, std::numeric_limits<double>::quiet_NaN());
  model.Observe(4, std::numeric_limits<double>::infinity());
  EXPECT_EQ(model.Predict(4).us, before);
  model.Observe(4, -1e12);
  EXPECT_GT(model.Predict(4).us, 0.95 * before);
}

TEST(ForwardCostModelTest, RecoversFromADisturbedFirstForward) {
  ForwardCostModel model;
  model.Observe(4, 50e3);
  ObserveTimes(model, 30, 4, 10e3);
  EXPECT_NEAR(model.Predict(4).us, 10e3, 500);
}

TEST(ForwardCostModelTest, DriftReachesWhatIsNotInUse) {
  ForwardCostModel model;
  const auto truth = [](int32_t rows, double drift) { return (8e3 + 2e3 * rows) * drift; };
  for (const int32_t rows : {1, 2, 8}) ObserveTimes(model, 100, rows, truth(rows, 1));
  for (int i = 0; i < 1000; ++i) {
    for (const int32_t rows : {1, 8}) model.Observe(rows, truth(rows, 1 + i / 2000.0));
  }
  for (const int32_t rows : {1, 8}) {
    EXPECT_NEAR(model.Predict(rows).us / truth(rows, 1.5), 1, 0.05) << rows << " rows";
  }
  // More than half of the change, for it was not measured.
  EXPECT_GT(model.Predict(2).us, truth(2, 1.25));
  EXPECT_LT(model.Predict(2).us, truth(2, 1.55));
}

TEST(ForwardCostModelTest, BoundsHoldEveryPlausibleCurveThroughWhatWasMeasured) {
  ForwardCostModel model;
  ObserveTimes(model, 100, 2, 10e3);
  ObserveTimes(model, 100, 18, 26e3);
  const auto expect_cost = [&](int32_t rows, double us, double least_us, double most_us) {
    const ForwardCost cost = model.Predict(rows);
    EXPECT_NEAR(cost.us, us, 0.01 * us) << rows << " rows";
    EXPECT_NEAR(cost.least_us, least_us, 0.04 * us) << rows << " rows";
    EXPECT_NEAR(cost.most_us, most_us, 0.01 * us) << rows << " rows";
  };
  expect_cost(2, 10e3, 10e3, 10e3);
  expect_cost(18, 26e3, 26e3, 26e3);
  // Straight between. A row is no dearer in company than alone, so that ten cost at least their
  // part of eighteen; and at most as much as those.
  expect_cost(10, 18e3, 26e3 * 10 / 18, 26e3);
  // Fewer rows: between in proportion and no cheaper.
  expect_cost(1, 7.5e3, 5e3, 10e3);
  // More: no more than in proportion.
  const ForwardCost beyond = model.Predict(36);
  EXPECT_NEAR(beyond.least_us, 26e3, 1e3);
  EXPECT_NEAR(beyond.most_us, 52e3, 1e3);
  EXPECT_GT(beyond.us, 30e3);
  EXPECT_LT(beyond.us, 46e3);
}

TEST(ForwardCostModelTest, BoundsAreInOrderWhateverWasObserved) {
  std::mt19937 random(2);
  for (int round = 0; round < 50; ++round) {
    ForwardCostModel model;
    for (int i = 0; i < 40; ++i) {
      model.Observe(static_cast<int32_t>(random() % 300) - 5, random() % 100000);
      std::vector<ForwardCost> costs(310);
      model.Predict(1, costs);
      for (int32_t rows = 1; rows <= 310; ++rows) {
        const ForwardCost& cost = costs[static_cast<size_t>(rows) - 1];
        ASSERT_GT(cost.us, 0);
        ASSERT_LE(cost.least_us, cost.us * (1 + 1e-9)) << rows << " rows";
        ASSERT_GE(cost.most_us, cost.us * (1 - 1e-9)) << rows << " rows";
        ASSERT_EQ(model.Predict(rows).us, cost.us);
        ASSERT_EQ(model.Predict(rows).least_us, cost.least_us);
        ASSERT_EQ(model.Predict(rows).most_us, cost.most_us);
      }
    }
  }
}

TEST(ForwardCostModelTest, CertaintyGrowsWithObservationsAndFallsWithAge) {
  ForwardCostModel model;
  double before = 0;
  for (int i = 0; i < 20; ++i) {
    model.Observe(4, 10e3);
    EXPECT_GT(model.Certainty(4), before);
    before = model.Certainty(4);
  }
  EXPECT_GT(before, 0.9);
  EXPECT_LT(before, 1);
  ObserveTimes(model, 2000, 8, 12e3);
  EXPECT_LT(model.Certainty(4), 0.5);
  EXPECT_GT(model.Certainty(4), 0);
  EXPECT_EQ(model.Certainty(5), 0);
}

}  // namespace
}  // namespace foretoken
