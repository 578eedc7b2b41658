#include "speculative/draft_budget.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace foretoken {
namespace {

// The share of the time that may be lost by trying, and how much of it is kept for later, in plain
// steps; more only when a trial costs more.
constexpr double kAllowanceShare = 0.015;
constexpr double kKeptAllowanceSteps = 32;
// Steps between trials of a class that is not in use. The interval grows while trials fail.
constexpr int32_t kFirstInterval = 8;
constexpr int32_t kMaxInterval = 256;
constexpr int32_t kRecheckInterval = 16;
// A trial waits so long for a sequence whose draft cache is not far behind.
constexpr int32_t kPatience = 256;
// Until a class has this many tokens behind it, its trials go on at the first interval. Behind a
// class that is not in use never count more: what is tried seldom must be able to change a mind.
constexpr double kTrialEvidence = 12;
// A class under trial may be as good as this.
constexpr double kHopefulRate = 0.95;
// Only what could bring this much more is worth trying.
constexpr double kHopefulGain = 0.01;
// So many tokens tell half of what there is to know.
constexpr double kHalfKnownTokens = 8;
// What plain decoding costs is measured again after so many steps that drafted that what a plain
// step forgoes is this share of their time: soon where little is gained, for there a small error
// takes a loss for a gain.
constexpr double kRefreshShare = 0.001;
constexpr double kMinPlainInterval = 64;
constexpr double kMaxPlainInterval = 256;
// A trial of a row count succeeded if it was this much cheaper than expected.
constexpr double kCheaper = 0.97;
// Less certain than this, it is tried again.
constexpr double kDoubted = 0.3;
constexpr double kCatchUpSteps = 0.5;
// Trials in a row.
constexpr int32_t kBurst = 4;
// A trial that lifts the class's rate by this much is followed by the next one.
constexpr double kSurprise = 0.03;

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

}  // namespace

std::span<const DraftGrant> DraftBudget::Choose(std::span<const BudgetSequence> sequences,
                                                int32_t other_rows, int32_t max_rows) {
  ++step_;
  pending_ = {};
  wanted_us_ = 0;
  grants_.assign(sequences.size(), {});
  other_rows = std::max(other_rows, 0);
  choices_.Prepare(sequences, costs_, other_rows, max_rows, grants_);

  plan_.drafts.assign(sequences.size(), {});
  plan_.positions = 0;
  plan_.accepted = 0;
  plan_.denied_us = 0;
  plan_.floored = 0;
  plan_.us = costs_.target.empty() ? 0 : choices_.plain_us();
  const bool plain_known =
      other_rows > 0 ? !costs_.target.empty() : costs_.target.Certainty(choices_.plain_rows()) > 0;
  if (plain_known && !choices_.options().empty()) {
    search_.FindBest(choices_.costs(), choices_.options(), PositionSearch::View::kExpected,
                     allowance_us_, plan_);
    wanted_us_ = plan_.denied_us;
    // First what nothing is known of, then what might pay, then what did not when last seen.
    if (!TryClass(/*known=*/false) && !TryRows(other_rows) &&
        (saving_ || !TryClass(/*known=*/true))) {
      RefreshPlain(other_rows);
    }
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    const PlannedDraft& draft = plan_.drafts[i];
    if (draft.tokens > 0) {
      grants_[i] = {.offer = choices_.OfferIndex(static_cast<size_t>(draft.option)),
                    .tokens = draft.tokens};
    }
  }
  pending_.predicted_accepted += plan_.accepted;
  Count(sequences);
  return grants_;
}

