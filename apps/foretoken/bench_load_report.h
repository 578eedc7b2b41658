#ifndef FORETOKEN_FORETOKEN_BENCH_LOAD_REPORT_H_
#define FORETOKEN_FORETOKEN_BENCH_LOAD_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

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
  std::optional<ForwardCosts> costs;  // absent: no ceiling is stated
};

// docs/benchmarks.md lists the fields.
nlohmann::ordered_json LoadReportToJson(const LoadReport& report);
std::string LoadReportToTable(const LoadReport& report);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_LOAD_REPORT_H_
