#include "sampling/sampler.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/macros.h"
#include "sampling/exact_math.h"
#include "sampling/filters.h"
#include "sampling/gumbel_noise.h"
#include "sampling/noisy_argmax.h"
#include "sampling/row.h"

namespace foretoken {
namespace {

bool HasPenalties(const SamplingOptions& o) {
  return o.repetition_penalty != 1 || o.frequency_penalty != 0 || o.presence_penalty != 0;
}

// Finite stays finite, and a token that cannot occur stays so.
float ClampFinite(float logit) {
  return std::clamp(logit, -kMaxLogit, kMaxLogit);
}

// Repetition: arXiv 1909.05858, with the division turned round for negative logits. Frequency and
// presence: the OpenAI API's.
float Penalise(float logit, const TokenHistory::Counts& counts, const SamplingOptions& options) {
  if (logit == kNoLogit) return logit;
  logit = logit > 0 ? logit / options.repetition_penalty : logit * options.repetition_penalty;
  if (counts.output > 0) {
    logit -=
        static_cast<float>(counts.output) * options.frequency_penalty + options.presence_penalty;
  }
  return ClampFinite(logit);
}

}  // namespace

struct Sampler::State {
  State(const SamplingOptions& sampling, uint64_t noise_seed, int32_t vocabulary)
      : options(sampling),
        seed(noise_seed),
        vocabulary_size(vocabulary),
        penalties(HasPenalties(sampling)),
        filters(sampling, static_cast<size_t>(vocabulary)) {}

  // The row after penalties and bias: a view of `logits` where nothing changes.
  Result<ScaledRow> Process(std::span<const float> logits, const TokenHistory& history) {
    if (logits.size() != static_cast<size_t>(vocabulary_size)) {
      return InternalError(fmt::format("a row has {} logits; the vocabulary has {} tokens",
                                       logits.size(), vocabulary_size));
    }
    RowScan scan = ScanRow(logits);
    if (penalties || !options.logit_bias.empty() || !scan.clean) {
      adjusted.assign(logits.begin(), logits.end());
      if (!scan.clean) CleanRow(adjusted);
      Adjust(history);
      logits = adjusted;
      scan = ScanRow(logits);
    }
    if (scan.argmax < 0) {
      return InternalError("a row of logits has no finite value: every one is NaN or -infinity");
    }
    ScaledRow row{.logits = logits, .argmax = scan.argmax, .max_logit = logits[scan.argmax]};
    if (options.temperature > 0) {
      row.inverse_temperature = 1.0 / static_cast<double>(options.temperature);
    }
    return row;
  }

  void Adjust(const TokenHistory& history) {
    if (penalties) {
      for (const auto& [token, counts] : history.counts()) {
        if (token < 0 || token >= vocabulary_size) continue;  // e.g. a draft's padding
        adjusted[token] = Penalise(adjusted[token], counts, options);
      }
    }
    for (const auto& [token, bias] : options.logit_bias) {
      if (adjusted[token] != kNoLogit) adjusted[token] = ClampFinite(adjusted[token] + bias);
    }
  }

  const SamplingOptions options;
  const uint64_t seed;
  const int32_t vocabulary_size;
  const bool penalties;
  Filters filters;
  std::vector<float> adjusted;
};

Sampler::Sampler(std::unique_ptr<State> state) : state_(std::move(state)) {}
Sampler::Sampler(Sampler&&) noexcept = default;
Sampler& Sampler::operator=(Sampler&&) noexcept = default;
Sampler::~Sampler() = default;

Result<Sampler> Sampler::Create(const SamplingOptions& options, uint64_t seed,
                                int32_t vocabulary_size) {
  FORETOKEN_RETURN_IF_ERROR(Validate(options));
  if (vocabulary_size < 1) {
    return InvalidArgumentError(
        fmt::format("the vocabulary has {} tokens; it must have 1 or more", vocabulary_size));
  }
  for (const auto& entry : options.logit_bias) {
    if (entry.first >= vocabulary_size) {
      return InvalidArgumentError(fmt::format("logit_bias names token {}; the last token is {}",
                                              entry.first, vocabulary_size - 1));
    }
  }
  return Sampler(std::make_unique<State>(options, seed, vocabulary_size));
}

Result<TokenId> Sampler::Select(std::span<const float> logits, const TokenHistory& history,
                                uint64_t stream, int64_t position) {
  FORETOKEN_ASSIGN_OR_RETURN(const ScaledRow row, state_->Process(logits, history));
  if (state_->options.temperature == 0) return row.argmax;
  const RowNoise noise(state_->seed, stream, position);
  return NoisyArgmax(row, state_->filters.Apply(row), noise);
}

Status Sampler::ComputeDistribution(std::span<const float> logits, const TokenHistory& history,
                                    Distribution& out) {
  FORETOKEN_ASSIGN_OR_RETURN(const ScaledRow row, state_->Process(logits, history));
  out.resize(logits.size());
  if (state_->options.temperature == 0) {
    std::fill(out.begin(), out.end(), 0.0);
    out[row.argmax] = 1;
    return OkStatus();
  }
  const double sum = SumExps(row, state_->filters.Apply(row).cut, out.data());
  for (double& probability : out) probability /= sum;
  return OkStatus();
}

}  // namespace foretoken
