#include "speculative/rejection_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "base/macros.h"

namespace foretoken {
namespace {

constexpr size_t kLanes = 8;

double Probability(const Distribution& law, size_t token) {
  return token < law.size() ? law[token] : 0.0;
}

const Distribution* DraftLaw(const RejectionInput& input, size_t i) {
  if (input.draft_laws.empty() || !input.draft_laws[i]) return nullptr;
  return &*input.draft_laws[i];
}

// p_i(x_i) / q_i(x_i), 0 where the token cannot have been drawn.
double Ratio(const RejectionInput& input, size_t i) {
  const auto token = static_cast<size_t>(input.draft[i]);
  const double p = Probability(input.target_laws[i], token);
  const Distribution* law = DraftLaw(input, i);
  if (law == nullptr) return p;
  const double q = Probability(*law, token);
  return q > 0 ? p / q : 0.0;
}

DrawWeights Residual(const RejectionInput& input, size_t i, double scale) {
  return DrawWeights(input.target_laws[i], scale, DraftLaw(input, i), input.draft[i]);
}

Status Check(const RejectionInput& input) {
  const size_t n = input.draft.size();
  if (input.target_laws.size() != n + 1) {
    return InvalidArgumentError(fmt::format("{} drafted tokens need {} target laws, not {}", n,
                                            n + 1, input.target_laws.size()));
  }
  if (!input.draft_laws.empty() && input.draft_laws.size() != n) {
    return InvalidArgumentError(fmt::format("{} drafted tokens need {} draft laws or none, not {}",
                                            n, n, input.draft_laws.size()));
  }
  for (TokenId token : input.draft) {
    if (token < 0) return InvalidArgumentError(fmt::format("drafted token {} is negative", token));
  }
  return OkStatus();
}

// The outcome after `accepted` tokens. `scale` weighs the target's law in the residual.
Result<RejectionOutcome> Finish(const RejectionInput& input, size_t accepted, double scale,
                                RejectionChooser& chooser) {
  DrawWeights weights(input.target_laws[accepted]);
  if (accepted < input.draft.size()) {
    const DrawWeights residual = Residual(input, accepted, scale);
    // Laws that are equal but for rounding leave nothing; drawing from p is right in that limit.
    if (residual.total() > 0) weights = residual;
  }
  const TokenId next_token = chooser.Draw(weights);
  if (next_token < 0) {
    return InternalError(
        fmt::format("the target's law after {} drafted tokens has no mass", accepted));
  }
  return RejectionOutcome{static_cast<int32_t>(accepted), next_token};
}

}  // namespace

DrawWeights::DrawWeights(const Distribution& target_law, double scale,
                         const Distribution* draft_law, TokenId drafted)
    : target_law_(&target_law), draft_law_(draft_law), scale_(scale) {
  if (draft_law == nullptr) {
    drafted_ = drafted;
    total_ = scale * (1 - Probability(target_law, static_cast<size_t>(drafted)));
    return;
  }
  // The vocabulary is long and its rows are dense at worst: several sums, in a fixed order, because
  // the additions of one wait for each other.
  std::array<double, kLanes> sums{};
  const size_t shared = std::min(size(), draft_law->size());
  const size_t whole = shared - shared % kLanes;
  for (size_t t = 0; t < whole; t += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += std::max(0.0, scale * target_law[t + lane] - (*draft_law)[t + lane]);
    }
  }
  for (size_t t = whole; t < size(); ++t) sums[t % kLanes] += (*this)[t];
  total_ = std::accumulate(sums.begin(), sums.end(), 0.0);
}

double DrawWeights::operator[](size_t token) const {
  const double p = scale_ * (*target_law_)[token];
  if (draft_law_ != nullptr) return std::max(0.0, p - Probability(*draft_law_, token));
  return static_cast<int64_t>(token) == drafted_ ? 0.0 : p;
}

bool UniformChooser::Accept(double probability) {
  if (probability >= 1) return true;
  if (probability <= 0) return false;
  return next_uniform_() < probability;
}

TokenId UniformChooser::Draw(const DrawWeights& weights) {
  const double threshold = next_uniform_() * weights.total();
  double cumulative = 0;
  for (size_t t = 0; t < weights.size(); ++t) {
    cumulative += weights[t];
    if (cumulative > threshold) return static_cast<TokenId>(t);
  }
  // By rounding the sum may end at or below the threshold; the last possible token takes the rest.
  for (size_t t = weights.size(); t > 0; --t) {
    if (weights[t - 1] > 0) return static_cast<TokenId>(t - 1);
  }
  return -1;
}

Result<RejectionOutcome> VerifyByTokenRejection(const RejectionInput& input,
                                                RejectionChooser& chooser) {
  FORETOKEN_RETURN_IF_ERROR(Check(input));
  size_t accepted = 0;
  while (accepted < input.draft.size() && chooser.Accept(std::min(1.0, Ratio(input, accepted)))) {
    ++accepted;
  }
  return Finish(input, accepted, /*scale=*/1, chooser);
}

Result<RejectionOutcome> VerifyByBlock(const RejectionInput& input, RejectionChooser& chooser) {
  FORETOKEN_RETURN_IF_ERROR(Check(input));
  const size_t n = input.draft.size();
  // prefix_ratio[i] is the paper's p_i: how much the target wants x_1..x_i relative to the draft.
  std::vector<double> prefix_ratio(n + 1, 1.0);
  for (size_t i = 0; i < n; ++i) {
    prefix_ratio[i + 1] = std::min(1.0, prefix_ratio[i] * Ratio(input, i));
  }
  // The paper walks up and keeps the last prefix that passed. The decisions are independent, so
  // walking down to the first that passes is the same law and sums fewer rows.
  size_t accepted = n;
  for (; accepted > 0; --accepted) {
    const double ratio = prefix_ratio[accepted];
    if (!(ratio > 0)) continue;
    double probability = ratio;
    if (accepted < n) {
      // 0/0 where p = q and the ratio is 1. A longer prefix then passed for sure, so that this is
      // reached by rounding alone and either answer is right.
      const double residual = Residual(input, accepted, ratio).total();
      probability = residual > 0 ? residual / (residual + (1 - ratio)) : 0.0;
    }
    if (chooser.Accept(probability)) break;
  }
  return Finish(input, accepted, prefix_ratio[accepted], chooser);
}

}  // namespace foretoken
