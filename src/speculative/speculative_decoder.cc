#include "speculative/speculative_decoder.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/macros.h"
#include "base/worker_pool.h"
#include "speculative/decode_round.h"

namespace foretoken {
namespace {

constexpr int64_t kFirstBackOffRounds = 8;
constexpr int64_t kMaxBackOffRounds = 1024;

class CollectingSink : public CommitSink {
 public:
  bool Commit(const VerifiedToken& token, std::optional<DraftSourceKind> /*source*/) override {
    tokens.push_back(token.id);
    return true;
  }

  std::vector<TokenId> tokens;
};

}  // namespace

SpeculativeDecoder::SpeculativeDecoder(TargetModelWrapper target,
                                       std::vector<std::unique_ptr<DraftModel>> sources,
                                       DecoderOptions options)
    : target_(std::move(target)), options_(std::move(options)) {
  for (const DraftSourceKind kind : options_.speculation.sources) {
    for (std::unique_ptr<DraftModel>& source : sources) {
      if (!source || source->kind() != kind) continue;
      if (kind == DraftSourceKind::kDraftModel) {
        draft_model_ = static_cast<DraftModelWrapper*>(source.get());
      }
      sources_.push_back({.model = std::move(source)});
    }
  }
}

Status SpeculativeDecoder::Begin(std::span<const TokenId> prompt_tokens, int32_t max_tokens) {
  if (session_) return FailedPreconditionError("the decoder has begun its generation already");
  if (prompt_tokens.empty()) return InvalidArgumentError("the prompt has no tokens");
  const auto prompt_length = static_cast<int64_t>(prompt_tokens.size());
  if (prompt_length >= target_.context_tokens()) {
    return InvalidArgumentError(
        fmt::format("the prompt has {} tokens and the context {}: no room for an answer",
                    prompt_length, target_.context_tokens()));
  }
  FORETOKEN_ASSIGN_OR_RETURN(
      Sampler sampler, Sampler::Create(options_.sampling, options_.seed, options_.vocabulary_size));
  session_.emplace(prompt_tokens, std::move(sampler), options_.seed);
  session_->rule = options_.speculation.rule;
  session_->stream = options_.noise_stream;
  length_limit_ =
      std::min<int64_t>(prompt_length + std::max(max_tokens, 1), target_.context_tokens());
  return OkStatus();
}

Result<FinishReason> SpeculativeDecoder::Generate(std::span<const TokenId> prompt_tokens,
                                                  int32_t max_tokens, CommitSink& sink) {
  FORETOKEN_RETURN_IF_ERROR(Begin(prompt_tokens, max_tokens));
  WorkerPool workers(1);
  DraftBudget budget;
  AcceptanceModel acceptance;
  RoundContext context{.budget = budget, .workers = workers};
  while (true) {
    RoundEntry entry{.decoder = this,
                     .sink = &sink,
                     .acceptance = &acceptance,
                     .max_committed_rows = target_.cache().description().max_batch_rows};
    DecodeRound({&entry, 1}, context);
    FORETOKEN_RETURN_IF_ERROR(entry.status);
    if (entry.finished) return reason_;
  }
}

Result<std::vector<TokenId>> SpeculativeDecoder::Generate(std::span<const TokenId> prompt_tokens,
                                                          int32_t max_tokens) {
  CollectingSink sink;
  FORETOKEN_RETURN_IF_ERROR(Generate(prompt_tokens, max_tokens, sink).status());
  return std::move(sink.tokens);
}

int32_t SpeculativeDecoder::MaxDraftTokens() const {
  const SpeculativeConfig& config = options_.speculation;
  if (config.mode == SpeculationMode::kOff || drafts_rest()) return 0;
  const int32_t limit = config.mode == SpeculationMode::kFixed
                            ? std::min(config.draft_k, config.max_draft_tokens)
                            : config.max_draft_tokens;
  return std::max(std::min({limit, remaining_tokens() - 1, target_.max_draft_tokens()}), 0);
}

std::vector<Draft> SpeculativeDecoder::ProposeText(int32_t max_k) {
  std::vector<Draft> drafts;
  if (max_k <= 0) return drafts;
  for (Source& source : sources_) {
    if (source.model.get() == draft_model_ || stats_.rounds < source.back_off.skip_until_round)
      continue;
    auto draft = source.model->GenerateDraft(*session_, max_k);
    if (!draft.ok()) {
      NoteDraftFailure(source.model->kind(), draft.status());
    } else if (!draft->tokens.empty()) {
      drafts.push_back(std::move(*draft));
    }
  }
  return drafts;
}

DraftModelWrapper* SpeculativeDecoder::ReadyDraftModel() {
  for (const Source& source : sources_) {
    if (source.model.get() == draft_model_ && stats_.rounds >= source.back_off.skip_until_round) {
      return draft_model_;
    }
  }
  return nullptr;
}

bool SpeculativeDecoder::NoteFailure(BackOff& back_off) const {
  const int64_t rounds =
      std::min(kFirstBackOffRounds << std::min<int64_t>(back_off.failures, 16), kMaxBackOffRounds);
  back_off.skip_until_round = stats_.rounds + rounds;
  return back_off.failures++ == 0;
}

void SpeculativeDecoder::NoteDraftFailure(DraftSourceKind kind, const Status& status) {
  for (Source& source : sources_) {
    if (source.model->kind() != kind || !NoteFailure(source.back_off)) continue;
    warnings_.push_back("drafting failed and is retried less and less often: " + status.message());
  }
}

bool SpeculativeDecoder::CommitRound(const Draft& draft, const Verification& verification,
                                     CommitSink& sink) {
  if (!verification.dropped.ok() && NoteFailure(verification_)) {
    warnings_.push_back(
        "a verification failed and went on plainly; drafting is retried less and less often: " +
        verification.dropped.message());
  }
  size_t committed = 0;
  bool stopped = false;
  for (const VerifiedToken& token : verification.tokens) {
    session_->Commit(token.id);
    ++committed;
    const bool ends = options_.ends_generation && options_.ends_generation(token.id);
    const bool goes_on = sink.Commit(
        token, token.origin == TokenOrigin::kAccepted ? std::optional(draft.source) : std::nullopt);
    if (ends || !goes_on) {
      stopped = true;
      break;
    }
  }
  CountRound(draft, verification, committed);
  reason_ = stopped ? FinishReason::kStop : FinishReason::kLength;
  return stopped || session_->next_position() >= length_limit_;
}

void SpeculativeDecoder::CountRound(const Draft& draft, const Verification& verification,
                                    size_t committed) {
  // What stands behind a stop was neither wrong nor right: it does not count.
  const bool cut = committed < verification.tokens.size();
  const size_t drafted = draft.tokens.size();
  const auto accepted = static_cast<size_t>(verification.accepted);
  const size_t counted = cut ? committed : drafted;
  const size_t kept = std::min(accepted, committed);
  stats_.drafted += static_cast<int64_t>(counted);
  stats_.accepted += static_cast<int64_t>(kept);
  stats_.rejected = stats_.drafted - stats_.accepted;
  if (drafted > 0) {
    DraftCounts& by_source = stats_.by_source[draft.source];
    by_source.drafted += static_cast<int64_t>(counted);
    by_source.accepted += static_cast<int64_t>(kept);
    if (!cut && accepted == drafted) ++stats_.bonus;
  }
  if (stats_.by_position.size() < counted) stats_.by_position.resize(counted);
  for (size_t i = 0; i < counted; ++i) {
    ++stats_.by_position[i].drafted;
    if (i < kept) ++stats_.by_position[i].accepted;
  }
  ++stats_.rounds;
  stats_.tau =
      static_cast<double>(session_->history.output_size()) / static_cast<double>(stats_.rounds);
}

}  // namespace foretoken
