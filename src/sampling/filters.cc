#include "sampling/filters.h"

#include <algorithm>
#include <array>
#include <bit>

#include "sampling/exact_math.h"

namespace foretoken {
namespace {

// Bins of the distance to the largest logit, in units of 1/64 after temperature; the last holds the
// rest, whose weights are all but nothing.
constexpr int kBins = 2048;
constexpr double kBinsPerUnit = 64;

// Same float operations at each call: a token is in one bin, and bins follow the logits' order.
struct Binning {
  float max_logit;
  float scale;

  int32_t operator()(float logit) const {
    const float bin = (max_logit - logit) * scale;
    constexpr float kLast = kBins - 1;
    return static_cast<int32_t>(bin < kLast ? bin : kLast);
  }
};

// A ratio to the most likely token's probability as an integer: `scale` steps make 1.
// Adding 2^52 leaves the nearest integer in the mantissa.
inline uint64_t WeightOf(double ratio, double scale) {
  constexpr double kRound = 0x1p+52;
  return std::bit_cast<uint64_t>(ratio * scale + kRound) - std::bit_cast<uint64_t>(kRound);
}

Cut Tighter(const Cut& a, const Cut& b) {
  return a.Keeps(b.logit, b.last_id) ? b : a;
}

}  // namespace

Filters::Filters(const SamplingOptions& options, size_t vocabulary_size)
    : top_k_(static_cast<size_t>(options.top_k)),
      top_p_(options.top_p),
      min_p_on_(options.min_p > 0),
      log_min_p_(min_p_on_ ? ExactLog(options.min_p) : 0),
      // The sum over the vocabulary stays below 2^62, and one weight below 2^51, as WeightOf needs.
      weight_scale_(static_cast<double>(
          uint64_t{1} << std::min(50, 62 - static_cast<int>(std::bit_width(vocabulary_size))))) {
  if (top_k_ >= vocabulary_size) top_k_ = 0;
}

Support Filters::Apply(const ScaledRow& row) {
  Support support;
  if (top_k_ > 0) {
    support.cut = GatherTopK(row.logits, top_k_, maxima_, kept_);
    support.tokens = &kept_;
  }
  if (top_p_ < 1) {
    support.cut = Tighter(support.cut, top_k_ > 0 ? TopPOfKept(row) : TopPOfRow(row));
  }
  if (min_p_on_) support.cut = Tighter(support.cut, MinP(row));
  if (support.tokens != nullptr) kept_.Keep(support.cut);
  return support;
}

Cut Filters::TopPOfKept(const ScaledRow& row) {
  Weigh(row, kept_);
  uint64_t total = 0;
  for (const uint64_t weight : weights_) total += weight;
  return CutAtWeight(kept_, weights_, Target(total));
}

Cut Filters::TopPOfRow(const ScaledRow& row) {
  // Two histograms in turn, so that equal neighbours do not wait for each other's addition.
  std::array<std::array<uint64_t, kBins>, 2> mass{};
  const Binning bin_of{row.max_logit, static_cast<float>(std::min<double>(
                                          row.inverse_temperature * kBinsPerUnit, kMaxLogit))};
  const size_t size = row.logits.size();
  std::array<double, kBlockTokens> exps;
  std::array<int32_t, kBlockTokens> bins;
  for (size_t begin = 0; begin < size; begin += kBlockTokens) {
    const size_t count = std::min(kBlockTokens, size - begin);
    const float* block = row.logits.data() + begin;
    row.Exps(begin, count, exps.data());
    for (size_t i = 0; i < count; ++i) bins[i] = bin_of(block[i]);
    for (size_t i = 0; i < count; ++i) mass[i % 2][bins[i]] += WeightOf(exps[i], weight_scale_);
  }
  uint64_t total = 0;
  for (int bin = 0; bin < kBins; ++bin) total += mass[0][bin] += mass[1][bin];

  uint64_t remaining = Target(total);
  int32_t crossing = 0;
  while (mass[0][crossing] < remaining) remaining -= mass[0][crossing++];
  crossing_.Clear();
  for (size_t begin = 0; begin < size; begin += kBlockTokens) {
    const size_t count = std::min(kBlockTokens, size - begin);
    const float* block = row.logits.data() + begin;
    uint32_t any = 0;
    for (size_t i = 0; i < count; ++i) {
      bins[i] = bin_of(block[i]);
      any |= static_cast<uint32_t>(bins[i] == crossing);
    }
    if (any == 0) continue;
    for (size_t i = 0; i < count; ++i) {
      if (bins[i] == crossing) crossing_.Append(block[i], static_cast<TokenId>(begin + i));
    }
  }
  Weigh(row, crossing_);
  return CutAtWeight(crossing_, weights_, remaining);
}

Cut Filters::MinP(const ScaledRow& row) const {
  // The least logit that passes; Scaled never falls as its argument rises.
  uint32_t low = KeyOf(-kMaxLogit);
  uint32_t high = KeyOf(row.max_logit);
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (row.Scaled(LogitOf(middle)) >= log_min_p_) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return {LogitOf(low)};
}

void Filters::Weigh(const ScaledRow& row, const Candidates& list) {
  weights_.resize(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    weights_[i] = WeightOf(ExactExp(row.Scaled(LogitOf(list.keys[i]))), weight_scale_);
  }
}

uint64_t Filters::Target(uint64_t total) const {
  const double exact = top_p_ * static_cast<double>(total);
  uint64_t target = static_cast<uint64_t>(exact);
  if (static_cast<double>(target) < exact) ++target;
  return std::clamp<uint64_t>(target, 1, total);
}

}  // namespace foretoken
