#ifndef FORETOKEN_SPECULATIVE_ACCEPTANCE_MODEL_H_
#define FORETOKEN_SPECULATIVE_ACCEPTANCE_MODEL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "foretoken/options.h"

namespace foretoken {

// Temperatures between which drafts are about equally often accepted.
enum class TemperatureBand : uint8_t {
  kZero,
  kLow,     // above 0, at most 0.5
  kMiddle,  // above 0.5, at most 1
  kHigh,    // above 1
};
inline constexpr size_t kTemperatureBands = 4;
inline constexpr size_t kDraftSources = 3;

TemperatureBand BandOf(float temperature);

// What acceptance is learned apart for.
struct DraftClass {
  DraftSourceKind source = DraftSourceKind::kDraftModel;
  TemperatureBand band = TemperatureBand::kZero;
};

// What became of a draft.
struct DraftResult {
  int32_t drafted = 0;
  int32_t accepted = 0;
  // What the source gave as the probability of each token after those before it; empty: nothing.
  std::span<const float> confidences;
};

// How one request differs from its tenant's average, for each source: a shift of the log-odds of
// acceptance, kept with several lengths of memory. Which of them foretells best is the tenant's to
// learn: with some texts the last few tokens say all, with others they are noise.
// One thread at a time. A value; it lives as long as the request.
class RequestAcceptance {
 public:
  static constexpr size_t kMemories = 4;  // the first is none at all: the tenant's average

  RequestAcceptance();

  // `probability` of acceptance, shifted by what this memory holds.
  double Shifted(DraftSourceKind source, size_t memory, double probability) const {
    const double odds = shifts_[static_cast<size_t>(source)][memory].odds_factor * probability;
    return odds / (1 - probability + odds);
  }
  // The fate of a token that the tenant's average gives `probability`.
  void Observe(DraftSourceKind source, double probability, bool accepted);
  // A round in which the source was not used: what is known of the text grows old.
  void Forget(DraftSourceKind source);

 private:
  struct Shift {
    double log_odds = 0;
    double odds_factor = 1;
    double information = 0;
    void Set(double new_log_odds);
  };

  std::array<std::array<Shift, kMemories>, kDraftSources> shifts_;
};

// How often one tenant's drafts are accepted in one engine: per source, temperature band and depth,
// or instead of the depth the source's own confidence, for a token behind accepted ones. What was
// seen seldom is taken for like the band, the band for like the source. Old results lose weight.
// The engine's thread. A value; nothing in it is another tenant's.
class AcceptanceModel {
 public:
  // When a class that is not in use may be tried again, in the engine's steps.
  struct Trial {
    int64_t due_step = 0;
    int32_t interval = 0;
  };

  // Element i: the probability that the first i + 1 tokens of a draft are all accepted.
  // `confidences` as in DraftResult, at least as many as `survival` or none.
  void PredictSurvival(DraftClass draft, std::span<const float> confidences,
                       const RequestAcceptance& request, std::span<float> survival) const;
  // Of a token behind accepted ones, relative to the source's confidence if it has one.
  double Rate(DraftClass draft) const;
  // How many tokens' fate the prediction rests on.
  double Evidence(DraftClass draft) const;

  void Observe(DraftClass draft, const DraftResult& result, RequestAcceptance& request);
  // What was learned of the class counts at most `tokens` tokens from here on.
  void LimitEvidence(DraftClass draft, double tokens);

  Trial& trial(DraftClass draft) { return ClassOf(draft).trial; }

 private:
  struct Cell {
    double tried = 0;
    double accepted = 0;
    double Rate(double prior, double prior_weight) const {
      return (accepted + prior * prior_weight) / (tried + prior_weight);
    }
    void Scale(double factor) {
      tried *= factor;
      accepted *= factor;
    }
  };
  static constexpr size_t kDepths = 16;  // deeper ones count as the last
  static constexpr size_t kConfidences = 10;
  struct Class {
    std::array<Cell, kDepths + kConfidences> cells;
    Cell total;  // tried: the sum of confidences, a token without one counting as 1
    double tokens = 0;
    // Of the tokens seen, by the length of memory that foretold them.
    std::array<double, RequestAcceptance::kMemories> log_likelihood{};
    size_t memory = 0;  // the best of them
    Trial trial;
  };
  struct Source {
    std::array<Class, kTemperatureBands> bands;
    Cell total;
  };

  Class& ClassOf(DraftClass draft);
  const Class& ClassOf(DraftClass draft) const;
  // Of the token at `depth` once those before it are accepted, for the tenant's average request.
  static double TokenRate(const Class& of, double band_rate, std::span<const float> confidences,
                          size_t depth);
  static size_t CellOf(std::span<const float> confidences, size_t depth);

  std::array<Source, kDraftSources> sources_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_ACCEPTANCE_MODEL_H_
