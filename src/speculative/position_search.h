#ifndef FORETOKEN_SPECULATIVE_POSITION_SEARCH_H_
#define FORETOKEN_SPECULATIVE_POSITION_SEARCH_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "speculative/forward_cost_model.h"

namespace foretoken {

// One way to draft for one sequence.
struct DraftOption {
  int32_t sequence = 0;
  int32_t tenant = 0;        // its place in StepCosts::tenant_weights
  int32_t draft_model = -1;  // whose forwards it needs; -1: none
  // Element i: the probability that the first i + 1 tokens are all accepted; and no more than that
  // as far as it is not known. Neither ever rises.
  std::span<const float> survival;
  std::span<const float> sure_survival;
  // What the draft model's first forward takes longer for what its cache lacks: the share charged
  // to this step, and all of it at worst.
  double catch_up_us = 0;
  double catch_up_most_us = 0;
};

// What a step costs, without the drafts to be decided on and with them.
struct StepCosts {
  int32_t sequences = 1;  // all that wait for the step, 1 or more
  // Element x: the target's forward with x more rows. Not empty.
  std::span<const ForwardCost> target;
  // Element m, n: draft model m's forward over n rows (element 0 is nothing), for as many as may
  // use it; and how many rows forced drafts put into its forward at each depth.
  std::span<const std::vector<ForwardCost>> drafts;
  std::span<const std::vector<int32_t>> forced_rows;
  std::span<const double> tenant_weights;
};

// A sequence's part in a plan: the option taken and how many of its tokens; 0: plain.
struct PlannedDraft {
  int32_t option = -1;
  int32_t tokens = 0;
};

struct DraftPlan {
  std::vector<PlannedDraft> drafts;  // by sequence
  int32_t positions = 0;
  double accepted = 0;   // expected
  double us = 0;         // of the step as charged: drafting and the target's forward
  double log_speed = 0;  // the sequences' mean, against plain decoding
  // How much longer the step may take than plain decoding of the tokens that are sure.
  double risk_us = 0;
  // Of the best plan if it was too risky; 0: it was not.
  double denied_us = 0;
  double denied_log_speed = 0;
  int32_t floored = 0;  // sequences that would draft but for other tenants' floors
};

// Chooses how many tokens of which option every sequence drafts, to maximise the geometric mean of
// the sequences' speeds: with sequences alike that is tokens per second, and with sequences unlike
// the sum would be highest when easy texts are hurried through at the cost of hard ones, of which
// the engine would then soon be full. Positions are ordered by what they bring less what drafting
// them costs, and every prefix is priced exactly, so no bump of a cost curve hides what is behind.
// One thread at a time. Holds scratch memory only.
class PositionSearch {
 public:
  enum class View {
    kExpected,
    kHopeful,  // what was not measured costs the least it can
  };

  // The best plan whose risk is at most `allowance_us` (taken as 0 when negative). `options` are
  // sorted by sequence; `plan.drafts` has an element for every sequence. All are plain where no
  // plan is worth it. Of the positions, every tenant that has some worth their cost gets half of
  // its weighted share before the rest go by merit.
  void FindBest(const StepCosts& costs, std::span<const DraftOption> options, View view,
                double allowance_us, DraftPlan& plan);

  // Prices the plan's drafts.
  void Price(const StepCosts& costs, std::span<const DraftOption> options, View view,
             DraftPlan& plan);

 private:
  struct Position {
    float merit;
    float gain;  // of its sequence's log-speed
    int32_t option;
    int32_t depth;
  };
  class Sum;

  double DraftUsPerRow(const DraftOption& option) const;
  void Collect(std::span<const DraftOption> options, double gain_per_us, double row_us);
  void Scan(const StepCosts& costs, std::span<const DraftOption> options, View view,
            double allowance_us, size_t depths, DraftPlan& plan);
  void Take(std::span<const DraftOption> options, DraftPlan& plan) const;
  void GiveFloors(const StepCosts& costs, std::span<const DraftOption> options, View view,
                  double allowance_us, DraftPlan& plan);

  std::vector<Position> positions_;       // of the last Collect, best first
  std::vector<Position> best_positions_;  // that the plan was taken from
  std::vector<Position> rest_;
  std::vector<int32_t> model_users_;        // by draft model: sequences that may use it
  std::vector<double> draft_us_per_row_;    // by draft model
  std::vector<std::vector<int32_t>> rows_;  // by draft model and depth
  std::vector<double> floors_;              // by tenant: positions
  DraftPlan merit_plan_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_POSITION_SEARCH_H_
