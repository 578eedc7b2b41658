#include "speculative/position_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace foretoken {
namespace {

// A gain below this is noise: plain decoding is simpler.
constexpr double kMinimumGain = 0.01;
// The part of its weighted share that a tenant gets before positions go by merit.
constexpr double kFloor = 0.5;

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

double Of(const ForwardCost& cost, PositionSearch::View view) {
  return view == PositionSearch::View::kHopeful ? cost.least_us : cost.us;
}

}  // namespace

// A step's price as positions are added to it, those of a sequence from the first on.
class PositionSearch::Sum {
 public:
  Sum(const StepCosts& costs, View view, std::vector<std::vector<int32_t>>& rows)
      : costs_(costs), view_(view), rows_(rows) {
    rows_.resize(std::max(rows_.size(), costs.drafts.size()));
    for (size_t m = 0; m < costs.drafts.size(); ++m) {
      rows_[m].clear();
      if (m >= costs.forced_rows.size()) continue;
      rows_[m] = costs.forced_rows[m];
      for (const int32_t n : rows_[m]) forced_us_ += costs.drafts[m][static_cast<size_t>(n)].us;
    }
    plain_us_ = costs.target[0].us + forced_us_;
  }

  // `gain`: of the sequence's log-speed, were the step no longer.
  void Add(const DraftOption& option, size_t depth, double gain) {
    ++positions_;
    gain_ += gain;
    accepted_ += option.survival[depth];
    sure_accepted_ += option.sure_survival[depth];
    if (option.draft_model < 0) return;
    const auto model = static_cast<size_t>(option.draft_model);
    std::vector<int32_t>& rows = rows_[model];
    if (rows.size() <= depth) rows.resize(depth + 1, 0);
    const auto n = static_cast<size_t>(rows[depth]++);
    const ForwardCost& before = costs_.drafts[model][n];
    const ForwardCost& after = costs_.drafts[model][n + 1];
    draft_us_ += Of(after, view_) - Of(before, view_);
    draft_most_us_ += after.most_us - before.most_us;
    if (depth == 0) {
      draft_us_ += option.catch_up_us;
      draft_most_us_ += option.catch_up_most_us;
    }
  }

  size_t positions() const { return positions_; }
  double plain_us() const { return plain_us_; }
  double us() const {
    if (positions_ == 0) return plain_us_;
    return forced_us_ + Of(costs_.target[positions_], view_) + draft_us_;
  }
  double log_speed() const { return gain_ / costs_.sequences - std::log(us() / plain_us_); }
  // At least log_speed(), and close to it where the step takes about `reference_us`.
  double LogSpeedBound(double reference_us, double log_reference) const {
    return gain_ / costs_.sequences - log_reference - (1 - reference_us / us());
  }
  double risk_us() const {
    if (positions_ == 0) return 0;
    const double more = costs_.target[positions_].most_us - costs_.target[0].us + draft_most_us_;
    return more - sure_accepted_ * plain_us_ / costs_.sequences;
  }
  void Write(DraftPlan& plan) const {
    plan.positions = static_cast<int32_t>(positions_);
    plan.accepted = accepted_;
    plan.us = us();
    plan.log_speed = log_speed();
    plan.risk_us = risk_us();
  }

 private:
  const StepCosts& costs_;
  const View view_;
  std::vector<std::vector<int32_t>>& rows_;
  size_t positions_ = 0;
  double plain_us_ = 0;
  double forced_us_ = 0;
  double gain_ = 0;
  double accepted_ = 0;
  double sure_accepted_ = 0;
  double draft_us_ = 0;
  double draft_most_us_ = 0;
};

