#include "speculative/position_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace foretoken {
namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();
constexpr auto kExpected = PositionSearch::View::kExpected;
// Plans that gain less than this are not worth it, says the search.
constexpr double kLeastGain = 0.01;
// What may be lost against the best of all plans, of the sequences' mean speed: at worst, on
// average, and the share of the problems where it may be more than 1 %.
constexpr double kWorstLoss = 0.05;
constexpr double kMeanLoss = 0.001;
constexpr double kSharePoor = 0.03;

// A step of `sequences` sequences, with what the search is given and an account of its own.
struct Problem {
  int32_t sequences = 0;
  std::vector<ForwardCost> target;
  std::vector<std::vector<ForwardCost>> drafts;
  std::vector<std::vector<int32_t>> forced;
  std::vector<double> weights = {1};
  std::vector<std::vector<float>> survivals;
  std::vector<std::vector<float>> sure;
  std::vector<DraftOption> options;

  Problem(int32_t n, std::vector<double> target_us) : sequences(n) {
    for (const double us : target_us) target.push_back({us, us, us});
  }
  void AddOption(int32_t sequence, std::vector<float> survival, int32_t draft_model = -1,
                 int32_t tenant = 0) {
    survivals.push_back(survival);
    sure.push_back(survival);
    options.push_back({.sequence = sequence, .tenant = tenant, .draft_model = draft_model});
  }
  StepCosts Costs() {
    for (size_t o = 0; o < options.size(); ++o) {
      options[o].survival = survivals[o];
      options[o].sure_survival = sure[o];
    }
    forced.resize(drafts.size());
    return {.sequences = sequences,
            .target = target,
            .drafts = drafts,
            .forced_rows = forced,
            .tenant_weights = weights};
  }
  DraftPlan FindBest(PositionSearch::View view = kExpected, double allowance_us = kUnlimited) {
    DraftPlan plan;
    plan.drafts.resize(static_cast<size_t>(sequences));
    PositionSearch().FindBest(Costs(), options, view, allowance_us, plan);
    return plan;
  }

  // The mean of log(tokens), less log(time), against plain decoding.
  double LogSpeed(const std::vector<PlannedDraft>& drafts_of) const {
    size_t positions = 0;
    double us = 0;
    double log_tokens = 0;
    std::vector<std::vector<size_t>> rows(drafts.size());
    for (const PlannedDraft& draft : drafts_of) {
      double tokens = 1;
      for (int32_t depth = 0; depth < draft.tokens; ++depth) {
        const auto o = static_cast<size_t>(draft.option);
        ++positions;
        tokens += static_cast<double>(survivals[o][static_cast<size_t>(depth)]);
        if (options[o].draft_model < 0) continue;
        auto& of_model = rows[static_cast<size_t>(options[o].draft_model)];
        if (of_model.size() <= static_cast<size_t>(depth)) of_model.push_back(0);
        ++of_model[static_cast<size_t>(depth)];
        if (depth == 0) us += options[o].catch_up_us;
      }
      log_tokens += std::log(tokens);
    }
    if (positions >= target.size()) return -kUnlimited;
    us += target[positions].us;
    for (size_t m = 0; m < rows.size(); ++m) {
      for (const size_t n : rows[m]) us += drafts[m][n].us;
    }
    return log_tokens / sequences - std::log(us / target[0].us);
  }

  // Over every option and length of every sequence.
  double BestLogSpeed(size_t sequence, std::vector<PlannedDraft>& drafts_of) const {
    if (sequence == static_cast<size_t>(sequences)) return LogSpeed(drafts_of);
    drafts_of[sequence] = {};
    double best = BestLogSpeed(sequence + 1, drafts_of);
    for (size_t o = 0; o < options.size(); ++o) {
      if (options[o].sequence != static_cast<int32_t>(sequence)) continue;
      for (size_t length = 1; length <= survivals[o].size(); ++length) {
        drafts_of[sequence] = {static_cast<int32_t>(o), static_cast<int32_t>(length)};
        best = std::max(best, BestLogSpeed(sequence + 1, drafts_of));
      }
    }
    drafts_of[sequence] = {};
    return best;
  }
  double BestLogSpeed() const {
    std::vector<PlannedDraft> drafts_of(static_cast<size_t>(sequences));
    return BestLogSpeed(0, drafts_of);
  }
};

std::vector<double> RandomCurve(size_t size, std::mt19937& random) {
  std::vector<double> us = {10e3};
  while (us.size() < size) {
    // Flat stretches and jumps, as kernels have them.
    const double step = random() % 4 == 0 ? 6e3 : random() % 2 == 0 ? 100 : 1.5e3;
    us.push_back(us.back() + step * std::uniform_real_distribution<double>(0, 1)(random));
  }
  return us;
}

