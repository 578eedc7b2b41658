#include "speculative/draft_choices.h"

#include <algorithm>

namespace foretoken {
namespace {

// A class's rate may be wrong as if this many of the tokens it rests on had been rejected ones.
constexpr double kDoubtTokens = 8;
// A draft model that has not run yet takes this share of the target's time; at least and at most.
constexpr double kUnseenDraft = 0.3;
constexpr double kUnseenDraftLeast = 0.05;
constexpr double kUnseenDraftMost = 1.0;
// A cache this far behind is the rule after an accepted draft, not an investment.
constexpr int32_t kUsualCatchUp = 2;
// Of an answer's last tokens so many gain nothing by a cache that is filled now: it fills over several
// rounds, and the answer may end early.
constexpr int32_t kTokensWithoutGain = 24;
// What is gained once all draft is worth an investment that pays off within this many tokens.
constexpr int32_t kSettledTokens = 1000;

}  // namespace

ForwardCost ForwardCosts::Draft(size_t model, int32_t rows) const {
  const ForwardCost of_target = target.Predict(rows);
  if (model >= drafts.size() || drafts[model].empty()) {
    return {of_target.us * kUnseenDraft, of_target.us * kUnseenDraftLeast,
            of_target.most_us * kUnseenDraftMost};
  }
  ForwardCost cost = drafts[model].Predict(rows);
  if (of_target.most_us > cost.us) cost.most_us = std::min(cost.most_us, of_target.most_us);
  return cost;
}

void DraftChoices::Prepare(std::span<const BudgetSequence> sequences,
                           const ForwardCosts& forward_costs, int32_t other_rows, int32_t max_rows,
                           std::span<DraftGrant> grants) {
  sequences_ = sequences;
  GrantFixed(max_rows - other_rows - static_cast<int32_t>(sequences.size()), grants);
  PrepareOptions();
  PriceCatchUp(forward_costs);
  PriceRows(forward_costs, other_rows, max_rows);
  PriceDrafts(forward_costs);
  costs_ = {.sequences = std::max(static_cast<int32_t>(sequences.size()), 1),
            .target = target_table_,
            .drafts = {draft_tables_.data(), forced_rows_.size()},
            .forced_rows = forced_rows_,
            .tenant_weights = tenant_weights_};
}

void DraftChoices::GrantFixed(int32_t room, std::span<DraftGrant> grants) {
  forced_tokens_ = 0;
  for (std::vector<int32_t>& rows : forced_rows_) rows.clear();
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const BudgetSequence& sequence = sequences_[i];
    if (sequence.mode != SpeculationMode::kFixed) continue;
    for (size_t o = 0; o < sequence.offers.size(); ++o) {
      const DraftOffer& offer = sequence.offers[o];
      const int32_t tokens = std::min({sequence.fixed_tokens, offer.max_tokens, room});
      if (tokens <= 0) continue;
      grants[i] = {static_cast<int32_t>(o), tokens};
      room -= tokens;
      forced_tokens_ += tokens;
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

void DraftChoices::PrepareOptions() {
  options_.clear();
  option_offers_.clear();
  tenants_.clear();
  tenant_weights_.clear();
  size_t tokens = 0;
  for (const BudgetSequence& sequence : sequences_) {
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
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const BudgetSequence& sequence = sequences_[i];
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

void DraftChoices::PriceCatchUp(const ForwardCosts& forward_costs) {
  catch_ups_.clear();
  for (size_t o = 0; o < options_.size(); ++o) {
    const DraftOffer& offer = OfferOf(o);
    if (offer.draft_model < 0) continue;
    const auto model = static_cast<size_t>(offer.draft_model);
    if (catch_ups_.size() <= model) catch_ups_.resize(model + 1);
    catch_ups_[model].users += 1;
    catch_ups_[model].rows += std::max(offer.catch_up_tokens, 0);
  }
  for (size_t m = 0; m < catch_ups_.size(); ++m) {
    CatchUp& catch_up = catch_ups_[m];
    if (catch_up.rows == 0) continue;
    // All in one forward, the dearest case.
    const ForwardCost without = forward_costs.Draft(m, catch_up.users);
    const ForwardCost with = forward_costs.Draft(m, catch_up.users + catch_up.rows);
    catch_up.us_per_row = std::max(with.us - without.us, 0.0) / catch_up.rows;
    catch_up.most_us_per_row = std::max(with.most_us - without.us, 0.0) / catch_up.rows;
  }
  settled_options_ = options_;
  for (size_t o = 0; o < options_.size(); ++o) {
    const DraftOffer& offer = OfferOf(o);
    if (offer.draft_model < 0 || offer.catch_up_tokens <= 0) continue;
    const CatchUp& catch_up = catch_ups_[static_cast<size_t>(offer.draft_model)];
    DraftOption& option = options_[o];
    const BudgetSequence& sequence = SequenceOf(o);
    const double us = catch_up.us_per_row * offer.catch_up_tokens;
    double tokens = 1;
    for (const float survival : option.survival) tokens += survival;
    const auto share = [tokens](int32_t of) { return std::min(1.0, tokens / std::max(of, 1)); };
    const double usual_us = catch_up.us_per_row * std::min(offer.catch_up_tokens, kUsualCatchUp);
    option.catch_up_us =
        std::max(us * share(sequence.remaining_tokens - kTokensWithoutGain), usual_us);
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

int32_t DraftChoices::TenantIndex(const BudgetSequence& sequence) {
  const auto found = std::find(tenants_.begin(), tenants_.end(), sequence.tenant);
  if (found == tenants_.end()) {
    tenants_.push_back(sequence.tenant);
    tenant_weights_.push_back(sequence.weight);
    return static_cast<int32_t>(tenants_.size()) - 1;
  }
  return static_cast<int32_t>(found - tenants_.begin());
}

void DraftChoices::PriceRows(const ForwardCosts& forward_costs, int32_t other_rows,
                             int32_t max_rows) {
  plain_rows_ = static_cast<int32_t>(sequences_.size()) + forced_tokens_;
  step_rows_ = plain_rows_ + other_rows;
  // Room for all options of a sequence, although it takes one at most.
  int32_t positions = 0;
  for (const DraftOption& option : options_) {
    positions += static_cast<int32_t>(option.survival.size());
  }
  positions = std::clamp(positions, 0, std::max(max_rows - step_rows_, 0));
  target_table_.resize(static_cast<size_t>(positions) + 1);
  forward_costs.target.Predict(plain_rows_, target_table_);
  prefill_us_ = 0;
  if (other_rows == 0) return;
  // The prefill is done anyhow: decoding is worth what it is without it, and a draft's rows cost
  // what they add to the step. Not less than without the prefill: what looks like that is noise,
  // and a draft cache would be filled for this step alone.
  prefill_table_.resize(target_table_.size());
  forward_costs.target.Predict(step_rows_, prefill_table_);
  prefill_us_ = prefill_table_[0].us - target_table_[0].us;
  for (size_t x = 0; x < target_table_.size(); ++x) {
    ForwardCost& cost = target_table_[x];
    const ForwardCost& with = prefill_table_[x];
    cost.us = std::max(cost.us, with.us - prefill_us_);
    cost.least_us = std::max(cost.least_us, with.least_us - prefill_us_);
    cost.most_us = std::max(cost.most_us, with.most_us - prefill_us_);
  }
}

void DraftChoices::PriceDrafts(const ForwardCosts& forward_costs) {
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
    std::vector<ForwardCost>& table = draft_tables_[m];
    table.assign(1, {});
    for (int32_t n = 1; n <= rows; ++n) table.push_back(forward_costs.Draft(m, n));
    for (const int32_t n : forced_rows_[m]) forced_us += table[static_cast<size_t>(n)].us;
  }
  plain_us_ = target_table_[0].us + forced_us;
  plain_tokens_ = static_cast<double>(sequences_.size());
}

}  // namespace foretoken
