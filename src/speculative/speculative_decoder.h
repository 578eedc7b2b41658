#ifndef FORETOKEN_SPECULATIVE_SPECULATIVE_DECODER_H_
#define FORETOKEN_SPECULATIVE_SPECULATIVE_DECODER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "foretoken/generation.h"
#include "foretoken/options.h"
#include "foretoken/status.h"
#include "speculative/draft_length_policy.h"
#include "speculative/draft_model.h"
#include "speculative/target_model.h"

namespace foretoken {

struct DecoderOptions {
  SpeculativeConfig speculation;
  SamplingOptions sampling;
  uint64_t seed = 0;
  int32_t vocabulary_size = 0;
  // Tokens that end a generation; may be empty.
  std::function<bool(TokenId)> ends_generation;
};

// Receives what a decoder commits, in order, on the decoder's thread.
class CommitSink {
 public:
  virtual ~CommitSink() = default;
  // A token is final. False: the generation ends with it (a stop string); what the round holds
  // behind it is discarded.
  virtual bool Commit(const VerifiedToken& token, std::optional<DraftSourceKind> source) = 0;
  // After the last token of a round. A failure (cancel) ends the generation with that status.
  virtual Status EndRound() = 0;
};

// The generation loop of one sequence: draft, verify, commit, until a limit or a stop. Plain
// decoding is the same loop with empty drafts.
// One thread at a time. The models, the policy and the sink must outlive a Generate. A draft
// source that fails is skipped for a growing number of rounds; a failed verification is retried
// without a draft; only the target failing plainly ends the generation.
class SpeculativeDecoder {
 public:
  // `drafts` in order of preference, each for this generation only. `policy` decides lengths in
  // SpeculationMode::kAuto.
  SpeculativeDecoder(TargetModel& target, const std::vector<DraftModel*>& drafts,
                     DraftLengthPolicy& policy, DecoderOptions options);

  // Generates 1 to `max_tokens` tokens after `prompt_tokens`; returns kStop or kLength, or why it
  // ended early. INVALID_ARGUMENT for an empty prompt and one that leaves no room in the context.
  // Tokens committed before a failure were given to the sink.
  Result<FinishReason> Generate(std::span<const TokenId> prompt_tokens, int32_t max_tokens,
                                CommitSink& sink);
  // The same, collected.
  Result<std::vector<TokenId>> Generate(std::span<const TokenId> prompt_tokens, int32_t max_tokens);

  const SpeculationStats& stats() const { return stats_; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Microseconds so far. The first round's verification is the prompt's prefill.
  int64_t prompt_us() const { return prompt_us_; }
  int64_t draft_us() const { return draft_us_; }
  int64_t verify_us() const { return verify_us_; }
  int64_t sample_us() const { return sample_us_; }

 private:
  struct Source {
    DraftModel* model = nullptr;
    int64_t failures = 0;
    int64_t skip_until_round = 0;
  };

  Draft ProposeDraft(Session& session, int32_t max_k);
  Result<Verification> Verify(Session& session, Draft& draft);
  // Commits a round's tokens; true when the generation ends with one of them.
  bool CommitRound(Session& session, const Draft& draft, const Verification& verification,
                   CommitSink& sink);

  TargetModel& target_;
  std::vector<Source> sources_;
  DraftLengthPolicy& policy_;
  const DecoderOptions options_;
  SpeculationStats stats_;
  std::vector<std::string> warnings_;
  int64_t prompt_us_ = 0;
  int64_t draft_us_ = 0;
  int64_t verify_us_ = 0;
  int64_t sample_us_ = 0;
  int64_t round_draft_us_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_SPECULATIVE_DECODER_H_