bool DraftBudget::TryClass(bool known) {
  const std::span<const DraftOption> options = choices_.options();
  const auto class_of = [&](size_t o) { return choices_.ClassOf(o); };
  const auto tenant_of = [&](size_t o) { return choices_.SequenceOf(o).acceptance; };
  for (const PlannedDraft& draft : plan_.drafts) {
    if (draft.tokens == 0) continue;
    const auto o = static_cast<size_t>(draft.option);
    tenant_of(o)->trial(class_of(o)) = {step_ + kFirstInterval, 0};
  }
  // The class that has waited longest.
  size_t due = options.size();
  int64_t due_step = step_ + 1;
  for (size_t o = 0; o < options.size(); ++o) {
    const AcceptanceModel::Trial& trial = tenant_of(o)->trial(class_of(o));
    if (trial.due_step >= due_step) continue;
    if (known != (tenant_of(o)->Evidence(class_of(o)) >= kTrialEvidence)) continue;
    due_step = trial.due_step;
    due = o;
  }
  if (due == options.size()) return false;
  AcceptanceModel* const acceptance = tenant_of(due);
  const DraftClass draft = class_of(due);
  AcceptanceModel::Trial& trial = acceptance->trial(draft);

  // Could it pay at all?
  trial_options_.clear();
  trial_order_.clear();
  const std::span<const float> survivals = choices_.survivals();
  trial_survivals_.assign(survivals.begin(), survivals.end());
  for (size_t o = 0; o < options.size(); ++o) {
    if (tenant_of(o) != acceptance || class_of(o).source != draft.source ||
        class_of(o).band != draft.band) {
      continue;
    }
    trial_order_.push_back(static_cast<int32_t>(o));
    DraftOption option = options[o];
    const std::span<const float> confidences = choices_.OfferOf(o).confidences;
    float* const hopeful =
        &trial_survivals_[static_cast<size_t>(option.survival.data() - survivals.data())];
    double product = 1;
    for (size_t depth = 0; depth < option.survival.size(); ++depth) {
      product *=
          confidences.empty() ? kHopefulRate : std::min<double>(confidences[depth], kHopefulRate);
      hopeful[depth] = std::max(static_cast<float>(product), option.survival[depth]);
    }
    option.survival = {hopeful, option.survival.size()};
    trial_options_.push_back(option);
  }
  trial_plan_.drafts.resize(plan_.drafts.size());
  search_.FindBest(choices_.costs(), trial_options_, PositionSearch::View::kHopeful, kUnlimited,
                   trial_plan_);
  if (trial_plan_.log_speed < plan_.log_speed + kHopefulGain) {
    trial.due_step = step_ + kRecheckInterval;
    return false;
  }

  // The number of sequences and of tokens that tells most for what may be lost.
  std::sort(trial_order_.begin(), trial_order_.end(), [&](int32_t a, int32_t b) {
    const DraftOption& x = options[static_cast<size_t>(a)];
    const DraftOption& y = options[static_cast<size_t>(b)];
    const bool x_used = plan_.drafts[static_cast<size_t>(x.sequence)].tokens > 0;
    const bool y_used = plan_.drafts[static_cast<size_t>(y.sequence)].tokens > 0;
    if (x_used != y_used) return y_used;
    if (x.catch_up_most_us != y.catch_up_most_us) return x.catch_up_most_us < y.catch_up_most_us;
    return a < b;
  });
  double best_score = 0;
  double best_risk = 0;
  const size_t candidates = trial_order_.size();
  for (size_t count = 1; count <= candidates;
       count = count == candidates ? count + 1 : std::min(2 * count, candidates)) {
    for (size_t length = 1; length <= 4; length *= 2) {
      trial_plan_.drafts = plan_.drafts;
      double tried = 0;
      size_t longest = 0;
      for (size_t i = 0; i < count; ++i) {
        const DraftOption& option = options[static_cast<size_t>(trial_order_[i])];
        const size_t tokens = std::min(length, option.survival.size());
        longest = std::max(longest, tokens);
        trial_plan_.drafts[static_cast<size_t>(option.sequence)] = {trial_order_[i],
                                                                    static_cast<int32_t>(tokens)};
        tried += 1;
        for (size_t depth = 1; depth < tokens; ++depth) tried += option.survival[depth - 1];
      }
      if (longest < length) break;
      // What is tried comes on top of the plan: the step may have no room for both.
      size_t positions = 0;
      for (const PlannedDraft& planned : trial_plan_.drafts) {
        positions += static_cast<size_t>(planned.tokens);
      }
      if (positions >= choices_.costs().target.size()) break;
      search_.Price(choices_.costs(), options, PositionSearch::View::kExpected, trial_plan_);
      const double risk = std::max(trial_plan_.risk_us - plan_.risk_us, 0.0);
      const double score = tried / (tried + kHalfKnownTokens) / (risk + 0.05 * choices_.plain_us());
      if (score <= best_score) continue;
      best_score = score;
      best_risk = risk;
      std::swap(best_trial_plan_, trial_plan_);
      trial_plan_.drafts.resize(plan_.drafts.size());
    }
  }
  if (best_score <= 0) return false;
  if (acceptance->Evidence(draft) > 4 && trial.due_step + kPatience > step_) {
    const auto o = static_cast<size_t>(trial_order_.front());
    const int32_t lacking = choices_.OfferOf(o).catch_up_tokens;
    if (lacking > choices_.SequenceOf(o).prompt_tokens + kFirstInterval &&
        lacking > kFirstInterval) {
      return false;
    }
  }
  if (best_risk > allowance_us_) {
    wanted_us_ = std::max(wanted_us_, best_risk);
    return false;
  }
  best_trial_plan_.floored = plan_.floored;
  best_trial_plan_.denied_us = plan_.denied_us;
  std::swap(plan_, best_trial_plan_);
  pending_.probe = true;
  pending_.trial_acceptance = acceptance;
  pending_.trial_class = draft;
  pending_.trial_rate = acceptance->Rate(draft);
  return true;
}

