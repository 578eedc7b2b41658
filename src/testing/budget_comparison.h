#ifndef FORETOKEN_TESTING_BUDGET_COMPARISON_H_
#define FORETOKEN_TESTING_BUDGET_COMPARISON_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "testing/budget_simulator.h"

namespace foretoken {

// What requests have to say, under a name.
struct SimulatedWorkload {
  std::string name;
  std::vector<SimulatedSource> sources;
  std::function<TemperatureBand(uint64_t request)> band;
  int32_t prompt_tokens = 32;
  int32_t most_length = 400;  // of an answer, in tokens
};

// A draft model accepted at a constant rate (c.3, c.6, c.8, c.95), at one that is the request's
// (mix), that changes within it (burst) or goes with its temperature (temps); drafts from seen text
// (suffix); those beside a draft model (both); and short answers to longer prompts (short), for
// which a draft model's cache must be filled first.
std::vector<SimulatedWorkload> StandardWorkloads();

// A draft model of a rate, and of another one in phase 1.
SimulatedSource ConstantSource(double rate, double rate_in_phase_1);

// A cell: a curve, a workload, how dear drafting is, and how many sequences run.
struct BudgetCell {
  CostCurve curve;
  SimulatedWorkload workload;
  double draft_cost = 0.1;
  int32_t sequences = 1;
  std::string Name() const;
  SimulationOptions Options() const;
};

inline constexpr double kSimulatedDraftCosts[] = {0.1, 0.3, 0.55};
inline constexpr int32_t kSimulatedLoads[] = {1, 2, 4, 8, 16, 32};

// How the budget did. Speeds are true ones, without the luck of the draw, over the same requests
// after the warm-up; those before it count for `worst_of_off` alone.
struct BudgetComparison {
  int32_t best_tokens = 0;  // the best of the fixed draft lengths 0 to 8
  double best_of_off = 0;   // its speed, as a multiple of plain decoding's
  double of_best = 0;       // the budget's, as a share of that
  double of_off = 0;        // the budget's, as a multiple of plain decoding's
  double worst_of_off = 0;  // the least of all times from the first step to any later one
  int32_t worst_step = 0;
};

BudgetComparison CompareBudget(const BudgetCell& cell, int32_t warm_up_steps);

}  // namespace foretoken

#endif  // FORETOKEN_TESTING_BUDGET_COMPARISON_H_
