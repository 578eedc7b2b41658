#ifndef FORETOKEN_SPECULATIVE_DRAFT_BUDGET_H_
#define FORETOKEN_SPECULATIVE_DRAFT_BUDGET_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "speculative/acceptance_model.h"
#include "speculative/draft_choices.h"
#include "speculative/forward_cost_model.h"
#include "speculative/position_search.h"

namespace foretoken {

struct DraftForward {
  int32_t draft_model = 0;
  int32_t rows = 0;
  double us = 0;
};

struct DraftOutcome {
  int32_t drafted = 0;
  int32_t accepted = 0;
};

// What the step came to that Choose was asked about.
struct StepOutcome {
  int32_t target_rows = 0;
  double target_us = 0;
  std::span<const DraftForward> draft_forwards;
  std::span<const DraftOutcome> sequences;  // in the order given to Choose
};

// Counters of a DraftBudget's life, over steps that were observed. Times are microseconds and of
// the steps that drafted, tokens those of sequences in mode kAuto and kFixed.
struct DraftBudgetMetrics {
  static constexpr size_t kLengths = 17;  // 16 and more count as the last
  int64_t steps = 0;
  int64_t drafting_steps = 0;
  double predicted_us = 0;
  double measured_us = 0;
  double predicted_accepted = 0;
  int64_t drafted_tokens = 0;
  int64_t accepted_tokens = 0;
  int64_t probes = 0;                             // steps that tried what was not expected to pay
  std::array<int64_t, kLengths> chosen_tokens{};  // by draft length, of sequences in mode kAuto
  std::array<int64_t, kOffReasons> off_reasons{};
};

// Decides every step which sequences draft how many tokens of which source, to maximise expected
// tokens per second, plain decoding included. What is not known is tried within an allowance: at
// most a small share of the time spent so far may be lost against plain decoding. docs/speculation
// describes the rules. No clock inside: the same calls give the same choices.
// The engine's thread. Never fails; what makes no sense is clamped.
class DraftBudget {
 public:
  // `other_rows`: of the step's target forward beyond one for each sequence (prefill); `max_rows`:
  // of all of it. Element i of the answer is sequence i's; valid until the next call.
  std::span<const DraftGrant> Choose(std::span<const BudgetSequence> sequences, int32_t other_rows,
                                     int32_t max_rows);
  // After Choose, with the same sequences; not if the step failed.
  void Observe(std::span<const BudgetSequence> sequences, const StepOutcome& outcome);

  const ForwardCostModel& target_cost() const { return costs_.target; }
  const DraftBudgetMetrics& metrics() const { return metrics_; }
  // What the step that Choose was last asked about is expected to take, drafts included; 0: not
  // known. What draft caches catch up with counts as spread over the rest of their answers.
  double expected_us() const { return plan_.us > 0 ? plan_.us + choices_.prefill_us() : 0; }
  // A forward of a step without sequences to decide for: its cost is learned all the same.
  void ObserveForward(int32_t target_rows, double us) { costs_.target.Observe(target_rows, us); }
  void ObserveDraftForward(const DraftForward& forward);

 private:
  // What Choose remembers for Observe.
  struct Pending {
    double predicted_accepted = 0;
    bool probe = false;
    bool cost_probe = false;
    AcceptanceModel* trial_acceptance = nullptr;
    DraftClass trial_class;
    double trial_rate = 0;  // before
  };

  bool TryClass(bool known);
  bool TryRows(int32_t other_rows);
  void RefreshPlain(int32_t other_rows);
  void Count(std::span<const BudgetSequence> sequences);

  ForwardCosts costs_;
  DraftChoices choices_;
  PositionSearch search_;
  DraftBudgetMetrics metrics_;
  int64_t step_ = 0;
  // What may be lost against plain decoding, us, and what the next trial may lose.
  double allowance_us_ = 0;
  double wanted_us_ = 0;
  int64_t steps_since_plain_ = 0;
  AcceptanceModel::Trial cost_trial_;
  int32_t cost_trial_burst_ = 0;
  bool saving_ = false;  // for a trial that costs more than the allowance
  int32_t cost_trial_rows_ = 0;
  Pending pending_;

  // Scratch of Choose.
  std::vector<DraftOption> trial_options_;
  std::vector<int32_t> trial_order_;
  std::vector<float> trial_survivals_;
  DraftPlan plan_;
  DraftPlan trial_plan_;
  DraftPlan best_trial_plan_;
  std::vector<DraftGrant> grants_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_DRAFT_BUDGET_H_