bool DraftBudget::TryRows(int32_t other_rows) {
  saving_ = false;
  if (other_rows > 0) return false;
  if (choices_.plain_rows() * 3 < cost_trial_rows_ * 2 ||
      choices_.plain_rows() * 2 > cost_trial_rows_ * 3) {
    cost_trial_ = {};
    cost_trial_rows_ = choices_.plain_rows();
  }
  if (cost_trial_.due_step > step_) return false;
  trial_plan_.drafts.resize(plan_.drafts.size());
  search_.FindBest(choices_.costs(), choices_.settled_options(), PositionSearch::View::kHopeful,
                   allowance_us_, trial_plan_);
  const bool affordable = trial_plan_.log_speed >= plan_.log_speed + kHopefulGain;
  const double kept_us = kKeptAllowanceSteps * choices_.plain_us();
  double catch_up_us = 0;
  for (const PlannedDraft& draft : trial_plan_.drafts) {
    if (draft.tokens > 0)
      catch_up_us += choices_.options()[static_cast<size_t>(draft.option)].catch_up_most_us;
  }
  // What caches lack should be made up for once, and then be used for the best plan and for as many
  // trials as it takes.
  double needed_us = affordable ? trial_plan_.risk_us : 0;
  if (catch_up_us > kCatchUpSteps * choices_.plain_us()) {
    needed_us += (kBurst - 1) * std::max(trial_plan_.risk_us - catch_up_us, 0.0);
    needed_us = std::max(needed_us, trial_plan_.denied_us);
  } else if (!affordable) {
    needed_us = trial_plan_.denied_us;
  }
  if (needed_us > allowance_us_) {
    saving_ = needed_us < kept_us;
    wanted_us_ = std::max(wanted_us_, std::min(needed_us, kept_us));
    if (saving_) return false;
  }
  if (!affordable) {
    cost_trial_.due_step = step_ + kRecheckInterval;
    return false;
  }
  search_.Price(choices_.costs(), choices_.options(), PositionSearch::View::kExpected, trial_plan_);
  std::swap(plan_, trial_plan_);
  pending_.probe = true;
  pending_.cost_probe = true;
  return true;
}

void DraftBudget::RefreshPlain(int32_t other_rows) {
  if (plan_.positions == 0 || other_rows > 0) return;
  const double interval =
      std::clamp(std::expm1(plan_.log_speed) / kRefreshShare, kMinPlainInterval, kMaxPlainInterval);
  if (static_cast<double>(steps_since_plain_) < interval) return;
  std::fill(plan_.drafts.begin(), plan_.drafts.end(), PlannedDraft{});
  plan_.positions = 0;
  plan_.accepted = 0;
  pending_.probe = true;
}

void DraftBudget::Count(std::span<const BudgetSequence> sequences) {
  int32_t floored = plan_.floored;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const BudgetSequence& sequence = sequences[i];
    if (sequence.mode != SpeculationMode::kAuto) continue;
    const auto tokens = static_cast<size_t>(grants_[i].tokens);
    ++metrics_.chosen_tokens[std::min(tokens, DraftBudgetMetrics::kLengths - 1)];
    if (tokens > 0) continue;
    const bool offered = std::any_of(sequence.offers.begin(), sequence.offers.end(),
                                     [](const DraftOffer& offer) { return offer.max_tokens > 0; });
    OffReason reason = OffReason::kDoesNotPay;
    if (sequence.limited || choices_.costs().target.size() < 2) {
      reason = OffReason::kLimit;
    }
    if (!offered && !sequence.limited) {
      reason = OffReason::kNoDraft;
    } else if (floored > 0) {
      reason = OffReason::kFloor;
      --floored;
    } else if (wanted_us_ > 0) {
      reason = OffReason::kUnknown;
    }
    grants_[i].off_reason = reason;
    ++metrics_.off_reasons[static_cast<size_t>(reason)];
  }
}

