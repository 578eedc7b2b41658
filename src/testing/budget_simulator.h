#ifndef FORETOKEN_TESTING_BUDGET_SIMULATOR_H_
#define FORETOKEN_TESTING_BUDGET_SIMULATOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "speculative/draft_budget.h"

namespace foretoken {

// What forwards truly take: straight lines between (rows, microseconds), the last one going on.
struct CostCurve {
  std::string name;
  std::vector<std::pair<double, double>> points;
  double Us(double rows) const;
};

// Stock CPU kernels, good CPU kernels, mixture of experts, GPU, and one where speculation cannot
// pay.
std::vector<CostCurve> StandardCurves();

// What a source has to say at one position of a request's answer, all before it being right.
struct SimulatedToken {
  bool offered = true;  // a proposal ends before a token that is not
  double acceptance = 0;
  float confidence = -1;  // negative: the source gives none
};

struct SimulatedSource {
  DraftSourceKind source = DraftSourceKind::kDraftModel;
  std::function<SimulatedToken(uint64_t request, int32_t position, int phase)> token;
};

struct SimulationOptions {
  CostCurve target;
  double draft_cost = 0.3;  // of the draft model's forward over one row, in target forwards
  std::vector<SimulatedSource> sources;
  int32_t sequences = 1;
  int32_t tenants = 1;
  int32_t max_tokens = 8;
  int32_t max_rows = 512;
  int32_t prompt_tokens = 32;
  int32_t least_length = 50;  // of an answer, in tokens
  int32_t most_length = 400;
  bool catch_up = true;    // draft caches fall behind, and behind the prompt to begin with
  int32_t idle_steps = 0;  // a request follows the one before it after up to so many steps
  double noise = 0.1;      // times are off by up to this share ...
  double outliers = 0.01;  // ... and this part of them is five times as long
  double drift = 0;        // forwards get slower by this share in a thousand steps
  uint64_t seed = 1;
  std::function<TemperatureBand(uint64_t request)> band;
};

// What a step came to. Times are the true ones, without noise.
struct SimulatedStep {
  double tokens = 0;           // committed
  double expected_tokens = 0;  // the sum of true probabilities: without the luck of the draw
  double us = 0;
  double plain_us = 0;  // what plain decoding takes for `tokens`
  int32_t drafted = 0;
};

// An engine's steps without an engine: requests come and go, a DraftBudget or a fixed draft length
// decides, and given curves and acceptance processes answer. A token's fate is a function of (seed,
// request, position), so that every policy meets the same texts.
// One thread at a time.
class BudgetSimulator {
 public:
  static constexpr int32_t kAuto = -1;

  // `draft_tokens`: kAuto, or the length of every draft.
  BudgetSimulator(SimulationOptions options, int32_t draft_tokens);

  SimulatedStep Step();
  void set_phase(int phase) { phase_ = phase; }
  // Requests that have come so far.
  uint64_t requests() const { return next_request_; }
  const DraftBudget& budget() const { return budget_; }
  AcceptanceModel& acceptance(size_t tenant) { return acceptance_[tenant]; }
  // Positions granted to each tenant so far.
  const std::vector<int64_t>& tenant_positions() const { return tenant_positions_; }

 private:
  struct Request {
    uint64_t id = 0;
    int32_t length = 0;
    int32_t prompt = 0;
    int32_t committed = 0;  // of the answer
    int32_t cached = 0;     // tokens of prompt and answer in the draft model's cache
    int32_t idle = 0;       // steps until it comes
    bool prefilled = false;
    TemperatureBand band = TemperatureBand::kZero;
    RequestAcceptance acceptance;
    std::vector<DraftOffer> offers;
    std::vector<std::vector<float>> confidences;
  };

  double Uniform(uint64_t a, uint64_t b, uint64_t c) const;
  void Admit(Request& request);
  void MakeOffers(Request& request);
  double Measured(double us);
  double DraftUs(double rows) const;

  SimulationOptions options_;
  int32_t draft_tokens_;
  int phase_ = 0;
  int64_t steps_ = 0;
  double slow_down_ = 1;
  uint64_t next_request_ = 0;
  std::mt19937_64 random_;
  std::vector<Request> requests_;
  std::vector<AcceptanceModel> acceptance_;
  std::vector<int64_t> tenant_positions_;
  DraftBudget budget_;
};

}  // namespace foretoken

#endif  // FORETOKEN_TESTING_BUDGET_SIMULATOR_H_
