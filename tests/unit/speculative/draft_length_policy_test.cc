#include "speculative/draft_length_policy.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

namespace foretoken {
namespace {

// A machine and a source: what rounds cost and how often a drafted token is accepted.
struct World {
  std::function<double(int32_t rows)> target_us;
  double draft_us_per_token = 0;
  double acceptance = 0;
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed) {}

  // Tokens per second of `rounds` rounds; k < 0: the policy chooses.
  double Run(const World& world, int rounds, int32_t fixed_k = -1) {
    double tokens = 0;
    double time_us = 0;
    for (int round = 0; round < rounds; ++round) {
      const int32_t k = fixed_k >= 0 ? fixed_k : policy_.Choose(DraftSourceKind::kDraftModel, 8);
      int32_t accepted = 0;
      while (accepted < k && std::bernoulli_distribution(world.acceptance)(random_)) ++accepted;
      const double draft_us = k * world.draft_us_per_token;
      const double verify_us =
          world.target_us(1 + k) * std::uniform_real_distribution<double>(0.95, 1.05)(random_);
      if (fixed_k < 0) {
        policy_.Observe({.drafted = k,
                         .accepted = accepted,
                         .source = DraftSourceKind::kDraftModel,
                         .draft_us = static_cast<int64_t>(draft_us),
                         .verify_us = static_cast<int64_t>(verify_us)});
      }
      tokens += 1 + accepted;
      time_us += draft_us + verify_us;
    }
    return tokens / time_us * 1e6;
  }

 private:
  DraftLengthPolicy policy_;
  std::mt19937_64 random_;
};

double BestFixed(const World& world) {
  double best = 0;
  for (int32_t k = 0; k <= 8; ++k) best = std::max(best, Simulation(1).Run(world, 4000, k));
  return best;
}

const World kGoodKernels{[](int32_t rows) { return 30000.0 * (1 + 0.035 * (rows - 1)); }, 9000,
                         0.9};
const World kStockKernels{[](int32_t rows) { return 30000.0 * (1 + 0.53 * (rows - 1)); }, 16000,
                          0.85};
const World kFreeDrafts{[](int32_t rows) { return 30000.0 * (1 + 0.05 * (rows - 1)); }, 0, 0.6};
const World kBadDrafts{[](int32_t rows) { return 30000.0 * (1 + 0.05 * (rows - 1)); }, 9000, 0.05};

TEST(DraftLengthPolicyTest, ComesCloseToTheBestFixedLengthAndNeverFarBelowPlain) {
  for (const World* world : {&kGoodKernels, &kStockKernels, &kFreeDrafts, &kBadDrafts}) {
    Simulation simulation(2);
    simulation.Run(*world, 200);  // learns
    const double rate = simulation.Run(*world, 4000);
    EXPECT_GT(rate, 0.95 * BestFixed(*world));
    EXPECT_GT(rate, 0.97 * Simulation(1).Run(*world, 4000, 0));
  }
}

TEST(DraftLengthPolicyTest, RecoversWhenTheTextChanges) {
  Simulation simulation(3);
  simulation.Run(kBadDrafts, 500);
  World good = kBadDrafts;
  good.acceptance = 0.95;
  simulation.Run(good, 600);
  EXPECT_GT(simulation.Run(good, 2000), 0.9 * BestFixed(good));
}

TEST(DraftLengthPolicyTest, StaysInsideItsBounds) {
  DraftLengthPolicy policy;
  EXPECT_EQ(policy.Choose(DraftSourceKind::kSuffix, 0), 0);
  EXPECT_EQ(policy.Choose(DraftSourceKind::kSuffix, -1), 0);
  for (int round = 0; round < 100; ++round) {
    const int32_t k = policy.Choose(DraftSourceKind::kSuffix, 3);
    EXPECT_GE(k, 0);
    EXPECT_LE(k, 3);
    policy.Observe({.drafted = k,
                    .accepted = k,
                    .source = DraftSourceKind::kSuffix,
                    .draft_us = 0,
                    .verify_us = 0});
  }
}

TEST(DraftLengthPolicyTest, SourcesAreLearnedApart) {
  DraftLengthPolicy policy;
  for (int round = 0; round < 50; ++round) {
    policy.Observe({.drafted = 4,
                    .accepted = 0,
                    .source = DraftSourceKind::kDraftModel,
                    .draft_us = 40000,
                    .verify_us = 40000});
    policy.Observe({.drafted = 0, .accepted = 0, .draft_us = 0, .verify_us = 30000});
    policy.Observe({.drafted = 4,
                    .accepted = 4,
                    .source = DraftSourceKind::kSuffix,
                    .draft_us = 1,
                    .verify_us = 40000});
  }
  EXPECT_EQ(policy.Choose(DraftSourceKind::kDraftModel, 4), 0);
  EXPECT_EQ(policy.Choose(DraftSourceKind::kSuffix, 4), 4);
}

}  // namespace
}  // namespace foretoken
