#ifndef FORETOKEN_SPECULATIVE_REJECTION_RULES_H_
#define FORETOKEN_SPECULATIVE_REJECTION_RULES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include "foretoken/options.h"
#include "foretoken/status.h"
#include "sampling/sampler.h"

namespace foretoken {

// A drafted block x_1..x_n and the laws behind it. Views; they must outlive the call.
// The rules are lossless only if q_i is the law that x_i was really drawn from (after the draft's
// whole sampling chain), and if n was decided before x_n was drawn or looking at no drawn token.
struct RejectionInput {
  std::span<const TokenId> draft;  // [n], n >= 0
  // q_1..q_n. Absent: x_i was not drawn at random, all mass is on it. An empty span: none was.
  std::span<const std::optional<Distribution>> draft_laws;
  std::span<const Distribution> target_laws;  // p_1..p_{n+1}; p_{i+1} is given x_1..x_i
};

struct RejectionOutcome {
  int32_t accepted_tokens = 0;  // 0 to n, a prefix of the draft
  TokenId next_token = 0;       // the one token committed after them
};

// What the further token is drawn from: weight p(t), or (scale p(t) - q(t))+ after a rejection.
// A view of its laws. Tokens outside a law have probability 0 (vocabularies may differ by padding).
class DrawWeights {
 public:
  explicit DrawWeights(const Distribution& target_law) : target_law_(&target_law) {}
  // `draft_law` null: all mass of q is on `drafted`.
  DrawWeights(const Distribution& target_law, double scale, const Distribution* draft_law,
              TokenId drafted);

  size_t size() const { return target_law_->size(); }
  // Precondition: token < size().
  double operator[](size_t token) const;
  // The sum of the weights, up to rounding.
  double total() const { return total_; }

 private:
  const Distribution* target_law_;
  const Distribution* draft_law_ = nullptr;
  double scale_ = 1;
  double total_ = 1;
  int64_t drafted_ = -1;  // set for a one-hot draft law
};

// Takes the random decisions of a rule: the seam through which tests enumerate all of them.
class RejectionChooser {
 public:
  virtual ~RejectionChooser() = default;
  // True with `probability`, independently of all other decisions. May be outside 0 to 1 by
  // rounding.
  virtual bool Accept(double probability) = 0;
  // A token in proportion to its weight, or -1 when no weight is positive.
  virtual TokenId Draw(const DrawWeights& weights) = 0;
};

// Decides with uniforms from [0, 1): one for each draw and for each uncertain decision. A draw
// walks the cumulative weights in the order of token ids. As thread-safe as its source.
class UniformChooser final : public RejectionChooser {
 public:
  explicit UniformChooser(std::function<double()> next_uniform)
      : next_uniform_(std::move(next_uniform)) {}

  bool Accept(double probability) override;
  TokenId Draw(const DrawWeights& weights) override;

 private:
  std::function<double()> next_uniform_;
};

// Token by token (arXiv 2211.17192, 2302.01318): x_i is accepted with probability
// min(1, p_i(x_i) / q_i(x_i)); the first rejection ends the block with a draw from (p_i - q_i)+.
// A token with q_i(x_i) = 0 cannot have been drawn and is rejected. INVALID_ARGUMENT when the
// numbers of tokens and laws do not fit or a token is negative; INTERNAL when the law to draw from
// has no mass.
Result<RejectionOutcome> VerifyByTokenRejection(const RejectionInput& input,
                                                RejectionChooser& chooser);

// Block by block (arXiv 2403.10444, algorithm 2): decides on whole prefixes, longest first. The
// same law of the output; on average at least as many accepted tokens as token by token, and the
// same number for one token and for drafts that were not drawn. Errors and q_i(x_i) = 0 as above.
Result<RejectionOutcome> VerifyByBlock(const RejectionInput& input, RejectionChooser& chooser);

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_REJECTION_RULES_H_
