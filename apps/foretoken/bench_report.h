#ifndef FORETOKEN_FORETOKEN_BENCH_REPORT_H_
#define FORETOKEN_FORETOKEN_BENCH_REPORT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "foretoken/generation.h"
#include "near_tie_judge.h"

namespace foretoken {

// What was measured, as the user asked for it; printed beside the results.
struct BenchSettings {
  std::string model;
  std::string draft;  // empty: none
  std::string prompts_file;
  int32_t max_tokens = 0;
  int32_t repeat = 1;
  int32_t threads = 0;  // 0: the physical cores
  SamplingOptions sampling;
  SpeculativeConfig speculation;
};

// One prompt's runs, a pair for each repetition.
struct PromptFigures {
  std::string id;
  std::vector<FinishedEvent> plain;
  std::vector<FinishedEvent> speculative;
};

struct JudgedDifference {
  std::string id;  // the prompt's
  NearTieVerdict verdict;
};

// Whether speculation changed the tokens.
struct TokenCheck {
  std::string skipped;  // why nothing was compared; empty: it was
  int32_t compared = 0;
  std::vector<JudgedDifference> differences;

  int32_t excused() const;
  int32_t unexcused() const { return static_cast<int32_t>(differences.size()) - excused(); }
  int32_t equal() const { return compared - static_cast<int32_t>(differences.size()); }
};

struct BenchReport {
  BenchSettings settings;
  std::vector<PromptFigures> prompts;
  TokenCheck check;
};

// 0 for none; the mean of the middle two for an even number.
double Median(std::vector<double> values);
// The counts of both; tau is the mean over the rounds of both.
void AddSpeculation(const SpeculationStats& from, SpeculationStats& to);
// "auto", "off" or the fixed length; "prediction,suffix,draft" or "none"; "coupled".
std::string SpeculationName(const SpeculativeConfig& config);
std::string SourceNames(const SpeculativeConfig& config);
std::string_view RuleName(VerifyRule rule);

// docs/cli.md lists the fields.
nlohmann::ordered_json ReportToJson(const BenchReport& report);
std::string ReportToTable(const BenchReport& report);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_REPORT_H_
