#ifndef FORETOKEN_SAMPLING_SAMPLER_H_
#define FORETOKEN_SAMPLING_SAMPLER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"
#include "sampling/token_history.h"

namespace foretoken {

// A processed distribution: [vocabulary_size] probabilities that sum to 1, 0 where a filter
// dropped the token.
using Distribution = std::vector<double>;

// Turns rows of logits into tokens by a request's options: penalties, bias, temperature, top-k,
// top-p, min-p, then argmax(processed logit + noise). The choice is a function of (logits,
// history, seed, stream, position) alone, with the same bits on every machine and compiler.
// One thread at a time (it holds scratch memory); cheap to move, independent of any model.
class Sampler {
 public:
  // INVALID_ARGUMENT for options out of range and for biased tokens outside the vocabulary.
  // `seed` is the request's, whether the client gave it or not.
  static Result<Sampler> Create(const SamplingOptions& options, uint64_t seed,
                                int32_t vocabulary_size);
  Sampler(Sampler&&) noexcept;
  Sampler& operator=(Sampler&&) noexcept;
  ~Sampler();

  // The token at `position` (absolute: prompt included) of noise stream `stream`, given the row
  // of unprocessed logits that predicts it and the tokens before it. Ties go to the lowest id.
  // NaN counts as -infinity, +infinity as the largest finite value. INTERNAL when nothing in the
  // row is above -infinity, or when its length is not the vocabulary's.
  Result<TokenId> Select(std::span<const float> logits, const TokenHistory& history,
                         uint64_t stream, int64_t position);

  // The law that Select draws from, for the rejection rules. At temperature 0 all mass is on
  // Select's token. Errors as Select's.
  Status ComputeDistribution(std::span<const float> logits, const TokenHistory& history,
                             Distribution& out);

 private:
  struct State;
  explicit Sampler(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SAMPLING_SAMPLER_H_
