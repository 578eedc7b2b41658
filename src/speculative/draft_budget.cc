#include "speculative/draft_budget.h"

#include <algorithm>
#include <limits>

namespace foretoken {
namespace {

// The share of the time that may be lost by trying, and how much of it is kept for later, in plain
// steps; more only when a trial costs more.
constexpr double kAllowanceShare = 0.015;
constexpr double kKeptAllowanceSteps = 32;
// A class's rate may be wrong as if this many of the tokens it rests on had been rejected ones.
constexpr double kDoubtTokens = 8;
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
// What plain decoding costs is measured again after this many steps that drafted.
constexpr int64_t kPlainInterval = 256;
// A draft model that has not run yet takes this share of the target's time; at least and at most.
constexpr double kUnseenDraft = 0.3;
constexpr double kUnseenDraftLeast = 0.05;
constexpr double kUnseenDraftMost = 1.0;
// A trial of a row count succeeded if it was this much cheaper than expected.
constexpr double kCheaper = 0.97;
// Less certain than this, it is tried again.
constexpr double kDoubted = 0.3;
constexpr double kCatchUpSteps = 0.5;
// Trials in a row.
constexpr int32_t kBurst = 4;
// A cache this far behind is the rule after an accepted draft, not an investment.
constexpr int32_t kUsualCatchUp = 2;
// What is gained once all draft is worth an investment that pays off within this many tokens.
constexpr int32_t kSettledTokens = 1000;
// A trial that lifts the class's rate by this much is followed by the next one.
constexpr double kSurprise = 0.03;
constexpr double kDisturbedStep = 2.0;

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

}  // namespace

ForwardCost DraftBudget::DraftCost(size_t model, int32_t rows) const {
  const ForwardCost target = target_cost_.Predict(rows);
  if (model >= draft_costs_.size() || draft_costs_[model].empty()) {
    return {target.us * kUnseenDraft, target.us * kUnseenDraftLeast,
            target.most_us * kUnseenDraftMost};
  }
  ForwardCost cost = draft_costs_[model].Predict(rows);
  if (target.most_us > cost.us) cost.most_us = std::min(cost.most_us, target.most_us);
  return cost;
}

std::span<const DraftGrant> DraftBudget::Choose(std::span<const BudgetSequence> sequences,
                                                int32_t other_rows, int32_t max_rows) {
  ++step_;
  pending_ = {};
  wanted_us_ = 0;
  grants_.assign(sequences.size(), {});
  other_rows = std::max(other_rows, 0);
  GrantFixed(sequences, max_rows - other_rows - static_cast<int32_t>(sequences.size()));
  PrepareOptions(sequences);
  PriceCatchUp(sequences);
  PrepareCosts(sequences, other_rows, max_rows);

  plan_.drafts.assign(sequences.size(), {});
  plan_.positions = 0;
  plan_.accepted = 0;
  plan_.denied_us = 0;
  plan_.floored = 0;
  const bool plain_known =
      other_rows > 0 ? !target_cost_.empty() : target_cost_.Certainty(pending_.plain_rows) > 0;
  if (plain_known && !options_.empty()) {
    search_.FindBest(costs_, options_, PositionSearch::View::kExpected, allowance_us_, plan_);
    wanted_us_ = plan_.denied_us;
    // First what nothing is known of, then what might pay, then what did not when last seen.
    if (!TryClass(sequences, /*known=*/false) && !TryRows(other_rows) &&
        (saving_ || !TryClass(sequences, /*known=*/true))) {
      RefreshPlain(other_rows);
    }
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    const PlannedDraft& draft = plan_.drafts[i];
    if (draft.tokens > 0) {
      grants_[i] = {.offer = option_offers_[static_cast<size_t>(draft.option)],
                    .tokens = draft.tokens};
    }
  }
  pending_.predicted_accepted += plan_.accepted;
  Count(sequences);
  return grants_;
}

void DraftBudget::GrantFixed(std::span<const BudgetSequence> sequences, int32_t room) {
  for (std::vector<int32_t>& rows : forced_rows_) rows.clear();
  for (size_t i = 0; i < sequences.size(); ++i) {
    const BudgetSequence& sequence = sequences[i];
    if (sequence.mode != SpeculationMode::kFixed) continue;
    for (size_t o = 0; o < sequence.offers.size(); ++o) {
      const DraftOffer& offer = sequence.offers[o];
      const int32_t tokens = std::min({sequence.fixed_tokens, offer.max_tokens, room});
      if (tokens <= 0) continue;
      grants_[i] = {static_cast<int32_t>(o), tokens};
      room -= tokens;
      pending_.forced_tokens += tokens;
      if (offer.draft_model < 0) break;
      const auto model = static_cast<size_t>(offer.draft_model);
      if (forced_rows_.size() <= model) forced_rows_.resize(model + 1);
      std::vector<int32_t>& rows = forced_rows_[model];
      if (rows.size() < static_cast<size_t>(tokens)) rows.resize(static_cast<size_t>(tokens), 0);
      for (int32_t depth = 0; depth < tokens; ++depth) ++rows[static_cast<size_t>(depth)];
      break;
    }
  }
}

void DraftBudget::PrepareOptions(std::span<const BudgetSequence> sequences) {
  options_.clear();
  option_offers_.clear();
  tenants_.clear();
  tenant_weights_.clear();
  size_t tokens = 0;
  for (const BudgetSequence& sequence : sequences) {
    if (sequence.mode != SpeculationMode::kAuto) continue;
    for (const DraftOffer& offer : sequence.offers) {
      tokens += static_cast<size_t>(std::max(offer.max_tokens, 0));
    }
  }
  survivals_.resize(2 * tokens);
  std::span<float> unused(survivals_);
  const auto take = [&unused](size_t size) {
    const std::span<float> taken = unused.first(size);
    unused = unused.subspan(size);
    return taken;
  };
  for (size_t i = 0; i < sequences.size(); ++i) {
    const BudgetSequence& sequence = sequences[i];
    if (sequence.mode != SpeculationMode::kAuto) continue;
    for (size_t o = 0; o < sequence.offers.size(); ++o) {
      const DraftOffer& offer = sequence.offers[o];
      if (offer.max_tokens <= 0) continue;
      const DraftClass draft{offer.source, sequence.band};
      const std::span<float> survival = take(static_cast<size_t>(offer.max_tokens));
      const std::span<float> sure = take(static_cast<size_t>(offer.max_tokens));
      sequence.acceptance->PredictSurvival(draft, offer.confidences, *sequence.request, survival);
      const double evidence = sequence.acceptance->Evidence(draft);
      const auto trust = static_cast<float>(evidence / (evidence + kDoubtTokens));
      float product = 1;
      for (size_t depth = 0; depth < survival.size(); ++depth) {
        product *= trust;
        sure[depth] = survival[depth] * product;
      }
      const DraftOption option{.sequence = static_cast<int32_t>(i),
                               .tenant = TenantIndex(sequence),
                               .draft_model = offer.draft_model,
                               .survival = survival,
                               .sure_survival = sure};
      options_.push_back(option);
      option_offers_.push_back(static_cast<int32_t>(o));
    }
  }
}

void DraftBudget::PriceCatchUp(std::span<const BudgetSequence> sequences) {
  const auto offer_of = [&](size_t o) -> const DraftOffer& {
    return sequences[static_cast<size_t>(options_[o].sequence)]
        .offers[static_cast<size_t>(option_offers_[o])];
  };
  catch_up_rows_.clear();
  for (size_t o = 0; o < options_.size(); ++o) {
    const DraftOffer& offer = offer_of(o);
    if (offer.draft_model < 0) continue;
    const auto model = static_cast<size_t>(offer.draft_model);
    if (catch_up_rows_.size() <= model) catch_up_rows_.resize(model + 1);
    catch_up_rows_[model].users += 1;
    catch_up_rows_[model].rows += std::max(offer.catch_up_tokens, 0);
  }
  for (size_t m = 0; m < catch_up_rows_.size(); ++m) {
    CatchUp& catch_up = catch_up_rows_[m];
    if (catch_up.rows == 0) continue;
    // All in one forward, the dearest case.
    const ForwardCost without = DraftCost(m, catch_up.users);
    const ForwardCost with = DraftCost(m, catch_up.users + catch_up.rows);
    catch_up.us_per_row = std::max(with.us - without.us, 0.0) / catch_up.rows;
    catch_up.most_us_per_row = std::max(with.most_us - without.us, 0.0) / catch_up.rows;
  }
  settled_options_ = options_;
  for (size_t o = 0; o < options_.size(); ++o) {
    const DraftOffer& offer = offer_of(o);
    if (offer.draft_model < 0 || offer.catch_up_tokens <= 0) continue;
    const CatchUp& catch_up = catch_up_rows_[static_cast<size_t>(offer.draft_model)];
    DraftOption& option = options_[o];
    const BudgetSequence& sequence = sequences[static_cast<size_t>(option.sequence)];
    const double us = catch_up.us_per_row * offer.catch_up_tokens;
    double tokens = 1;
    for (const float survival : option.survival) tokens += survival;
    const auto share = [tokens](int32_t of) { return std::min(1.0, tokens / std::max(of, 1)); };
    const double usual_us = catch_up.us_per_row * std::min(offer.catch_up_tokens, kUsualCatchUp);
    option.catch_up_us = std::max(us * share(sequence.remaining_tokens), usual_us);
    option.catch_up_most_us = catch_up.most_us_per_row * offer.catch_up_tokens;
    DraftOption& settled = settled_options_[o];
    settled.catch_up_us = std::min(
        option.catch_up_us,
        std::max({catch_up.us_per_row * std::min(offer.catch_up_tokens, sequence.prompt_tokens) *
                      share(sequence.generated_tokens + sequence.remaining_tokens),
                  us * share(kSettledTokens), usual_us}));
    settled.catch_up_most_us = option.catch_up_most_us;
  }
}

int32_t DraftBudget::TenantIndex(const BudgetSequence& sequence) {
  const auto found = std::find(tenants_.begin(), tenants_.end(), sequence.tenant);
  if (found == tenants_.end()) {
    tenants_.push_back(sequence.tenant);
    tenant_weights_.push_back(sequence.weight);
    return static_cast<int32_t>(tenants_.size()) - 1;
  }
  return static_cast<int32_t>(found - tenants_.begin());
}

void DraftBudget::PrepareCosts(std::span<const BudgetSequence> sequences, int32_t other_rows,
                               int32_t max_rows) {
  const int32_t plain_rows = static_cast<int32_t>(sequences.size()) + pending_.forced_tokens;
  pending_.plain_rows = plain_rows;
  pending_.step_rows = plain_rows + other_rows;
  int32_t positions = 0;
  for (size_t o = 0; o < options_.size(); ++o) {
    // At most one option of a sequence.
    const auto tokens = static_cast<int32_t>(options_[o].survival.size());
    positions += tokens;
  }
  positions = std::clamp(positions, 0, std::max(max_rows - pending_.step_rows, 0));
  target_table_.resize(static_cast<size_t>(positions) + 1);
  target_cost_.Predict(plain_rows, target_table_);
  if (other_rows > 0) {
    // The prefill is done anyhow: decoding is worth what it is without it, and a draft's rows cost
    // what they add to the step. Not less than without the prefill: what looks like that is noise,
    // and a draft cache would be filled for this step alone.
    prefill_table_.resize(target_table_.size());
    target_cost_.Predict(pending_.step_rows, prefill_table_);
    const double prefill_us = prefill_table_[0].us - target_table_[0].us;
    for (size_t x = 0; x < target_table_.size(); ++x) {
      ForwardCost& cost = target_table_[x];
      const ForwardCost& with = prefill_table_[x];
      cost.us = std::max(cost.us, with.us - prefill_us);
      cost.least_us = std::max(cost.least_us, with.least_us - prefill_us);
      cost.most_us = std::max(cost.most_us, with.most_us - prefill_us);
    }
  }

  size_t models = forced_rows_.size();
  for (const DraftOption& option : options_) {
    models = std::max(models, static_cast<size_t>(option.draft_model + 1));
  }
  forced_rows_.resize(models);
  draft_tables_.resize(std::max(draft_tables_.size(), models));
  double forced_us = 0;
  for (size_t m = 0; m < models; ++m) {
    int32_t rows = forced_rows_[m].empty() ? 0 : forced_rows_[m][0];
    for (const DraftOption& option : options_) {
      if (option.draft_model == static_cast<int32_t>(m)) ++rows;
    }
    draft_tables_[m].assign(1, {});
    for (int32_t n = 1; n <= rows; ++n) draft_tables_[m].push_back(DraftCost(m, n));
    for (const int32_t n : forced_rows_[m])
      forced_us += draft_tables_[m][static_cast<size_t>(n)].us;
  }
  pending_.plain_us = target_table_[0].us + forced_us;
  pending_.plain_tokens = static_cast<double>(sequences.size());
  costs_ = {.sequences = std::max(static_cast<int32_t>(sequences.size()), 1),
            .target = target_table_,
            .drafts = {draft_tables_.data(), models},
            .forced_rows = {forced_rows_.data(), models},
            .tenant_weights = tenant_weights_};
}

bool DraftBudget::TryClass(std::span<const BudgetSequence> sequences, bool known) {
  const auto class_of = [&](size_t o) {
    const BudgetSequence& sequence = sequences[static_cast<size_t>(options_[o].sequence)];
    const DraftOffer& offer = sequence.offers[static_cast<size_t>(option_offers_[o])];
    return DraftClass{offer.source, sequence.band};
  };
  const auto tenant_of = [&](size_t o) {
    return sequences[static_cast<size_t>(options_[o].sequence)].acceptance;
  };
  for (const PlannedDraft& draft : plan_.drafts) {
    if (draft.tokens == 0) continue;
    const auto o = static_cast<size_t>(draft.option);
    tenant_of(o)->trial(class_of(o)) = {step_ + kFirstInterval, 0};
  }
  // The class that has waited longest.
  size_t due = options_.size();
  int64_t due_step = step_ + 1;
  for (size_t o = 0; o < options_.size(); ++o) {
    const AcceptanceModel::Trial& trial = tenant_of(o)->trial(class_of(o));
    if (trial.due_step >= due_step) continue;
    if (known != (tenant_of(o)->Evidence(class_of(o)) >= kTrialEvidence)) continue;
    due_step = trial.due_step;
    due = o;
  }
  if (due == options_.size()) return false;
  AcceptanceModel* const acceptance = tenant_of(due);
  const DraftClass draft = class_of(due);
  AcceptanceModel::Trial& trial = acceptance->trial(draft);

  // Could it pay at all?
  trial_options_.clear();
  trial_order_.clear();
  trial_survivals_.assign(survivals_.begin(), survivals_.end());
  for (size_t o = 0; o < options_.size(); ++o) {
    if (tenant_of(o) != acceptance || class_of(o).source != draft.source ||
        class_of(o).band != draft.band) {
      continue;
    }
    trial_order_.push_back(static_cast<int32_t>(o));
    DraftOption option = options_[o];
    const std::span<const float> confidences = sequences[static_cast<size_t>(option.sequence)]
                                                   .offers[static_cast<size_t>(option_offers_[o])]
                                                   .confidences;
    float* const hopeful =
        &trial_survivals_[static_cast<size_t>(option.survival.data() - survivals_.data())];
    double product = 1;
    for (size_t depth = 0; depth < option.survival.size(); ++depth) {
      product *=
          confidences.empty() ? kHopefulRate : std::min<double>(confidences[depth], kHopefulRate);
      hopeful[depth] = std::max(static_cast<float>(product), option.survival[depth]);
    }
    option.survival = {hopeful, option.survival.size()};
    trial_options_.push_back(option);
  }
  trial_plan_.drafts.resize(sequences.size());
  search_.FindBest(costs_, trial_options_, PositionSearch::View::kHopeful, kUnlimited, trial_plan_);
  if (trial_plan_.log_speed < plan_.log_speed + kHopefulGain) {
    trial.due_step = step_ + kRecheckInterval;
    return false;
  }

  // The number of sequences and of tokens that tells most for what may be lost.
  std::sort(trial_order_.begin(), trial_order_.end(), [&](int32_t a, int32_t b) {
    const DraftOption& x = options_[static_cast<size_t>(a)];
    const DraftOption& y = options_[static_cast<size_t>(b)];
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
        const DraftOption& option = options_[static_cast<size_t>(trial_order_[i])];
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
      if (positions >= costs_.target.size()) break;
      search_.Price(costs_, options_, PositionSearch::View::kExpected, trial_plan_);
      const double risk = std::max(trial_plan_.risk_us - plan_.risk_us, 0.0);
      const double score = tried / (tried + kHalfKnownTokens) / (risk + 0.05 * pending_.plain_us);
      if (score <= best_score) continue;
      best_score = score;
      best_risk = risk;
      std::swap(best_trial_plan_, trial_plan_);
      trial_plan_.drafts.resize(sequences.size());
    }
  }
  if (best_score <= 0) return false;
  if (acceptance->Evidence(draft) > 4 && trial.due_step + kPatience > step_) {
    const auto o = static_cast<size_t>(trial_order_.front());
    const BudgetSequence& sequence = sequences[static_cast<size_t>(options_[o].sequence)];
    if (sequence.offers[static_cast<size_t>(option_offers_[o])].catch_up_tokens >
            sequence.prompt_tokens + kFirstInterval &&
        kFirstInterval < sequence.offers[static_cast<size_t>(option_offers_[o])].catch_up_tokens)
      return false;
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
  if (pending_.plain_rows * 3 < cost_trial_rows_ * 2 ||
      pending_.plain_rows * 2 > cost_trial_rows_ * 3) {
    cost_trial_ = {};
    cost_trial_rows_ = pending_.plain_rows;
  }
  if (cost_trial_.due_step > step_) return false;
  trial_plan_.drafts.resize(plan_.drafts.size());
  search_.FindBest(costs_, settled_options_, PositionSearch::View::kHopeful, allowance_us_,
                   trial_plan_);
  const bool affordable = trial_plan_.log_speed >= plan_.log_speed + kHopefulGain;
  const double kept_us = kKeptAllowanceSteps * pending_.plain_us;
  double catch_up_us = 0;
  for (const PlannedDraft& draft : trial_plan_.drafts) {
    if (draft.tokens > 0)
      catch_up_us += options_[static_cast<size_t>(draft.option)].catch_up_most_us;
  }
  // What caches lack should be made up for once, and then be used for the best plan and for as many
  // trials as it takes.
  double needed_us = affordable ? trial_plan_.risk_us : 0;
  if (catch_up_us > kCatchUpSteps * pending_.plain_us) {
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
  search_.Price(costs_, options_, PositionSearch::View::kExpected, trial_plan_);
  std::swap(plan_, trial_plan_);
  pending_.probe = true;
  pending_.cost_probe = true;
  return true;
}

void DraftBudget::RefreshPlain(int32_t other_rows) {
  if (plan_.positions == 0 || other_rows > 0 || steps_since_plain_ < kPlainInterval) return;
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
    if (sequence.limited || target_table_.size() < 2) {
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

void DraftBudget::Observe(std::span<const BudgetSequence> sequences, const StepOutcome& outcome) {
  // Learn first, so that the account below is kept in what is known now.
  target_cost_.Observe(outcome.target_rows, outcome.target_us);
  double draft_us = 0;
  double step_us = outcome.target_us;
  for (const DraftForward& forward : outcome.draft_forwards) {
    if (forward.draft_model < 0) continue;
    const auto model = static_cast<size_t>(forward.draft_model);
    if (draft_costs_.size() <= model) draft_costs_.resize(model + 1);
    draft_costs_[model].Observe(forward.rows, forward.us);
    const double expected = draft_costs_[model].Predict(forward.rows).us;
    draft_us += std::min(forward.us, kDisturbedStep * expected);
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

  steps_since_plain_ = drafted > 0 ? steps_since_plain_ + 1 : 0;
  if (pending_.trial_acceptance != nullptr) {
    AcceptanceModel::Trial& trial = pending_.trial_acceptance->trial(pending_.trial_class);
    const bool success =
        pending_.trial_acceptance->Rate(pending_.trial_class) > pending_.trial_rate + kSurprise;
    if (success) {
      trial.interval = kFirstInterval;
      trial.due_step = step_ + kFirstInterval;
    } else if (pending_.trial_acceptance->Evidence(pending_.trial_class) < kTrialEvidence) {
      trial.interval = kFirstInterval;
      trial.due_step = step_ + kFirstInterval;
    } else {
      trial.interval = std::clamp(trial.interval * 2, kFirstInterval, kMaxInterval);
      trial.due_step = step_ + trial.interval;
    }
  }
  if (pending_.cost_probe) {
    // Draft caches are not behind now: the next trials are cheap.
    if (++cost_trial_burst_ < kBurst || step_us < kCheaper * plan_.us ||
        target_cost_.Certainty(outcome.target_rows) < kDoubted) {
      cost_trial_.due_step = step_ + 1;
    } else {
      cost_trial_burst_ = 0;
      cost_trial_.interval = std::clamp(cost_trial_.interval * 2, kFirstInterval, kMaxInterval);
      cost_trial_.due_step = step_ + cost_trial_.interval;
    }
  }

  allowance_us_ += kAllowanceShare * step_us;
  if (plan_.positions > 0 && pending_.plain_us > 0) {
    const double more = target_cost_.Predict(outcome.target_rows).us -
                        target_cost_.Predict(pending_.step_rows).us + draft_us;
    allowance_us_ += accepted * pending_.plain_us / pending_.plain_tokens - more;
  }
  const double kept = std::max(kKeptAllowanceSteps * pending_.plain_us, wanted_us_);
  allowance_us_ = std::min(allowance_us_, kept);
}

}  // namespace foretoken
