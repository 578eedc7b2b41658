#include "speculative/draft_length_policy.h"

#include <algorithm>
#include <cmath>

namespace foretoken {
namespace {

// A source that has not been seen is taken to be good, so that it is tried.
constexpr double kPriorAccepted = 3.0;
constexpr double kPriorTried = 4.0;
// A depth's own record counts as much as the source's as a whole after this many tries.
constexpr double kPooledWeight = 24.0;
// Old rounds lose weight: about the last 200 count.
constexpr double kDecay = 1.0 - 1.0 / 200.0;
// Plain decoding is measured again after this many rounds without it: it is what all else is
// compared with.
constexpr int32_t kPlainInterval = 64;
constexpr double kCostWeight = 0.2;     // of a new measurement
constexpr double kOutlierFactor = 3.0;  // a measurement is clamped to this times the average
constexpr int32_t kFirstProbeInterval = 16;
constexpr int32_t kMaxProbeInterval = 512;
// What pays less than this share of plain decoding is unlikely to change soon.
constexpr double kHopeless = 0.9;
// What a further row is taken to cost, as a share of the first, before any was measured: little, so
// that it is tried.
constexpr double kUnseenSlope = 0.1;
// The length of a first try, and of a probe: enough to see a slope and an acceptance.
constexpr int32_t kProbeTokens = 2;
// A draft that had to run more tokens than these first says nothing of what a token costs.
constexpr int32_t kMaxCatchUpTokens = 8;
// A gain below this is noise: plain decoding is simpler.
constexpr double kMinimumGain = 1.01;

void Update(double& average, double value) {
  if (average < 0) {
    average = value;
  } else {
    average += kCostWeight * (std::clamp(value, 0.0, kOutlierFactor * average) - average);
  }
}

}  // namespace

double DraftLengthPolicy::TargetCost(int32_t rows) const {
  const auto wanted = static_cast<size_t>(rows);
  if (wanted < target_us_.size() && target_us_[wanted] >= 0) return target_us_[wanted];
  // Between measured points, interpolate; beyond them, go on with the slope seen so far.
  size_t below = 0;
  size_t above = 0;
  for (size_t n = 1; n < target_us_.size(); ++n) {
    if (target_us_[n] < 0) continue;
    if (n < wanted) below = n;
    if (n > wanted && above == 0) above = n;
  }
  if (below == 0 && above == 0) return 1.0;
  if (below == 0) return target_us_[above];
  if (above == 0) {
    const double first = target_us_[1] >= 0 ? target_us_[1] : target_us_[below];
    const double slope =
        below > 1 ? std::max(target_us_[below] - first, 0.0) / static_cast<double>(below - 1)
                  : kUnseenSlope * first;
    return target_us_[below] + slope * static_cast<double>(wanted - below);
  }
  const double share = static_cast<double>(wanted - below) / static_cast<double>(above - below);
  return target_us_[below] + share * (target_us_[above] - target_us_[below]);
}

double DraftLengthPolicy::Rate(const Source& source, int32_t k) const {
  double accepted = kPriorAccepted;
  double tried = kPriorTried;
  for (const Depth& depth : source.depths) {
    accepted += depth.accepted;
    tried += depth.tried;
  }
  const double pooled = accepted / tried;
  double tokens = 1.0;
  double survival = 1.0;
  for (size_t i = 0; i < static_cast<size_t>(k); ++i) {
    const Depth depth = i < source.depths.size() ? source.depths[i] : Depth();
    survival *= (depth.accepted + kPooledWeight * pooled) / (depth.tried + kPooledWeight);
    tokens += survival;
  }
  // At least a microsecond: the clock's step.
  return tokens / std::max(TargetCost(1 + k) + k * std::max(source.draft_us_per_token, 0.0), 1.0);
}

int32_t DraftLengthPolicy::Choose(DraftSourceKind kind, int32_t max_k) {
  if (max_k <= 0 || rounds_since_plain_ >= kPlainInterval) return 0;
  Source& source = SourceFor(kind);
  if (source.draft_us_per_token < 0) max_k = std::min(max_k, kProbeTokens);
  const double plain = Rate(source, 0);
  int32_t best = 0;
  double best_rate = 0;
  for (int32_t k = 1; k <= max_k; ++k) {
    const double rate = Rate(source, k);
    if (rate > best_rate) {
      best = k;
      best_rate = rate;
    }
  }
  if (best_rate > plain * kMinimumGain) {
    source.probe_interval = 0;
    return best;
  }
  if (source.probe_interval == 0) {
    source.probe_interval = kFirstProbeInterval;
    source.rounds_until_probe = kFirstProbeInterval;
  }
  if (--source.rounds_until_probe > 0) return 0;
  source.probe_interval =
      std::min((best_rate < kHopeless * plain ? 4 : 2) * source.probe_interval, kMaxProbeInterval);
  source.rounds_until_probe = source.probe_interval;
  return std::min(max_k, kProbeTokens);
}

void DraftLengthPolicy::Observe(const Round& round) {
  const auto rows = static_cast<size_t>(round.drafted) + 1;
  if (target_us_.size() <= rows) target_us_.resize(rows + 1, -1.0);
  Update(target_us_[rows], static_cast<double>(round.verify_us));
  ++rounds_since_plain_;
  if (round.drafted == 0) {
    rounds_since_plain_ = 0;
    return;
  }

  Source& source = SourceFor(round.source);
  if (round.catch_up_tokens <= kMaxCatchUpTokens) {
    Update(source.draft_us_per_token,
           static_cast<double>(round.draft_us) / static_cast<double>(round.drafted));
  }
  const auto drafted = static_cast<size_t>(round.drafted);
  const auto accepted = static_cast<size_t>(round.accepted);
  if (source.depths.size() < drafted) source.depths.resize(drafted);
  for (Depth& depth : source.depths) {
    depth.tried *= kDecay;
    depth.accepted *= kDecay;
  }
  for (size_t i = 0; i < drafted && i <= accepted; ++i) {
    source.depths[i].tried += 1.0;
    if (i < accepted) source.depths[i].accepted += 1.0;
  }
}

}  // namespace foretoken
