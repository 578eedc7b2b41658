#include "sampling/row.h"

#include <algorithm>
#include <array>

#include "sampling/exact_math.h"

namespace foretoken {

// In all loops: comparisons with NaN are false; integer "any" reductions and element-wise loops
// vectorise without leave to reorder floating-point operations.

RowScan ScanRow(std::span<const float> logits) {
  RowScan scan;
  float best = kNoLogit;
  uint32_t unclean = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kBlockTokens) {
    const size_t count = std::min(kBlockTokens, logits.size() - begin);
    const float* block = logits.data() + begin;
    uint32_t larger = 0;
    for (size_t i = 0; i < count; ++i) {
      larger |= static_cast<uint32_t>(block[i] > best);
      unclean |= static_cast<uint32_t>(!(block[i] <= kMaxLogit));
    }
    if (larger == 0) continue;
    for (size_t i = 0; i < count; ++i) {
      if (block[i] > best) {
        best = block[i];
        scan.argmax = static_cast<TokenId>(begin + i);
      }
    }
  }
  scan.clean = unclean == 0;
  return scan;
}

void CleanRow(std::span<float> logits) {
  for (float& logit : logits) {
    if (!(logit <= kMaxLogit)) logit = logit > kMaxLogit ? kMaxLogit : kNoLogit;
  }
}

void ScaledRow::Exps(size_t begin, size_t count, double* out) const {
  const float* block = logits.data() + begin;
  const double max = max_logit;
  const double scale = inverse_temperature;
  for (size_t i = 0; i < count; ++i) {
    out[i] = ExactExp((static_cast<double>(block[i]) - max) * scale);
  }
}

double SumExps(const ScaledRow& row, const Cut& cut, double* exps) {
  double sum = 0;
  const size_t size = row.logits.size();
  for (size_t begin = 0; begin < size; begin += kBlockTokens) {
    const size_t count = std::min(kBlockTokens, size - begin);
    const float* block = row.logits.data() + begin;
    uint32_t kept = 0;
    for (size_t i = 0; i < count; ++i) kept |= static_cast<uint32_t>(block[i] >= cut.logit);
    if (kept == 0) {
      if (exps != nullptr) std::fill_n(exps + begin, count, 0.0);
      continue;  // its sum is 0, and adding 0 changes nothing
    }
    std::array<double, kBlockTokens> terms;
    row.Exps(begin, count, terms.data());
    std::fill(terms.begin() + count, terms.end(), 0.0);
    for (size_t i = 0; i < count; ++i) terms[i] = block[i] >= cut.logit ? terms[i] : 0.0;
    if (cut.last_id < static_cast<TokenId>(begin + count)) {
      for (size_t i = 0; i < count; ++i) {
        if (!cut.Keeps(block[i], static_cast<TokenId>(begin + i))) terms[i] = 0.0;
      }
    }
    if (exps != nullptr) std::copy_n(terms.data(), count, exps + begin);
    for (size_t half = kBlockTokens / 2; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) terms[i] += terms[i + half];
    }
    sum += terms[0];
  }
  return sum;
}

}  // namespace foretoken