void DraftBudget::ObserveDraftForward(const DraftForward& forward) {
  if (forward.draft_model < 0) return;
  const auto model = static_cast<size_t>(forward.draft_model);
  if (costs_.drafts.size() <= model) costs_.drafts.resize(model + 1);
  costs_.drafts[model].Observe(forward.rows, forward.us);
}

void DraftBudget::Observe(std::span<const BudgetSequence> sequences, const StepOutcome& outcome) {
  // Learn first, so that the account below is kept in what is known now.
  costs_.target.Observe(outcome.target_rows, outcome.target_us);
  double draft_us = 0;
  double step_us = outcome.target_us;
  for (const DraftForward& forward : outcome.draft_forwards) {
    ObserveDraftForward(forward);
    if (forward.draft_model < 0) continue;
    draft_us += forward.us;
    step_us += forward.us;
  }

  int32_t accepted = 0;
  int32_t drafted = 0;
  if (pending_.trial_acceptance != nullptr) {
    pending_.trial_acceptance->LimitEvidence(pending_.trial_class, kTrialEvidence);
  }
  const size_t count = std::min({sequences.size(), outcome.sequences.size(), grants_.size()});
  for (size_t i = 0; i < count; ++i) {
    const BudgetSequence& sequence = sequences[i];
    const DraftGrant& grant = grants_[i];
    for (size_t o = 0; o < sequence.offers.size(); ++o) {
      const DraftOffer& offer = sequence.offers[o];
      const bool used = grant.tokens > 0 && grant.offer == static_cast<int32_t>(o);
      if (!used) {
        if (offer.max_tokens > 0) sequence.request->Forget(offer.source);
        continue;
      }
      const DraftOutcome& result = outcome.sequences[i];
      const DraftClass draft{offer.source, sequence.band};
      sequence.acceptance->Observe(draft, {result.drafted, result.accepted, offer.confidences},
                                   *sequence.request);
      drafted += result.drafted;
      if (sequence.mode == SpeculationMode::kAuto) accepted += result.accepted;
      metrics_.accepted_tokens += result.accepted;
    }
  }

  ++metrics_.steps;
  metrics_.drafted_tokens += drafted;
  if (drafted > 0) {
    ++metrics_.drafting_steps;
    metrics_.predicted_us += plan_.us;
    metrics_.measured_us += step_us;
    metrics_.predicted_accepted += pending_.predicted_accepted;
  }
  if (pending_.probe) ++metrics_.probes;

  // A step with other rows says nothing of what plain decoding costs without them.
  if (drafted > 0) {
    ++steps_since_plain_;
  } else if (choices_.step_rows() == choices_.plain_rows()) {
    steps_since_plain_ = 0;
  }
  if (pending_.trial_acceptance != nullptr) {
    AcceptanceModel::Trial& trial = pending_.trial_acceptance->trial(pending_.trial_class);
    const bool is_surprise =
        pending_.trial_acceptance->Rate(pending_.trial_class) > pending_.trial_rate + kSurprise;
    const bool is_unclear =
        pending_.trial_acceptance->Evidence(pending_.trial_class) < kTrialEvidence;
    trial.interval = is_surprise || is_unclear
                         ? kFirstInterval
                         : std::clamp(trial.interval * 2, kFirstInterval, kMaxInterval);
    trial.due_step = step_ + trial.interval;
  }
  if (pending_.cost_probe) {
    // Draft caches are not behind now: the next trials are cheap.
    if (++cost_trial_burst_ < kBurst || step_us < kCheaper * plan_.us ||
        costs_.target.Certainty(outcome.target_rows) < kDoubted) {
      cost_trial_.due_step = step_ + 1;
    } else {
      cost_trial_burst_ = 0;
      cost_trial_.interval = std::clamp(cost_trial_.interval * 2, kFirstInterval, kMaxInterval);
      cost_trial_.due_step = step_ + cost_trial_.interval;
    }
  }

  allowance_us_ += kAllowanceShare * step_us;
  if (plan_.positions > 0 && choices_.plain_us() > 0) {
    const double more = costs_.target.Predict(outcome.target_rows).us -
                        costs_.target.Predict(choices_.step_rows()).us + draft_us;
    allowance_us_ += accepted * choices_.plain_us() / choices_.plain_tokens() - more;
  }
  const double kept = std::max(kKeptAllowanceSteps * choices_.plain_us(), wanted_us_);
  allowance_us_ = std::min(allowance_us_, kept);
}

}  // namespace foretoken
