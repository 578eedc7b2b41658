#ifndef FORETOKEN_FORETOKEN_BENCH_LOAD_FIGURES_H_
#define FORETOKEN_FORETOKEN_BENCH_LOAD_FIGURES_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench_load_generator.h"
#include "foretoken/generation.h"
#include "foretoken/metrics.h"

namespace foretoken {

// Latencies of single answers, as their readers saw them. docs/benchmarks.md defines each.
struct LatencySamples {
  std::vector<double> ttft_ms;  // due to first token
  std::vector<double> tpot_ms;  // (last token - first token) / (tokens - 1)
  std::vector<double> itl_ms;   // from one arrival to the next

  void Append(const LatencySamples& other);
};

// What the engine did in a load.
struct EngineWork {
  int64_t steps = 0;
  int64_t target_rows = 0;
  int64_t draft_rows = 0;
  PhaseTimes phases;
  // What the draft budget counted on and what came of it.
  Forecast step_us_forecast;
  Forecast accepted_forecast;

  // The share of the busy time that went into anything but the models' forwards.
  double OverheadShare() const;
};

EngineWork Sum(const std::vector<EngineMetrics>& engines);
EngineWork operator+(const EngineWork& a, const EngineWork& b);
EngineWork operator-(const EngineWork& a, const EngineWork& b);

// One load in figures. Rates and latencies are those of its window, the rest is of whole answers.
struct LoadFigures {
  double window_ms = 0;
  int64_t window_tokens = 0;
  double tokens_per_second = 0;
  double prompt_tokens_per_second = 0;  // of answers that began in the window; computed ones
  std::vector<double> tenant_tokens_per_second;
  LatencySamples latency;
  int64_t answers = 0;  // that ended by themselves
  int64_t completion_tokens = 0;
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;  // of these: not computed
  SpeculationStats speculation;
  EngineWork work;
  std::vector<std::string> warnings;  // each once
};

LoadFigures FiguresOf(const LoadRecord& record, size_t tenants);

// The part of a record that is one tenant's.
LoadRecord OnlyTenant(const LoadRecord& record, size_t tenant);

// The smallest sample that at least this share of them does not exceed; 0 for none.
double Percentile(std::vector<double> samples, double share);

// Jain's index of the rates over their weights: 1 when every tenant has its share, 1/n when one of
// n has everything; 0 when none has anything.
double FairnessIndex(std::span<const double> rates, std::span<const double> weights);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_LOAD_FIGURES_H_
