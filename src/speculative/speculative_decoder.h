#ifndef FORETOKEN_SPECULATIVE_SPECULATIVE_DECODER_H_
#define FORETOKEN_SPECULATIVE_SPECULATIVE_DECODER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "foretoken/generation.h"
#include "foretoken/options.h"
#include "foretoken/status.h"
#include "speculative/acceptance_model.h"
#include "speculative/draft_model.h"
#include "speculative/draft_model_wrapper.h"
#include "speculative/target_model_wrapper.h"

namespace foretoken {

struct DecoderOptions {
  SpeculativeConfig speculation;
  SamplingOptions sampling;
  uint64_t seed = 0;
  uint64_t noise_stream = 0;
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
};

// One generation: its committed state, its caches and its draft sources. The loop's body, a round
// of draft, verify and commit, is DecodeRound, for any number of them at a time; Generate is that
// loop for one alone. Plain decoding is the same with empty drafts.
// One thread at a time; pools, acceptance and sink must outlive it. A draft that fails costs its
// round the draft; only the target failing plainly ends the generation.
class SpeculativeDecoder {
 public:
  // Those of `sources` that options.speculation.sources does not name are left out; they are asked
  // in its order. At most one of each kind; that of kDraftModel is a DraftModelWrapper.
  SpeculativeDecoder(TargetModelWrapper target, std::vector<std::unique_ptr<DraftModel>> sources,
                     DecoderOptions options);

  // Makes it ready for rounds that generate 1 to `max_tokens` tokens after `prompt_tokens`.
  // INVALID_ARGUMENT for an empty prompt, one that leaves no room in the context, and sampling
  // options out of range; FAILED_PRECONDITION after one that succeeded.
  Status Begin(std::span<const TokenId> prompt_tokens, int32_t max_tokens);

  // Begin, then rounds to the end: kStop or kLength, or why it ended early. Tokens committed before
  // a failure were given to the sink.
  Result<FinishReason> Generate(std::span<const TokenId> prompt_tokens, int32_t max_tokens,
                                CommitSink& sink);
  // The same, collected.
  Result<std::vector<TokenId>> Generate(std::span<const TokenId> prompt_tokens, int32_t max_tokens);

  const DecoderOptions& options() const { return options_; }
  TargetModelWrapper& target() { return target_; }
  const SpeculationStats& stats() const { return stats_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

  // What follows needs a Begin, and is for DecodeRound and for those who plan rounds.

  Session& session() { return *session_; }
  const Session& session() const { return *session_; }
  // Tokens that may still be generated.
  int32_t remaining_tokens() const {
    return static_cast<int32_t>(length_limit_ - session_->next_position());
  }
  // Committed tokens that the target has not run: more than 1 while the prompt is run.
  int32_t missing_tokens() const { return target_.MissingTokens(*session_); }
  // The most tokens a draft may have now: by the request, by what is left of the answer and by the
  // target; 0 while drafts_rest().
  int32_t MaxDraftTokens() const;
  // The target failed with a draft and went on without it: nothing is drafted for a while.
  bool drafts_rest() const { return stats_.rounds < verification_.skip_until_round; }

  // A draft from each source that runs no model, those with nothing to say left out.
  std::vector<Draft> ProposeText(int32_t max_k);
  // The draft model, where there is one and it is not to be left alone for having failed.
  DraftModelWrapper* ReadyDraftModel();
  // Even where it is to be left alone; null without one.
  DraftModelWrapper* draft_model() { return draft_model_; }
  void NoteDraftFailure(DraftSourceKind source, const Status& status);
  // Commits a verified round. True when the generation ends with it; then reason() says how.
  bool CommitRound(const Draft& draft, const Verification& verification, CommitSink& sink);
  FinishReason reason() const { return reason_; }

  // How often this request's drafts came true, for the budget.
  RequestAcceptance& acceptance() { return acceptance_; }

 private:
  // What failed is left alone for 8 rounds, then for 16, 32 and so on.
  struct BackOff {
    int64_t failures = 0;
    int64_t skip_until_round = 0;
  };
  struct Source {
    std::unique_ptr<DraftModel> model;
    BackOff back_off;
  };

  // Whether it was the first failure.
  bool NoteFailure(BackOff& back_off) const;
  void CountRound(const Draft& draft, const Verification& verification, size_t committed);

  TargetModelWrapper target_;
  std::vector<Source> sources_;
  DraftModelWrapper* draft_model_ = nullptr;  // one of sources_
  const DecoderOptions options_;
  std::optional<Session> session_;
  int64_t length_limit_ = 0;
  FinishReason reason_ = FinishReason::kLength;
  RequestAcceptance acceptance_;
  SpeculationStats stats_;
  std::vector<std::string> warnings_;
  BackOff verification_;  // of drafts, by a target that works without them
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_SPECULATIVE_DECODER_H_
