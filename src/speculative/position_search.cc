#include "speculative/position_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace foretoken {
namespace {

// A gain below this is noise: plain decoding is simpler.
constexpr double kMinimumGain = 1.01;
// The part of its weighted share that a tenant gets before positions go by merit.
constexpr double kFloor = 0.5;

double Of(const ForwardCost& cost, PositionSearch::View view) {
  return view == PositionSearch::View::kHopeful ? cost.least_us : cost.us;
}

}  // namespace

// A step's price as positions are added to it.
class PositionSearch::Sum {
 public:
  Sum(const StepCosts& costs, View view, std::vector<std::vector<int32_t>>& rows)
      : costs_(costs), view_(view), rows_(rows) {
    rows_.resize(std::max(rows_.size(), costs.drafts.size()));
    for (size_t m = 0; m < costs.drafts.size(); ++m) {
      rows_[m].clear();
      if (m >= costs.forced_rows.size()) continue;
      rows_[m] = costs.forced_rows[m];
      for (int32_t n : rows_[m]) forced_us_ += costs.drafts[m][static_cast<size_t>(n)].us;
    }
    plain_us_ = costs.target[0].us + forced_us_;
  }

  void Add(const DraftOption& option, size_t depth) {
    ++positions_;
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

  double plain_us() const { return plain_us_; }
  double plain_rate() const { return costs_.tokens / plain_us_; }
  double us() const {
    if (positions_ == 0) return plain_us_;
    return forced_us_ + Of(costs_.target[positions_], view_) + draft_us_;
  }
  double rate() const { return (costs_.tokens + accepted_) / us(); }
  double risk_us() const {
    if (positions_ == 0) return 0;
    const double more = costs_.target[positions_].most_us - costs_.target[0].us + draft_most_us_;
    return more - sure_accepted_ / plain_rate();
  }
  void Write(DraftPlan& plan) const {
    plan.positions = static_cast<int32_t>(positions_);
    plan.accepted = accepted_;
    plan.us = us();
    plan.rate = rate();
    plan.risk_us = risk_us();
  }

 private:
  const StepCosts& costs_;
  const View view_;
  std::vector<std::vector<int32_t>>& rows_;
  size_t positions_ = 0;
  double plain_us_ = 0;
  double forced_us_ = 0;
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
  const Sum plain(costs, view, rows_);
  plain.Write(plan);
  if (options.empty() || costs.target.size() < 2) return;

  const size_t models = costs.drafts.size();
  model_users_.assign(models, 0);
  bool any_free = false;
  bool any_model = false;
  for (const DraftOption& option : options) {
    (option.draft_model < 0 ? any_free : any_model) = true;
    if (option.draft_model >= 0) ++model_users_[static_cast<size_t>(option.draft_model)];
  }
  draft_us_per_row_.assign(models, 0);
  for (size_t m = 0; m < models; ++m) {
    if (model_users_[m] == 0) continue;
    const auto n = static_cast<size_t>(model_users_[m]);
    draft_us_per_row_[m] = Of(costs.drafts[m][n], view) / model_users_[m];
  }

  const double plain_rate = plan.rate;
  const auto row_us = [&] {
    const size_t rows = std::min(costs.target.size() - 1,
                                 plan.positions > 0 ? static_cast<size_t>(plan.positions)
                                                    : plan.drafts.size());
    return (Of(costs.target[rows], view) - costs.target[0].us) / static_cast<double>(rows);
  };
  plan.rate = plain_rate * kMinimumGain;
  best_positions_.clear();
  if (any_free) {
    Collect(options, plan.rate, row_us(), /*free_only=*/true);
    Scan(costs, options, view, allowance_us, plan);
  }
  // What a microsecond is worth depends on the plan, and the sources on what it is worth.
  for (int pass = 0; any_model && pass < 2; ++pass) {
    Collect(options, plan.rate, row_us(), /*free_only=*/false);
    Scan(costs, options, view, allowance_us, plan);
  }
  if (plan.positions == 0) {
    plain.Write(plan);
  } else if (costs.tenant_weights.size() > 1) {
    GiveFloors(costs, options, view, allowance_us, plan);
  }
}

void PositionSearch::Collect(std::span<const DraftOption> options, double tokens_per_us,
                             double row_us, bool free_only) {
  positions_.clear();
  for (size_t first = 0; first < options.size();) {
    const int32_t sequence = options[first].sequence;
    size_t chosen = options.size();
    double chosen_value = 0;
    size_t next = first;
    for (; next < options.size() && options[next].sequence == sequence; ++next) {
      const DraftOption& option = options[next];
      if (option.survival.empty() || (free_only && option.draft_model >= 0)) continue;
      double cost = row_us;
      if (option.draft_model >= 0) cost += draft_us_per_row_[static_cast<size_t>(option.draft_model)];
      double value = -tokens_per_us * option.catch_up_us;
      double best = value + option.survival[0] - tokens_per_us * cost;
      for (const float survival : option.survival) {
        value += survival - tokens_per_us * cost;
        best = std::max(best, value);
      }
      if (chosen < options.size() && best <= chosen_value) continue;
      chosen = next;
      chosen_value = best;
    }
    first = next;
    if (chosen == options.size()) continue;
    const DraftOption& option = options[chosen];
    double cost = option.catch_up_us / static_cast<double>(option.survival.size());
    if (option.draft_model >= 0) cost += draft_us_per_row_[static_cast<size_t>(option.draft_model)];
    for (size_t depth = 0; depth < option.survival.size(); ++depth) {
      const auto merit = static_cast<float>(option.survival[depth] - tokens_per_us * cost);
      positions_.push_back({merit, option.survival[depth], static_cast<int32_t>(chosen),
                            static_cast<int32_t>(depth)});
    }
  }
  std::sort(positions_.begin(), positions_.end(), [](const Position& a, const Position& b) {
    if (a.merit != b.merit) return a.merit > b.merit;
    return a.depth != b.depth ? a.depth < b.depth : a.option < b.option;
  });
}

void PositionSearch::Scan(const StepCosts& costs, std::span<const DraftOption> options, View view,
                          double allowance_us, DraftPlan& plan) {
  Sum sum(costs, view, rows_);
  const size_t most = std::min(positions_.size(), costs.target.size() - 1);
  size_t best = 0;
  for (size_t i = 0; i < most; ++i) {
    const Position& position = positions_[i];
    sum.Add(options[static_cast<size_t>(position.option)], static_cast<size_t>(position.depth));
    if (sum.rate() <= plan.rate) continue;
    if (sum.risk_us() > std::max(allowance_us, 0.0)) {
      if (plan.denied_us <= 0 || sum.risk_us() < plan.denied_us) plan.denied_us = sum.risk_us();
      continue;
    }
    sum.Write(plan);
    best = i + 1;
  }
  if (best == 0) return;
  std::swap(positions_, best_positions_);
  Take(options, plan);
}

void PositionSearch::Take(std::span<const DraftOption> options, DraftPlan& plan) const {
  std::fill(plan.drafts.begin(), plan.drafts.end(), PlannedDraft{});
  for (size_t i = 0; i < static_cast<size_t>(plan.positions); ++i) {
    const Position& position = best_positions_[i];
    const auto sequence = static_cast<size_t>(options[static_cast<size_t>(position.option)].sequence);
    plan.drafts[sequence] = {position.option, position.depth + 1};
  }
}

void PositionSearch::GiveFloors(const StepCosts& costs, std::span<const DraftOption> options,
                                View view, double allowance_us, DraftPlan& plan) {
  const Sum plain(costs, view, rows_);
  const double position_us = (plan.us - plain.plain_us()) / plan.positions;
  const double worth = position_us * plain.plain_rate();
  const auto tenant_of = [&](const Position& position) {
    return static_cast<size_t>(options[static_cast<size_t>(position.option)].tenant);
  };
  floors_.assign(costs.tenant_weights.size(), 0);
  double weights = 0;
  for (const Position& position : best_positions_) {
    double& floor = floors_[tenant_of(position)];
    if (floor > 0 || position.survival < worth) continue;
    floor = costs.tenant_weights[tenant_of(position)];
    weights += floor;
  }
  for (double& floor : floors_) floor = std::ceil(floor / weights * kFloor * plan.positions);

  merit_plan_ = plan;
  positions_.clear();
  rest_.clear();
  for (const Position& position : best_positions_) {
    const bool owed = position.survival >= worth && floors_[tenant_of(position)]-- > 0;
    (owed ? positions_ : rest_).push_back(position);
  }
  positions_.insert(positions_.end(), rest_.begin(), rest_.end());
  std::swap(positions_, best_positions_);
  Take(options, plan);
  Price(costs, options, view, plan);
  if (plan.rate < plain.plain_rate() * kMinimumGain || plan.risk_us > std::max(allowance_us, 0.0)) {
    plan = merit_plan_;
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
    for (int32_t depth = 0; depth < draft.tokens; ++depth) {
      sum.Add(options[static_cast<size_t>(draft.option)], static_cast<size_t>(depth));
    }
  }
  sum.Write(plan);
}

}  // namespace foretoken
