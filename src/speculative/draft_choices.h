#ifndef FORETOKEN_SPECULATIVE_DRAFT_CHOICES_H_
#define FORETOKEN_SPECULATIVE_DRAFT_CHOICES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "foretoken/options.h"
#include "speculative/acceptance_model.h"
#include "speculative/forward_cost_model.h"
#include "speculative/position_search.h"

namespace foretoken {

// What a source could draft for a sequence in this step.
struct DraftOffer {
  DraftSourceKind source = DraftSourceKind::kDraftModel;
  // The length of its proposal, or how many tokens it may draft: all limits are applied.
  int32_t max_tokens = 0;
  std::span<const float> confidences;  // see DraftResult; at least max_tokens or none
  int32_t draft_model = -1;            // kDraftModel: which; 0 and up
  int32_t catch_up_tokens = 0;         // its cache lacks, beyond the last committed one
};

// A running sequence, as a step finds it. The pointers are the engine's; never null.
struct BudgetSequence {
  int64_t tenant = 0;
  double weight = 1;  // the tenant's
  SpeculationMode mode = SpeculationMode::kAuto;
  int32_t fixed_tokens = 0;  // kFixed
  TemperatureBand band = TemperatureBand::kZero;
  AcceptanceModel* acceptance = nullptr;  // the tenant's
  RequestAcceptance* request = nullptr;
  int32_t prompt_tokens = 0;
  int32_t generated_tokens = 0;
  int32_t remaining_tokens = 1;  // expected to be generated still
  bool limited = false;          // its limits leave no room for a draft
  // kAuto takes the one that pays most, kFixed the first that has something to say.
  std::span<const DraftOffer> offers;
};

// Why a sequence that may draft did not.
enum class OffReason {
  kNoDraft,     // no source had anything to say
  kLimit,       // its limits or the step's rows leave no room
  kDoesNotPay,  // plain decoding is expected to be as fast
  kUnknown,     // not known well enough, and what may be lost by trying is used up
  kFloor,       // the positions went to other tenants' floors
};
inline constexpr size_t kOffReasons = 5;

// What a sequence drafts in this step; `offer` is the index of the source's; 0 tokens: plain.
struct DraftGrant {
  int32_t offer = -1;
  int32_t tokens = 0;
  OffReason off_reason = OffReason::kDoesNotPay;  // of kAuto without tokens
};

// What the forwards of one engine's models take.
struct ForwardCosts {
  ForwardCostModel target;
  std::vector<ForwardCostModel> drafts;  // by draft model; one that never ran may be missing

  // Of a draft model that has not run yet: a guess, with bounds far apart.
  ForwardCost Draft(size_t model, int32_t rows) const;
};

// One step as the search for its drafts sees it: what the sequences in mode kAuto could draft, how
// likely that is to be accepted, and what every number of rows costs, given what is drafted anyhow.
// The engine's thread. Holds scratch memory; what it gives out is good until the next Prepare, and
// as long as the sequences given to that. Never fails; what makes no sense is clamped.
class DraftChoices {
 public:
  // `other_rows`, `max_rows` as in DraftBudget::Choose. Writes the grants of mode kFixed; `grants`
  // has an element for every sequence.
  void Prepare(std::span<const BudgetSequence> sequences, const ForwardCosts& forward_costs,
               int32_t other_rows, int32_t max_rows, std::span<DraftGrant> grants);

  const StepCosts& costs() const { return costs_; }
  std::span<const DraftOption> options() const { return options_; }
  // As if all had drafted from their start on.
  std::span<const DraftOption> settled_options() const { return settled_options_; }
  // What the options' survivals are parts of.
  std::span<const float> survivals() const { return survivals_; }

  // Of option `o`: whose it is, and which of its offers.
  const BudgetSequence& SequenceOf(size_t o) const {
    return sequences_[static_cast<size_t>(options_[o].sequence)];
  }
  int32_t OfferIndex(size_t o) const { return option_offers_[o]; }
  const DraftOffer& OfferOf(size_t o) const {
    return SequenceOf(o).offers[static_cast<size_t>(option_offers_[o])];
  }
  DraftClass ClassOf(size_t o) const { return {OfferOf(o).source, SequenceOf(o).band}; }

  // Of the target's forward without kAuto's drafts: with other rows, and without.
  int32_t step_rows() const { return step_rows_; }
  int32_t plain_rows() const { return plain_rows_; }
  // What plain_rows() and the forced drafts take, and the tokens that brings.
  double plain_us() const { return plain_us_; }
  double plain_tokens() const { return plain_tokens_; }
  // What the other rows add to that.
  double prefill_us() const { return prefill_us_; }

 private:
  struct CatchUp {
    int32_t users = 0;
    int32_t rows = 0;
    double us_per_row = 0;
    double most_us_per_row = 0;
  };

  void GrantFixed(int32_t room, std::span<DraftGrant> grants);
  void PrepareOptions();
  void PriceCatchUp(const ForwardCosts& forward_costs);
  void PriceRows(const ForwardCosts& forward_costs, int32_t other_rows, int32_t max_rows);
  void PriceDrafts(const ForwardCosts& forward_costs);
  int32_t TenantIndex(const BudgetSequence& sequence);

  std::span<const BudgetSequence> sequences_;
  int32_t forced_tokens_ = 0;  // of kFixed
  int32_t plain_rows_ = 0;
  int32_t step_rows_ = 0;
  double plain_us_ = 0;
  double plain_tokens_ = 0;
  double prefill_us_ = 0;
  StepCosts costs_;
  std::vector<CatchUp> catch_ups_;  // by draft model
  std::vector<ForwardCost> target_table_;
  std::vector<ForwardCost> prefill_table_;
  std::vector<std::vector<ForwardCost>> draft_tables_;
  std::vector<std::vector<int32_t>> forced_rows_;
  std::vector<int64_t> tenants_;
  std::vector<double> tenant_weights_;
  std::vector<DraftOption> options_;
  std::vector<DraftOption> settled_options_;
  std::vector<int32_t> option_offers_;
  std::vector<float> survivals_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_DRAFT_CHOICES_H_