std::vector<float> RandomSurvival(std::mt19937& random) {
  std::vector<float> survival(1 + random() % 4);
  float product = 1;
  for (float& value : survival) {
    product *= std::uniform_real_distribution<float>(0.1f, 1.0f)(random);
    value = product;
  }
  return survival;
}

Problem RandomProblem(std::mt19937& random, size_t options_each, bool with_model) {
  const auto n = static_cast<int32_t>(1 + random() % 4);
  Problem problem(n, RandomCurve(1 + 4 * static_cast<size_t>(n), random));
  for (int32_t i = 0; i < n; ++i) {
    for (size_t o = 0; o < options_each; ++o) {
      const bool model = with_model && o == 0;
      problem.AddOption(i, RandomSurvival(random), model ? 0 : -1);
      if (model && random() % 4 == 0) problem.options.back().catch_up_us = random() % 2000;
    }
  }
  if (with_model) {
    const double share = std::uniform_real_distribution<double>(0.02, 0.5)(random);
    std::vector<ForwardCost> costs = {{0, 0, 0}};
    for (int32_t rows = 1; rows <= n; ++rows) {
      const double us = share * (problem.target[0].us + 300 * rows);
      costs.push_back({us, us, us});
    }
    problem.drafts.push_back(costs);
  }
  return problem;
}

// The plan's own account is right, and it is as good as the best of all plans but for `loss`.
double ExpectNearBest(Problem& problem, double loss, int round) {
  const DraftPlan plan = problem.FindBest();
  EXPECT_NEAR(plan.log_speed, problem.LogSpeed(plan.drafts), 1e-5) << "round " << round;
  const double best = problem.BestLogSpeed();
  if (best < kLeastGain) {
    EXPECT_EQ(plan.positions, 0) << "round " << round;
    return 0;
  }
  const double lost = best - plan.log_speed;
  // What gains too little is given up.
  if (plan.positions == 0 && best < kLeastGain + loss) return 0;
  EXPECT_LE(lost, loss) << "round " << round << ": best " << best;
  EXPECT_GE(lost, -1e-5) << "round " << round;
  return lost;
}

// Where positions cost nothing but the target's rows, those taken by merit are the best of their
// number, and every number is priced: nothing is lost.
TEST(PositionSearchTest, FreeDraftsAreTheBestOfAllPlans) {
  std::mt19937 random(1);
  for (int round = 0; round < 400; ++round) {
    Problem problem = RandomProblem(random, 1, false);
    ExpectNearBest(problem, 1e-5, round);
  }
}

// A draft model's forwards are shared, and a sequence has to choose its source before positions are
// ordered: no order is the best for all costs. Nearly always less than 1 % is lost.
TEST(PositionSearchTest, SharedForwardsAndSourcesAreNearTheBestOfAllPlans) {
  std::mt19937 random(2);
  for (const size_t sources : {1, 2}) {
    double lost = 0;
    int poor = 0;
    constexpr int kRounds = 400;
    for (int round = 0; round < kRounds; ++round) {
      Problem problem = RandomProblem(random, sources, true);
      const double loss = ExpectNearBest(problem, kWorstLoss, round);
      lost += loss;
      if (loss > 0.01) ++poor;
    }
    EXPECT_LT(lost / kRounds, kMeanLoss) << sources << " sources";
    EXPECT_LE(poor, kSharePoor * kRounds) << sources << " sources";
  }
}

TEST(PositionSearchTest, NothingToDraftIsPlain) {
  Problem problem(2, {10e3, 10e3});
  EXPECT_EQ(problem.FindBest().positions, 0);
  Problem no_room(1, {10e3});
  no_room.AddOption(0, {0.9f});
  EXPECT_EQ(no_room.FindBest().positions, 0);
}

TEST(PositionSearchTest, SeesBehindABumpOfTheCurve) {
  // One more row costs dearly, four more the same.
  Problem problem(1, {10e3, 19e3, 19e3, 19e3, 19e3});
  problem.AddOption(0, {0.95f, 0.9f, 0.86f, 0.81f});
  EXPECT_EQ(problem.FindBest().drafts[0].tokens, 4);
}

TEST(PositionSearchTest, RiskIsKeptWithinTheAllowance) {
  Problem problem(1, {10e3, 10e3});
  problem.AddOption(0, {0.9f});
  problem.sure[0] = {0.1f};
  problem.target[1].most_us = 15e3;  // at worst 5 ms for a tenth of a token of 10 ms
  const DraftPlan denied = problem.FindBest(kExpected, 3.9e3);
  EXPECT_EQ(denied.positions, 0);
  EXPECT_NEAR(denied.denied_us, 4e3, 1);
  const DraftPlan granted = problem.FindBest(kExpected, 4.1e3);
  EXPECT_EQ(granted.positions, 1);
  EXPECT_EQ(granted.denied_us, 0);
  EXPECT_NEAR(granted.risk_us, 4e3, 1);
  problem.sure[0] = {0.9f};
  EXPECT_EQ(problem.FindBest(kExpected, -1).positions, 1);
}

