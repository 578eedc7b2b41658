#ifndef FORETOKEN_SAMPLING_ROW_H_
#define FORETOKEN_SAMPLING_ROW_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "foretoken/options.h"

namespace foretoken {

// Vector loops work on blocks of this many tokens: their scratch stays in the first-level cache,
// and a block without anything of interest is passed over at vector speed.
inline constexpr size_t kBlockTokens = 256;

inline constexpr float kMaxLogit = std::numeric_limits<float>::max();
inline constexpr float kNoLogit = -std::numeric_limits<float>::infinity();

struct RowScan {
  TokenId argmax = -1;  // lowest id of the largest value; -1: nothing above -infinity
  bool clean = true;    // neither NaN nor +infinity in it
};
RowScan ScanRow(std::span<const float> logits);

// NaN becomes -infinity and +infinity the largest finite value.
void CleanRow(std::span<float> logits);

// An order-preserving integer for a clean logit; -0 and +0 have the same.
inline uint32_t KeyOf(float logit) {
  const uint32_t bits = std::bit_cast<uint32_t>(logit + 0.0f);
  return bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
}
inline float LogitOf(uint32_t key) {
  return std::bit_cast<float>(key ^ ((key >> 31) != 0 ? 0x80000000u : 0xffffffffu));
}

// Where a filter cuts the order "larger logit first, then lower id": all filters keep a beginning
// of that order. By default all tokens above -infinity are kept.
struct Cut {
  float logit = -kMaxLogit;
  TokenId last_id = std::numeric_limits<TokenId>::max();  // of the tokens with just that logit

  bool Keeps(float l, TokenId id) const { return l > logit || (l == logit && id <= last_id); }
};

// A clean row, its largest value, and the temperature that divides its distance to it. Working on
// distances keeps every intermediate value finite. A view: the logits must outlive it.
struct ScaledRow {
  std::span<const float> logits;
  TokenId argmax = 0;
  float max_logit = 0;
  double inverse_temperature = 1;

  // The processed logit, <= 0: up to a constant of the row, logit / temperature.
  double Scaled(float logit) const {
    return (static_cast<double>(logit) - static_cast<double>(max_logit)) * inverse_temperature;
  }
  // exp(Scaled(logit)) of consecutive tokens.
  void Exps(size_t begin, size_t count, double* out) const;
};

// The sum of exp(Scaled(logit)) over the kept tokens, in one fixed order: a tree of 256 leaves over
// each block, then the blocks from first to last. `exps` may be null; otherwise it gets the terms.
double SumExps(const ScaledRow& row, const Cut& cut, double* exps);

}  // namespace foretoken

#endif  // FORETOKEN_SAMPLING_ROW_H_