void PositionSearch::FindBest(const StepCosts& costs, std::span<const DraftOption> options,
                              View view, double allowance_us, DraftPlan& plan) {
  std::fill(plan.drafts.begin(), plan.drafts.end(), PlannedDraft{});
  plan.floored = 0;
  plan.denied_us = 0;
  plan.denied_log_speed = kMinimumGain;
  Sum(costs, view, rows_).Write(plan);
  if (options.empty() || costs.target.size() < 2) return;

  model_users_.assign(costs.drafts.size(), 0);
  bool any_free = false;
  size_t deepest = 0;  // of what draft models may draft
  for (const DraftOption& option : options) {
    if (option.draft_model < 0) {
      any_free = true;
      continue;
    }
    deepest = std::max(deepest, option.survival.size());
    ++model_users_[static_cast<size_t>(option.draft_model)];
  }

  // What a microsecond is worth depends on the plan, and so does what a row costs.
  const auto collect = [&] {
    const size_t rows =
        std::min(costs.target.size() - 1,
                 plan.positions > 0 ? static_cast<size_t>(plan.positions) : plan.drafts.size());
    const double more_us = Of(costs.target[rows], view) - costs.target[0].us;
    Collect(options, costs.sequences / plan.us, more_us / static_cast<double>(rows));
  };
  plan.log_speed = kMinimumGain;
  best_positions_.clear();
  draft_us_per_row_.assign(costs.drafts.size(), kUnlimited);
  if (any_free) {
    collect();
    Scan(costs, options, view, allowance_us, 0, plan);
  }
  // A draft model's forward costs a sequence its share of all of it, or little once it is run for
  // others: sequences choose their source under both assumptions.
  for (const bool shared : {true, false}) {
    if (deepest == 0) break;
    for (size_t m = 0; m < costs.drafts.size(); ++m) {
      const auto n = static_cast<size_t>(model_users_[m]);
      if (n == 0) continue;
      const std::vector<ForwardCost>& cost = costs.drafts[m];
      draft_us_per_row_[m] =
          shared || n == 1 ? Of(cost[n], view) / static_cast<double>(n)
                           : (Of(cost[n], view) - Of(cost[1], view)) / static_cast<double>(n - 1);
    }
    collect();
    // How many forwards the draft models run is settled before positions compete: in one that runs
    // anyhow, even unlikely tokens cost next to nothing.
    for (size_t depths = 1; depths <= deepest; ++depths) {
      Scan(costs, options, view, allowance_us, depths, plan);
    }
  }
  if (plan.denied_log_speed <= plan.log_speed) plan.denied_us = 0;
  if (plan.positions == 0) {
    plan.log_speed = 0;
  } else if (costs.tenant_weights.size() > 1) {
    GiveFloors(costs, options, view, allowance_us, plan);
  }
}

double PositionSearch::DraftUsPerRow(const DraftOption& option) const {
  return option.draft_model < 0 ? 0 : draft_us_per_row_[static_cast<size_t>(option.draft_model)];
}

void PositionSearch::Collect(std::span<const DraftOption> options, double gain_per_us,
                             double row_us) {
  positions_.clear();
  for (size_t i = 0; i < options.size();) {
    const int32_t sequence = options[i].sequence;
    const DraftOption* chosen = nullptr;
    double chosen_value = 0;
    for (; i < options.size() && options[i].sequence == sequence; ++i) {
      const DraftOption& option = options[i];
      const double cost = gain_per_us * (row_us + DraftUsPerRow(option));
      if (option.survival.empty() || cost == kUnlimited) continue;
      double tokens = 1;
      double value = -kUnlimited;
      for (size_t depth = 0; depth < option.survival.size(); ++depth) {
        tokens += option.survival[depth];
        value = std::max(value, tokens - cost * static_cast<double>(depth + 1));
      }
      value -= gain_per_us * option.catch_up_us;
      if (chosen != nullptr && value <= chosen_value) continue;
      chosen = &option;
      chosen_value = value;
    }
    if (chosen == nullptr) continue;
    const double cost =
        gain_per_us * (DraftUsPerRow(*chosen) +
                       chosen->catch_up_us / static_cast<double>(chosen->survival.size()));
    float tokens = 1;
    for (size_t depth = 0; depth < chosen->survival.size(); ++depth) {
      const float gain = std::log1p(chosen->survival[depth] / tokens);
      tokens += chosen->survival[depth];
      positions_.push_back({static_cast<float>(gain - cost), gain,
                            static_cast<int32_t>(chosen - options.data()),
                            static_cast<int32_t>(depth)});
    }
  }
  std::sort(positions_.begin(), positions_.end(), [](const Position& a, const Position& b) {
    if (a.merit != b.merit) return a.merit > b.merit;
    return a.depth != b.depth ? a.depth < b.depth : a.option < b.option;
  });
}

