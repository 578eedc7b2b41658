// How near the draft budget comes to the best fixed draft length, over the simulator's cost curves,
// workloads, draft costs and loads: a table, a cell a line.
//
// Usage: budget_simulation [WARM_UP_STEPS] [CURVE [WORKLOAD]]

#include <cstdio>
#include <cstdlib>
#include <string>

#include "testing/budget_comparison.h"

namespace foretoken {
namespace {

constexpr double kBar = 0.97;

int Main(int argc, char** argv) {
  const int32_t warm_up_steps = argc > 1 ? std::atoi(argv[1]) : 3000;
  const std::string only_curve = argc > 2 ? argv[2] : "";
  const std::string only_workload = argc > 3 ? argv[3] : "";
  int cells = 0;
  int reached = 0;
  int never_slow = 0;
  std::printf("%-32s %4s %9s %9s %8s %9s %6s\n", "curve, workload, draft cost, load", "best",
              "best/off", "auto/best", "auto/off", "worst/off", "step");
  for (const CostCurve& curve : StandardCurves()) {
    if (!only_curve.empty() && curve.name != only_curve) continue;
    for (const SimulatedWorkload& workload : StandardWorkloads()) {
      if (!only_workload.empty() && workload.name != only_workload) continue;
      for (const double draft_cost : kSimulatedDraftCosts) {
        // Without a draft model its cost makes no difference.
        if (workload.name == "suffix" && draft_cost != kSimulatedDraftCosts[0]) continue;
        for (const int32_t sequences : kSimulatedLoads) {
          const BudgetCell cell{curve, workload, draft_cost, sequences};
          const BudgetComparison result = CompareBudget(cell, warm_up_steps);
          ++cells;
          if (result.of_best >= kBar) ++reached;
          if (result.worst_of_off >= kBar) ++never_slow;
          std::printf("%-33s %4d %9.3f %9.3f %8.3f %9.3f %6d%s%s\n", cell.Name().c_str(),
                      result.best_tokens, result.best_of_off, result.of_best, result.of_off,
                      result.worst_of_off, result.worst_step,
                      result.of_best < kBar ? "  below the best" : "",
                      result.worst_of_off < kBar ? "  below plain" : "");
          std::fflush(stdout);
        }
      }
    }
  }
  std::printf(
      "%d cells: %d reach %.0f %% of the best fixed length, %d never fall below %.0f %% of "
      "plain decoding\n",
      cells, reached, 100 * kBar, never_slow, 100 * kBar);
  return 0;
}

}  // namespace
}  // namespace foretoken

int main(int argc, char** argv) {
  return foretoken::Main(argc, argv);
}
