#include "testing/budget_comparison.h"

#include <cstdio>
#include <limits>
#include <utility>

namespace foretoken {
namespace {

constexpr int32_t kMaxTokens = 8;

// Between 0 and 1, the same for the same numbers.
double Chance(uint64_t a, uint64_t b) {
  uint64_t h = a * 0x9e3779b97f4a7c15u + b * 0xc2b2ae3d27d4eb4fu + 12345;
  h = (h ^ (h >> 29)) * 0xbf58476d1ce4e5b9u;
  h = (h ^ (h >> 32)) * 0x94d049bb133111ebu;
  h ^= h >> 31;
  return static_cast<double>(h >> 11) * 0x1p-53;
}

SimulatedSource ModelSource(std::function<double(uint64_t request, int32_t position)> rate) {
  return {DraftSourceKind::kDraftModel,
          [rate = std::move(rate)](uint64_t request, int32_t position, int) {
            return SimulatedToken{true, rate(request, position), -1};
          }};
}

// Passages of 16 tokens: seen before and sure, alike and doubtful, or unlike anything.
SimulatedSource SuffixSource() {
  return {DraftSourceKind::kSuffix, [](uint64_t request, int32_t position, int) {
            const double passage = Chance(request, 1000 + static_cast<uint64_t>(position) / 16);
            const double sure = Chance(request, 100000 + static_cast<uint64_t>(position));
            if (passage < 0.4) {
              return SimulatedToken{true, 0.98, static_cast<float>(0.8 + 0.2 * sure)};
            }
            return SimulatedToken{passage < 0.7, 0.1, static_cast<float>(0.2 + 0.5 * sure)};
          }};
}

double RateOfRequest(uint64_t request, int32_t) {
  const double kind = Chance(request, 7);
  return kind < 0.33 ? 0.2 : kind < 0.66 ? 0.6 : 0.93;
}

double RateOfPassage(uint64_t request, int32_t position) {
  return Chance(request, 1000 + static_cast<uint64_t>(position) / 24) < 0.5 ? 0.98 : 0.15;
}

double RateOfBand(uint64_t request, int32_t) {
  constexpr double kRates[kTemperatureBands] = {0.9, 0.8, 0.6, 0.2};
  return kRates[request % kTemperatureBands];
}

struct Total {
  double tokens = 0;
  double us = 0;
  double us_per_token() const { return us / tokens; }
};

}  // namespace

SimulatedSource ConstantSource(double rate, double rate_in_phase_1) {
  return {DraftSourceKind::kDraftModel, [=](uint64_t, int32_t, int phase) {
            return SimulatedToken{true, phase == 0 ? rate : rate_in_phase_1, -1};
          }};
}

std::vector<SimulatedWorkload> StandardWorkloads() {
  return {
      {"c.3", {ConstantSource(0.3, 0.3)}, {}},
      {"c.6", {ConstantSource(0.6, 0.6)}, {}},
      {"c.8", {ConstantSource(0.8, 0.8)}, {}},
      {"c.95", {ConstantSource(0.95, 0.95)}, {}},
      {"mix", {ModelSource(RateOfRequest)}, {}},
      {"burst", {ModelSource(RateOfPassage)}, {}},
      {"suffix", {SuffixSource()}, {}},
      {"both", {SuffixSource(), ConstantSource(0.75, 0.75)}, {}},
      {"temps",
       {ModelSource(RateOfBand)},
       [](uint64_t request) { return static_cast<TemperatureBand>(request % kTemperatureBands); }},
      {"short", {ConstantSource(0.8, 0.8)}, {}, 96, 78},
  };
}

std::string BudgetCell::Name() const {
  char text[64];
  std::snprintf(text, sizeof text, "%-6s %-6s c=%.2f n=%d", curve.name.c_str(),
                workload.name.c_str(), draft_cost, sequences);
  return text;
}

SimulationOptions BudgetCell::Options() const {
  SimulationOptions options;
  options.target = curve;
  options.draft_cost = draft_cost;
  options.sources = workload.sources;
  options.band = workload.band;
  options.prompt_tokens = workload.prompt_tokens;
  options.most_length = workload.most_length;
  options.sequences = sequences;
  options.max_tokens = kMaxTokens;
  return options;
}

BudgetComparison CompareBudget(const BudgetCell& cell, int32_t warm_up_steps) {
  BudgetComparison result;
  result.worst_of_off = std::numeric_limits<double>::infinity();
  BudgetSimulator budget(cell.Options(), BudgetSimulator::kAuto);
  uint64_t first = std::numeric_limits<uint64_t>::max();
  uint64_t last = first;
  Total after_warm_up;
  double us = 0;
  double plain_us = 0;
  for (int32_t i = 0; budget.requests() < last; ++i) {
    const SimulatedStep step = budget.Step();
    us += step.us;
    plain_us += step.plain_us;
    if (plain_us / us < result.worst_of_off) {
      result.worst_of_off = plain_us / us;
      result.worst_step = i;
    }
    if (i == warm_up_steps) {
      first = budget.requests();
      last = first + 40 + 6 * static_cast<uint64_t>(cell.sequences);
    }
    if (budget.requests() <= first) continue;
    after_warm_up.tokens += step.expected_tokens;
    after_warm_up.us += step.us;
  }

  double off = 0;
  double best = 0;
  for (int32_t tokens = 0; tokens <= kMaxTokens; ++tokens) {
    BudgetSimulator fixed(cell.Options(), tokens);
    Total total;
    while (fixed.requests() < last) {
      const SimulatedStep step = fixed.Step();
      if (fixed.requests() <= first) continue;
      total.tokens += step.expected_tokens;
      total.us += step.us;
    }
    if (tokens == 0) off = best = total.us_per_token();
    if (total.us_per_token() < best) {
      best = total.us_per_token();
      result.best_tokens = tokens;
    }
  }
  result.best_of_off = off / best;
  result.of_best = best / after_warm_up.us_per_token();
  result.of_off = off / after_warm_up.us_per_token();
  return result;
}

}  // namespace foretoken
