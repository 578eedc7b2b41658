#ifndef FORETOKEN_SAMPLING_CANDIDATES_H_
#define FORETOKEN_SAMPLING_CANDIDATES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "foretoken/options.h"
#include "sampling/row.h"

namespace foretoken {

// A part of a row that was taken out of it: keys (KeyOf) and ids side by side, ids ascending.
struct Candidates {
  std::vector<uint32_t> keys;
  std::vector<TokenId> ids;

  size_t size() const { return ids.size(); }
  void Clear();
  void Append(float logit, TokenId id);
  // Drops what the cut drops.
  void Keep(const Cut& cut);
};

// The k most likely tokens above -infinity (all where there are no more) replace `out`; returns the
// cut that keeps just them. `scratch` is overwritten. No sort of the row: the k-th largest of the
// maxima of small groups bounds the k-th largest logit from below, and few tokens reach it.
// Precondition: k >= 1, a clean row.
Cut GatherTopK(std::span<const float> logits, size_t k, std::vector<float>& scratch,
               Candidates& out);

// The cut that keeps the fewest candidates whose weights sum to at least `target`, more likely ones
// first, ties by lowest id; every candidate where the sum is less. `weights` is parallel to the
// candidates and equal for equal logits; empty: each weighs 1. Precondition: target >= 1 and at
// least one candidate. A radix selection: linear, whatever the values.
Cut CutAtWeight(const Candidates& candidates, std::span<const uint64_t> weights, uint64_t target);

}  // namespace foretoken

#endif  // FORETOKEN_SAMPLING_CANDIDATES_H_
