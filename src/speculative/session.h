#ifndef FORETOKEN_SPECULATIVE_SESSION_H_
#define FORETOKEN_SPECULATIVE_SESSION_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "foretoken/options.h"
#include "sampling/sampler.h"
#include "sampling/token_history.h"

namespace foretoken {

// The committed state of one generation, shared by its draft sources and its target: tokens that
// are final, and what choosing the next one needs. Drafts are never in it; who looks ahead appends
// to `history` and takes back.
// Plain data; one thread at a time.
struct Session {
  Session(std::span<const TokenId> prompt, Sampler request_sampler, uint64_t request_seed)
      : tokens(prompt.begin(), prompt.end()),
        history(prompt),
        sampler(std::move(request_sampler)),
        seed(request_seed) {}

  void Commit(TokenId token) {
    tokens.push_back(token);
    history.AppendOutput(token);
  }
  // Absolute position of the next token, prompt included.
  int64_t next_position() const { return static_cast<int64_t>(tokens.size()); }

  std::vector<TokenId> tokens;  // prompt and committed output
  TokenHistory history;
  Sampler sampler;
  uint64_t seed;
  uint64_t stream = 0;  // of the noise; 0 is the default path
  VerifyRule rule = VerifyRule::kCoupled;
  // Rounds begun. Under kMaxAcceptance every round draws fresh noise: the noise of a rejected
  // draft is known to be unlucky, and drawing with it again would bias the law.
  uint64_t rounds = 0;
  uint64_t uniforms_drawn = 0;  // of the rejection rules
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_SESSION_H_
