// The draft budget against the best fixed draft length and against plain decoding, on given cost
// curves and texts. A cell's numbers are the same on every run: the seeds are fixed.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

#include "integration/slowness.h"
#include "testing/budget_comparison.h"
#include "testing/budget_simulator.h"

namespace foretoken {
namespace {

constexpr double kBar = 0.97;
constexpr int32_t kWarmUpSteps = 3000;
// Every so manyth workload is met by a load.
constexpr size_t kWorkloadStride = 3;

// Cells known to fall short of the best fixed length: which ones is luck for the most part, of the
// order in which trials come. bench/budget_simulation finds them. They have a bar of their own, so
// that they cannot get worse; one that has got better should leave the list. Slower than plain
// decoding is none.
constexpr double kMissedBar = 0.94;
struct KnownMiss {
  const char* curve;
  const char* workload;
  double draft_cost;
  int32_t sequences;
};
constexpr KnownMiss kKnownMisses[] = {
    {"stock", "c.8", 0.3, 4}, {"stock", "c.8", 0.55, 8}, {"stock", "c.95", 0.55, 8},
    {"good", "c.8", 0.55, 2}, {"moe", "c.8", 0.3, 2},    {"gpu", "c.6", 0.1, 16},
    {"gpu", "mix", 0.3, 4},   {"gpu", "temps", 0.1, 8},
};

bool Is(const KnownMiss& miss, const BudgetCell& cell) {
  return cell.curve.name == miss.curve && cell.workload.name == miss.workload &&
         cell.draft_cost == miss.draft_cost && cell.sequences == miss.sequences;
}

void ExpectNearBest(const BudgetCell& cell) {
  double bar_of_best = kBar;
  for (const KnownMiss& miss : kKnownMisses) {
    if (Is(miss, cell)) bar_of_best = kMissedBar;
  }
  const BudgetComparison result = CompareBudget(cell, kWarmUpSteps);
  EXPECT_GE(result.of_best, bar_of_best)
      << cell.Name() << ": " << result.best_tokens << " tokens are the best";
  EXPECT_GE(result.worst_of_off, kBar) << cell.Name() << ": step " << result.worst_step;
}

// One curve under every load. Of the workloads and draft costs every load meets some, and every
// workload some loads.
class BudgetSimulationTest : public ::testing::TestWithParam<size_t> {};

TEST_P(BudgetSimulationTest, NearTheBestFixedLengthAndNeverSlowerThanPlain) {
  const std::vector<SimulatedWorkload> workloads = StandardWorkloads();
  const CostCurve curve = StandardCurves()[GetParam()];
  size_t next = 0;
  for (size_t load = 0; load < std::size(kSimulatedLoads); ++load) {
    for (size_t w = 0; w < workloads.size(); ++w) {
      if ((load + w + GetParam()) % kWorkloadStride != 0) continue;
      if (next++ % kSlowness != 0) continue;
      const size_t cost = (load + w / kWorkloadStride) % std::size(kSimulatedDraftCosts);
      ExpectNearBest({curve, workloads[w], kSimulatedDraftCosts[cost], kSimulatedLoads[load]});
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Curves, BudgetSimulationTest, ::testing::Range(size_t{0}, size_t{5}),
                         [](const auto& curve) { return StandardCurves()[curve.param].name; });

TEST(BudgetSimulationKnownMissesTest, GetNoWorse) {
  size_t next = 0;
  for (const KnownMiss& miss : kKnownMisses) {
    if (next++ % kSlowness != 0) continue;
    for (const CostCurve& curve : StandardCurves()) {
      for (const SimulatedWorkload& workload : StandardWorkloads()) {
        const BudgetCell cell{curve, workload, miss.draft_cost, miss.sequences};
        if (Is(miss, cell)) ExpectNearBest(cell);
      }
    }
  }
}

// After a change of what the requests say: so many steps later the budget is as good as the best
// fixed length, on the same requests.
constexpr int32_t kRecoverySteps = 600;
constexpr uint64_t kMeasuredRequests = 7;  // for each sequence

void RunSteps(BudgetSimulator& simulator, int32_t steps) {
  for (int32_t i = 0; i < steps; ++i) simulator.Step();
}

double Speed(BudgetSimulator& simulator, uint64_t first_request, uint64_t last_request) {
  double tokens = 0;
  double us = 0;
  while (simulator.requests() < last_request) {
    const SimulatedStep step = simulator.Step();
    if (simulator.requests() <= first_request) continue;
    tokens += step.expected_tokens;
    us += step.us;
  }
  return tokens / us;
}

void ExpectRecovery(double before, double after) {
  for (const CostCurve& curve : StandardCurves()) {
    if (kSlowness > 1 && curve.name != "good") continue;
    for (const int32_t sequences : {1, 8}) {
      const BudgetCell cell{curve, {"change", {ConstantSource(before, after)}, {}}, 0.1, sequences};
      BudgetSimulator budget(cell.Options(), BudgetSimulator::kAuto);
      RunSteps(budget, 2000);
      budget.set_phase(1);
      RunSteps(budget, kRecoverySteps);
      const uint64_t first = budget.requests();
      const uint64_t last = first + kMeasuredRequests * static_cast<uint64_t>(sequences);
      const double speed = Speed(budget, first, last);
      double best = 0;
      for (int32_t tokens = 0; tokens <= 8; ++tokens) {
        BudgetSimulator fixed(cell.Options(), tokens);
        fixed.set_phase(1);
        best = std::max(best, Speed(fixed, first, last));
      }
      EXPECT_GE(speed / best, kBar) << cell.Name() << ", " << before << " to " << after;
    }
  }
}

TEST(BudgetSimulationChangeTest, ReturnsToDraftingWhereItBeginsToPay) {
  ExpectRecovery(0.1, 0.95);
}

TEST(BudgetSimulationChangeTest, StopsDraftingWhereItNoLongerPays) {
  ExpectRecovery(0.95, 0.1);
}

}  // namespace
}  // namespace foretoken
