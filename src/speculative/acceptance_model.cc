#include "speculative/acceptance_model.h"

#include <algorithm>
#include <cmath>

namespace foretoken {
namespace {

// A source that was never seen is taken for a fair one.
constexpr double kPriorRate = 0.6;
constexpr double kPriorTokens = 4;
// What the source as a whole counts beside a band, and the band beside a depth.
constexpr double kSourceTokens = 8;
constexpr double kBandTokens = 24;
// About this many of the last tokens count.
constexpr double kWindowTokens = 256;
constexpr double kLeastRate = 0.01;
constexpr double kMostRate = 0.99;

// Memories of a request: how sure it is at first of being like the average, and of how many tokens
// it keeps a record, both as information (the sum of p (1 - p)). The shorter, the more it varies.
struct Memory {
  double prior;
  double kept;
};
constexpr std::array<Memory, RequestAcceptance::kMemories> kMemory = {
    {{0, 0}, {2.0, 16}, {0.7, 6}, {0.4, 1.5}}};
// A longer memory is left for a shorter one that is better by this log-likelihood.
constexpr double kMemoryMargin = 6;
constexpr double kMemoryWindowTokens = 1000;
constexpr double kMaxLogOdds = 6;
constexpr double kForgetRate = 1.0 / 64;

}  // namespace

TemperatureBand BandOf(float temperature) {
  if (!(temperature > 0)) return TemperatureBand::kZero;
  if (temperature <= 0.5f) return TemperatureBand::kLow;
  return temperature <= 1.0f ? TemperatureBand::kMiddle : TemperatureBand::kHigh;
}

RequestAcceptance::RequestAcceptance() {
  for (auto& shifts : shifts_) {
    for (size_t m = 0; m < kMemories; ++m) shifts[m].information = kMemory[m].prior;
  }
}

void RequestAcceptance::Shift::Set(double new_log_odds) {
  log_odds = std::clamp(new_log_odds, -kMaxLogOdds, kMaxLogOdds);
  odds_factor = std::exp(log_odds);
}

void RequestAcceptance::Observe(DraftSourceKind source, double probability, bool accepted) {
  for (size_t m = 1; m < kMemories; ++m) {
    const double expected = std::clamp(Shifted(source, m, probability), kLeastRate, kMostRate);
    // One step of Newton's method on the log-likelihood.
    Shift& shift = shifts_[static_cast<size_t>(source)][m];
    shift.information = std::min(shift.information + expected * (1 - expected), kMemory[m].kept);
    shift.Set(shift.log_odds + ((accepted ? 1 : 0) - expected) / shift.information);
  }
}

void RequestAcceptance::Forget(DraftSourceKind source) {
  for (Shift& shift : shifts_[static_cast<size_t>(source)]) {
    if (shift.log_odds != 0) shift.Set(shift.log_odds * (1 - kForgetRate));
  }
}

AcceptanceModel::Class& AcceptanceModel::ClassOf(DraftClass draft) {
  return sources_[static_cast<size_t>(draft.source)].bands[static_cast<size_t>(draft.band)];
}

const AcceptanceModel::Class& AcceptanceModel::ClassOf(DraftClass draft) const {
  return sources_[static_cast<size_t>(draft.source)].bands[static_cast<size_t>(draft.band)];
}

size_t AcceptanceModel::CellOf(std::span<const float> confidences, size_t depth) {
  if (confidences.empty()) return std::min(depth, kDepths - 1);
  const double scaled = std::clamp(confidences[depth], 0.0f, 1.0f) * double{kConfidences};
  return kDepths + std::min(static_cast<size_t>(scaled), kConfidences - 1);
}

double AcceptanceModel::Rate(DraftClass draft) const {
  const double all =
      sources_[static_cast<size_t>(draft.source)].total.Rate(kPriorRate, kPriorTokens);
  return ClassOf(draft).total.Rate(all, kSourceTokens);
}

double AcceptanceModel::TokenRate(const Class& of, double band_rate,
                                  std::span<const float> confidences, size_t depth) {
  const double confidence = confidences.empty() ? 1.0 : std::clamp(confidences[depth], 0.0f, 1.0f);
  const double rate =
      of.cells[CellOf(confidences, depth)].Rate(confidence * band_rate, kBandTokens);
  return std::clamp(rate, kLeastRate, kMostRate);
}

void AcceptanceModel::PredictSurvival(DraftClass draft, std::span<const float> confidences,
                                      const RequestAcceptance& request,
                                      std::span<float> survival) const {
  const Class& of = ClassOf(draft);
  const double band_rate = Rate(draft);
  double product = 1;
  for (size_t depth = 0; depth < survival.size(); ++depth) {
    product *=
        request.Shifted(draft.source, of.memory, TokenRate(of, band_rate, confidences, depth));
    survival[depth] = static_cast<float>(product);
  }
}

double AcceptanceModel::Evidence(DraftClass draft) const {
  return ClassOf(draft).tokens;
}

void AcceptanceModel::Observe(DraftClass draft, const DraftResult& result,
                              RequestAcceptance& request) {
  Source& source = sources_[static_cast<size_t>(draft.source)];
  Class& of = ClassOf(draft);
  const auto drafted = static_cast<size_t>(std::max(result.drafted, 0));
  const auto accepted = static_cast<size_t>(std::max(result.accepted, 0));
  const size_t tried = std::min(drafted, accepted + 1);
  if (tried == 0) return;

  const double kept = std::exp2(-static_cast<double>(tried) / kWindowTokens);
  const double memory_kept = std::exp2(-static_cast<double>(tried) / kMemoryWindowTokens);
  for (double& value : of.log_likelihood) value *= memory_kept;
  const double band_rate = Rate(draft);
  for (size_t depth = 0; depth < tried; ++depth) {
    const double rate = TokenRate(of, band_rate, result.confidences, depth);
    for (size_t m = 0; m < of.log_likelihood.size(); ++m) {
      const double expected =
          std::clamp(request.Shifted(draft.source, m, rate), kLeastRate, kMostRate);
      of.log_likelihood[m] += std::log(depth < accepted ? expected : 1 - expected);
    }
    request.Observe(draft.source, rate, depth < accepted);
  }
  of.memory = 0;
  for (size_t m = 1; m < of.log_likelihood.size(); ++m) {
    if (of.log_likelihood[m] > of.log_likelihood[of.memory] + kMemoryMargin) of.memory = m;
  }

  source.total.Scale(kept);
  of.total.Scale(kept);
  of.tokens *= kept;
  for (Cell& cell : of.cells) cell.Scale(kept);
  for (size_t depth = 0; depth < tried; ++depth) {
    const double confidence = result.confidences.empty() ? 1.0 : result.confidences[depth];
    const double hit = depth < accepted ? 1.0 : 0.0;
    for (Cell* cell : {&source.total, &of.total}) {
      cell->tried += confidence;
      cell->accepted += hit;
    }
    Cell& cell = of.cells[CellOf(result.confidences, depth)];
    cell.tried += 1;
    cell.accepted += hit;
  }
  of.tokens += static_cast<double>(tried);
}

void AcceptanceModel::LimitEvidence(DraftClass draft, double tokens) {
  Class& of = ClassOf(draft);
  if (of.tokens <= tokens) return;
  const double kept = tokens / of.tokens;
  of.tokens *= kept;
  of.total.Scale(kept);
  for (Cell& cell : of.cells) cell.Scale(kept);
}

}  // namespace foretoken
