#ifndef FORETOKEN_FORETOKEN_NEAR_TIE_JUDGE_H_
#define FORETOKEN_FORETOKEN_NEAR_TIE_JUDGE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "foretoken/generation.h"
#include "foretoken/options.h"
#include "foretoken/status.h"
#include "model/model_backend.h"

namespace foretoken {

// One verification of a speculative run: the rows of its forward, [last, drafts...], and how many
// tokens it committed.
struct ForwardShape {
  int32_t rows = 1;
  int32_t committed = 1;
};

// The shape of the round that `event` reports. The length of a draft that was rejected is not
// reported: `draft_k` stands for it.
ForwardShape ShapeOfRound(const TokensEvent& event, int32_t draft_k);

// Two runs of one request that should have given the same tokens.
struct RunPair {
  std::vector<TokenId> prompt;
  std::vector<TokenId> plain;
  std::vector<TokenId> speculative;
  // The speculative run's rounds; the first is the prompt's own, which is the same in both.
  std::vector<ForwardShape> rounds;
  SamplingOptions sampling;
  uint64_t seed = 0;
};

// How the first difference between two runs is judged; design: floating point may give a row other
// bits in a batch of another size, and only where that alone can change the choice is a difference
// excused.
struct NearTieVerdict {
  int32_t position = 0;      // of the answer, 0-based
  TokenId plain_token = -1;  // -1: that run had ended
  TokenId speculative_token = -1;
  // Between the two tokens, in the plain shape; infinite where a filter drops one of them.
  double score_gap = 0;
  // The largest between the plain and another shape over the row; infinite where a filter keeps one
  // of the two tokens in one shape only.
  double shape_difference = 0;
  bool excused = false;  // score_gap <= 2 * shape_difference
};

// The first position at which the runs differ; empty when they are equal.
std::optional<int32_t> FirstDifference(std::span<const TokenId> a, std::span<const TokenId> b);

// Computes the row where the runs part in both shapes: one token a forward, and the recorded rounds
// with the run's own tokens in place of rejected drafts. The score is the processed logit, up to a
// constant of the row, plus the request's noise. A run that ended early is never excused.
// Precondition: the runs differ. Uses sequence 0 and leaves it empty; takes about as long as the
// runs did. Errors are the back end's.
Result<NearTieVerdict> JudgeNearTie(ModelBackend& backend, const RunPair& runs);

// The same for a run whose forwards are not known, since rows of others were in them: the row is
// computed one token a forward, and with the whole prefix in forwards of each of `sizes` rows
// beside another cached sequence, then in cells out of order, as a sequence gets them that follows
// one that ended, until one of them excuses the difference. The runs' `rounds` are not used. Uses
// sequences 0 and 1 and leaves them empty.
Result<NearTieVerdict> JudgeNearTieInBatches(ModelBackend& backend, const RunPair& runs,
                                             std::span<const int32_t> sizes);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_NEAR_TIE_JUDGE_H_
