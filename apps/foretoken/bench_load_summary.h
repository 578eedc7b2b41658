#ifndef FORETOKEN_FORETOKEN_BENCH_LOAD_SUMMARY_H_
#define FORETOKEN_FORETOKEN_BENCH_LOAD_SUMMARY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench_load_ceiling.h"
#include "bench_load_check.h"
#include "bench_load_figures.h"
#include "foretoken/options.h"

namespace foretoken {

// What was measured, as the user asked for it; printed beside the results.
struct LoadSettings {
  std::string model;
  std::string draft;  // empty: none
  std::string prompts_file;
  int32_t max_tokens = 0;
  bool ignores_end_of_text = false;
  int32_t requests = 0;
  int32_t warm_up = 0;
  int32_t repeat = 0;
  int32_t context_tokens = 0;
  int32_t kv_cache_tokens = 0;
  int32_t threads = 0;
  int32_t max_running = 0;
  bool prefix_reuse = false;
  bool answer_store = false;
  std::vector<double> weights;  // of the tenants
  SamplingOptions sampling;
  SpeculativeConfig speculation;  // its mode is each result's own
};

// A load and a mode, with the figures of each round.
struct LoadPoint {
  int32_t concurrency = 0;  // 0: an open load
  double rate = 0;          // requests a second; 0: a closed load
  std::string mode;
  std::vector<LoadFigures> rounds;
};

// What a tenant that sends one request at a time sees in a round beside a neighbour that does the
// same, and beside one that floods.
struct FloodRound {
  LoadFigures quiet_beside_one;
  LoadFigures quiet_beside_flood;
};

struct FloodPoint {
  int32_t flood_requests = 0;  // at a time
  std::string mode;
  std::vector<FloodRound> rounds;
};

struct LoadReport {
  LoadSettings settings;
  LoadCheck check;
  std::vector<LoadPoint> points;
  std::vector<FloodPoint> floods;
  std::optional<MeasuredForwards> costs;  // absent: no ceiling is stated
};

// Rounds of one load: medians of their rates, their latencies together, the rest added up.
struct LoadSummary {
  explicit LoadSummary(const std::vector<LoadFigures>& rounds);

  std::vector<double> rounds_tokens_per_second;
  double tokens_per_second = 0;
  double prompt_tokens_per_second = 0;
  std::vector<double> tenant_tokens_per_second;
  double window_ms = 0;
  int64_t window_tokens = 0;
  int64_t answers = 0;
  int64_t completion_tokens = 0;
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;
  LatencySamples latency;
  SpeculationStats speculation;
  EngineWork work;
  std::vector<std::string> warnings;  // each once
};

// A quiet tenant's rounds, and how much longer it waits beside a flood, round by round.
struct FloodSummary {
  explicit FloodSummary(const FloodPoint& point);

  LoadSummary beside_one;
  LoadSummary beside_flood;
  std::vector<double> ttft_ratios;
  std::vector<double> tpot_ratios;
};

// Against `off` under the same load, round by round; empty without an `off`: the throughput, and
// how much faster the tokens of an answer followed each other.
std::vector<double> RateRatios(const LoadReport& report, const LoadPoint& point);
std::vector<double> DecodeSpeedUps(const LoadReport& report, const LoadPoint& point);

struct CeilingLine {
  int32_t concurrency = 0;
  SpeculationCeiling ceiling;
  std::string acceptance_of;  // the mode whose acceptance it assumes
  double reached = 0;         // the decode speed-up of `auto`; 0 without one
};

// One for each concurrency at which `off` ran and something else did; none without costs.
std::vector<CeilingLine> Ceilings(const LoadReport& report);

// a / b; 0 where b is.
double Quotient(double a, double b);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_LOAD_SUMMARY_H_