TEST(PositionSearchTest, AHopefulViewTakesTheLeastCost) {
  Problem problem(1, {10e3, 25e3});
  problem.AddOption(0, {0.9f});
  problem.target[1].least_us = 11e3;
  EXPECT_EQ(problem.FindBest().positions, 0);
  EXPECT_EQ(problem.FindBest(PositionSearch::View::kHopeful).positions, 1);
}

TEST(PositionSearchTest, ForcedDraftsShareTheirForwards) {
  // Forced rows run the draft model anyhow: one more row in it costs little.
  Problem problem(2, {10e3, 10e3});
  problem.AddOption(1, {0.4f}, 0);
  problem.drafts.push_back({{}, {6e3, 6e3, 6e3}, {6.1e3, 6.1e3, 6.1e3}});
  EXPECT_EQ(problem.FindBest().positions, 0);
  problem.forced = {{1}};
  EXPECT_EQ(problem.FindBest().drafts[1].tokens, 1);
}

TEST(PositionSearchTest, PriceIsThatOfThePlan) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    Problem problem = RandomProblem(random, 2, true);
    DraftPlan plan = problem.FindBest();
    DraftPlan priced = plan;
    PositionSearch().Price(problem.Costs(), problem.options, kExpected, priced);
    EXPECT_EQ(priced.positions, plan.positions);
    EXPECT_NEAR(priced.us, plan.us, 1e-6 * plan.us);
    EXPECT_NEAR(priced.accepted, plan.accepted, 1e-5);
    EXPECT_NEAR(priced.log_speed, plan.log_speed, 1e-5);
  }
}

// Room for four positions, for which two tenants compete: one has four good texts, one a poor one.
Problem TwoTenants(double poor_weight) {
  Problem problem(5, {10e3, 10e3, 10e3, 10e3, 10e3});
  for (int32_t i = 0; i < 4; ++i) problem.AddOption(i, {0.95f, 0.9f}, -1, 0);
  problem.AddOption(4, {0.6f, 0.36f, 0.2f}, -1, 1);
  problem.weights = {1, poor_weight};
  return problem;
}

TEST(PositionSearchTest, ATenantGetsHalfOfItsShare) {
  Problem merit = TwoTenants(1);
  merit.weights = {1};
  for (DraftOption& option : merit.options) option.tenant = 0;
  EXPECT_EQ(merit.FindBest().drafts[4].tokens, 0);
  EXPECT_EQ(merit.FindBest().floored, 0);
  // Half of a half of four; and half of three quarters.
  EXPECT_EQ(TwoTenants(1).FindBest().drafts[4].tokens, 1);
  EXPECT_EQ(TwoTenants(1).FindBest().floored, 1);
  EXPECT_EQ(TwoTenants(3).FindBest().drafts[4].tokens, 2);
  EXPECT_EQ(TwoTenants(3).FindBest().positions, 4);
}

TEST(PositionSearchTest, FloorsHoldOnRandomCurves) {
  std::mt19937 random(4);
  for (int round = 0; round < 200; ++round) {
    const auto n = static_cast<int32_t>(2 + random() % 3);
    Problem problem(n, std::vector<double>(1 + random() % 8, 10e3));  // all positions pay
    std::vector<double> offered(2, 0);
    for (int32_t i = 0; i < n; ++i) {
      const int32_t tenant = i == 0 ? 0 : 1;
      problem.AddOption(i, RandomSurvival(random), -1, tenant);
      offered[static_cast<size_t>(tenant)] += static_cast<double>(problem.survivals.back().size());
    }
    problem.weights = {1, static_cast<double>(1 + random() % 3)};
    const DraftPlan plan = problem.FindBest();
    if (plan.positions == 0) continue;
    std::vector<double> got(2, 0);
    for (size_t i = 0; i < plan.drafts.size(); ++i) got[i == 0 ? 0 : 1] += plan.drafts[i].tokens;
    for (size_t t = 0; t < 2; ++t) {
      const double share = problem.weights[t] / (problem.weights[0] + problem.weights[1]);
      // A rounded-up floor of the other's may take the last position.
      const double floor = std::floor(0.5 * share * plan.positions);
      EXPECT_GE(got[t], std::min(floor, offered[t])) << "round " << round << " tenant " << t;
    }
  }
}

}  // namespace
}  // namespace foretoken