void PositionSearch::Scan(const StepCosts& costs, std::span<const DraftOption> options, View view,
                          double allowance_us, size_t depths, DraftPlan& plan) {
  const auto excluded = [&](const Position& position) {
    return static_cast<size_t>(position.depth) >= depths &&
           options[static_cast<size_t>(position.option)].draft_model >= 0;
  };
  Sum sum(costs, view, rows_);
  double reference_us = plan.us;
  double log_reference = std::log(reference_us / sum.plain_us());
  bool better = false;
  for (const Position& position : positions_) {
    if (excluded(position)) continue;
    if (sum.positions() + 1 == costs.target.size()) break;
    sum.Add(options[static_cast<size_t>(position.option)], static_cast<size_t>(position.depth),
            position.gain);
    if (sum.LogSpeedBound(reference_us, log_reference) <= plan.log_speed) continue;
    if (sum.log_speed() <= plan.log_speed) continue;
    const double risk_us = sum.risk_us();
    if (risk_us > std::max(allowance_us, 0.0)) {
      if (sum.log_speed() > plan.denied_log_speed) {
        plan.denied_log_speed = sum.log_speed();
        plan.denied_us = risk_us;
      }
      continue;
    }
    sum.Write(plan);
    better = true;
    reference_us = plan.us;
    log_reference = std::log(reference_us / sum.plain_us());
  }
  if (!better) return;
  best_positions_.clear();
  for (const Position& position : positions_) {
    if (!excluded(position)) best_positions_.push_back(position);
  }
  Take(options, plan);
}

void PositionSearch::Take(std::span<const DraftOption> options, DraftPlan& plan) const {
  std::fill(plan.drafts.begin(), plan.drafts.end(), PlannedDraft{});
  for (size_t i = 0; i < static_cast<size_t>(plan.positions); ++i) {
    const Position& position = best_positions_[i];
    const DraftOption& option = options[static_cast<size_t>(position.option)];
    plan.drafts[static_cast<size_t>(option.sequence)] = {position.option, position.depth + 1};
  }
}

void PositionSearch::GiveFloors(const StepCosts& costs, std::span<const DraftOption> options,
                                View view, double allowance_us, DraftPlan& plan) {
  // A position is worth a floor if it brings what the plan's positions cost on average.
  const double plain_us = Sum(costs, view, rows_).plain_us();
  const double worth = (plan.us - plain_us) / plan.positions * costs.sequences / plan.us;
  const auto tenant_of = [&](const Position& position) {
    return static_cast<size_t>(options[static_cast<size_t>(position.option)].tenant);
  };
  floors_.assign(costs.tenant_weights.size(), 0);
  double weights = 0;
  for (const Position& position : best_positions_) {
    double& floor = floors_[tenant_of(position)];
    if (floor > 0 || position.gain < worth) continue;
    floor = costs.tenant_weights[tenant_of(position)];
    weights += floor;
  }
  if (weights <= 0) return;
  for (double& floor : floors_) floor = std::ceil(floor / weights * kFloor * plan.positions);

  merit_plan_ = plan;
  positions_.clear();
  rest_.clear();
  for (const Position& position : best_positions_) {
    const bool owed = position.gain >= worth && floors_[tenant_of(position)]-- > 0;
    (owed ? positions_ : rest_).push_back(position);
  }
  positions_.insert(positions_.end(), rest_.begin(), rest_.end());
  std::swap(positions_, best_positions_);
  Take(options, plan);
  Price(costs, options, view, plan);
  if (plan.log_speed < kMinimumGain || plan.risk_us > std::max(allowance_us, 0.0)) {
    std::swap(plan, merit_plan_);
    return;
  }
  for (size_t i = 0; i < plan.drafts.size(); ++i) {
    if (merit_plan_.drafts[i].tokens > 0 && plan.drafts[i].tokens == 0) ++plan.floored;
  }
}

void PositionSearch::Price(const StepCosts& costs, std::span<const DraftOption> options, View view,
                           DraftPlan& plan) {
  Sum sum(costs, view, rows_);
  for (const PlannedDraft& draft : plan.drafts) {
    double tokens = 1;
    for (size_t depth = 0; depth < static_cast<size_t>(draft.tokens); ++depth) {
      const DraftOption& option = options[static_cast<size_t>(draft.option)];
      sum.Add(option, depth, std::log1p(option.survival[depth] / tokens));
      tokens += option.survival[depth];
    }
  }
  sum.Write(plan);
}

}  // namespace foretoken
