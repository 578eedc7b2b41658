#ifndef FORETOKEN_SPECULATIVE_DRAFT_LENGTH_POLICY_H_
#define FORETOKEN_SPECULATIVE_DRAFT_LENGTH_POLICY_H_

#include <array>
#include <cstdint>
#include <vector>

#include "foretoken/options.h"

namespace foretoken {

// Decides how many tokens a source should draft in the next round, zero included, from what
// rounds were seen to cost and to yield: the k that maximises expected tokens per second,
// (1 + sum of survival to depth i) / (T_draft(k) + T_target(1 + k)).
// One thread at a time. A value: what a tenant has learned is its own. The choice never changes
// which tokens come out under the coupled rule, only when.
class DraftLengthPolicy {
 public:
  // What a round did. Times are microseconds.
  struct Round {
    int32_t drafted = 0;
    int32_t accepted = 0;
    DraftSourceKind source = DraftSourceKind::kDraftModel;  // meaningless without a draft
    int64_t draft_us = 0;
    int32_t catch_up_tokens = 0;  // see Draft
    int64_t verify_us = 0;        // the target's forward over drafted + 1 rows
  };

  // 0 to `max_k`. A source found not to pay is tried again at exponentially growing intervals.
  int32_t Choose(DraftSourceKind source, int32_t max_k);
  void Observe(const Round& round);

 private:
  // How often a token at this depth was reached and accepted; old rounds weigh less.
  struct Depth {
    double tried = 0;
    double accepted = 0;
  };
  struct Source {
    std::vector<Depth> depths;
    double draft_us_per_token = -1;  // negative: not seen yet
    int32_t rounds_until_probe = 0;
    int32_t probe_interval = 0;
  };

  Source& SourceFor(DraftSourceKind kind) { return sources_[static_cast<size_t>(kind)]; }
  double TargetCost(int32_t rows) const;
  double Rate(const Source& source, int32_t k) const;

  std::array<Source, 2> sources_;
  std::vector<double> target_us_;  // element n: a forward over n rows; negative: not seen yet
  // Large at first: what plain decoding costs is the first thing to know.
  int32_t rounds_since_plain_ = 1 << 20;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_DRAFT_LENGTH_POLICY_H_
