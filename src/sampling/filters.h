#ifndef FORETOKEN_SAMPLING_FILTERS_H_
#define FORETOKEN_SAMPLING_FILTERS_H_

#include <cstdint>
#include <vector>

#include "foretoken/options.h"
#include "sampling/candidates.h"
#include "sampling/row.h"

namespace foretoken {

// What the filters leave of a row.
struct Support {
  Cut cut;
  // The kept tokens when a filter took them out of the row; otherwise null: read the row.
  const Candidates* tokens = nullptr;
};

// top-k, top-p and min-p, each on the distribution that the one before it leaves. Sums of
// probability are of integers (multiples of a tiny part of the most likely token's), so that no
// order of summation can change what is kept. See docs/sampling.md.
// One thread at a time (it holds scratch memory). Cannot fail.
class Filters {
 public:
  // Precondition: options were validated, the temperature is above 0.
  Filters(const SamplingOptions& options, size_t vocabulary_size);

  // Valid until the next call.
  Support Apply(const ScaledRow& row);

 private:
  Cut TopPOfKept(const ScaledRow& row);
  Cut TopPOfRow(const ScaledRow& row);
  Cut MinP(const ScaledRow& row) const;
  // weights_ of the list's tokens.
  void Weigh(const ScaledRow& row, const Candidates& list);
  // The weight that top-p needs.
  uint64_t Target(uint64_t total) const;

  size_t top_k_ = 0;  // 0: off
  double top_p_ = 1;  // 1: off
  bool min_p_on_ = false;
  double log_min_p_ = 0;
  double weight_scale_ = 0;

  Candidates kept_;
  Candidates crossing_;
  std::vector<float> maxima_;
  std::vector<uint64_t> weights_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SAMPLING_FILTERS_H_
