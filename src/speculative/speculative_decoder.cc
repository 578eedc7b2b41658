#include "speculative/speculative_decoder.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/macros.h"

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
  Status EndRound() override { return OkStatus(); }

  std::vector<TokenId> tokens;
};

}  // namespace

SpeculativeDecoder::SpeculativeDecoder(TargetModel& target, const std::vector<DraftModel*>& drafts,
                                       DraftLengthPolicy& policy, DecoderOptions options)
    : target_(target), policy_(policy), options_(std::move(options)) {
  for (DraftModel* draft : drafts) sources_.push_back({.model = draft});
}

Result<FinishReason> SpeculativeDecoder::Generate(std::span<const TokenId> prompt_tokens,
                                                  int32_t max_tokens, CommitSink& sink) {
  if (prompt_tokens.empty()) return InvalidArgumentError("the prompt has no tokens");
  const auto prompt_length = static_cast<int64_t>(prompt_tokens.size());
  if (prompt_length >= target_.context_tokens()) {
    return InvalidArgumentError(
        fmt::format("the prompt has {} tokens and the context {}: no room for an answer",
                    prompt_length, target_.context_tokens()));
  }
  FORETOKEN_ASSIGN_OR_RETURN(
      Sampler sampler, Sampler::Create(options_.sampling, options_.seed, options_.vocabulary_size));
  Session session(prompt_tokens, std::move(sampler), options_.seed);
  session.rule = options_.speculation.rule;
  const int64_t length_limit =
      std::min<int64_t>(prompt_length + std::max(max_tokens, 1), target_.context_tokens());
  while (true) {
    const auto remaining = static_cast<int32_t>(length_limit - session.next_position());
    const bool first = stats_.rounds == 0;
    ++session.rounds;
    // The first round is the prefill: drafting before it would delay the first token.
    Draft draft;
    if (!first) draft = ProposeDraft(session, remaining - 1);
    FORETOKEN_ASSIGN_OR_RETURN(const Verification verification, Verify(session, draft));
    if (first) {
      prompt_us_ += verification.forward_us;
    } else {
      verify_us_ += verification.forward_us;
      policy_.Observe({.drafted = static_cast<int32_t>(draft.tokens.size()),
                       .accepted = verification.accepted,
                       .source = draft.source,
                       .draft_us = round_draft_us_,
                       .catch_up_tokens = draft.catch_up_tokens,
                       .verify_us = verification.forward_us});
    }
    sample_us_ += verification.sample_us;
    const bool stopped = CommitRound(session, draft, verification, sink);
    FORETOKEN_RETURN_IF_ERROR(sink.EndRound());
    if (stopped) return FinishReason::kStop;
    if (session.next_position() >= length_limit) return FinishReason::kLength;
  }
}

Result<std::vector<TokenId>> SpeculativeDecoder::Generate(std::span<const TokenId> prompt_tokens,
                                                          int32_t max_tokens) {
  CollectingSink sink;
  FORETOKEN_RETURN_IF_ERROR(Generate(prompt_tokens, max_tokens, sink).status());
  return std::move(sink.tokens);
}

Draft SpeculativeDecoder::ProposeDraft(Session& session, int32_t max_k) {
  round_draft_us_ = 0;
  const SpeculativeConfig& config = options_.speculation;
  max_k = std::min({max_k, config.max_draft_tokens, target_.max_draft_tokens()});
  if (config.mode == SpeculationMode::kFixed) max_k = std::min(max_k, config.draft_k);
  if (config.mode == SpeculationMode::kOff) max_k = 0;
  for (Source& source : sources_) {
    if (max_k <= 0) break;
    if (stats_.rounds < source.skip_until_round) continue;
    const int32_t k =
        config.mode == SpeculationMode::kAuto ? policy_.Choose(source.model->kind(), max_k) : max_k;
    if (k == 0) continue;
    const auto start = std::chrono::steady_clock::now();
    auto draft = source.model->GenerateDraft(session, k);
    round_draft_us_ = std::chrono::duration_cast<std::chrono::microseconds>(
                          std::chrono::steady_clock::now() - start)
                          .count();
    draft_us_ += round_draft_us_;
    if (!draft.ok()) {
      // A cancelled forward is the request's own end, seen at the next verification.
      if (draft.status().code() == StatusCode::kCancelled) break;
      const int64_t back_off = std::min(
          kFirstBackOffRounds << std::min<int64_t>(source.failures, 16), kMaxBackOffRounds);
      if (source.failures++ == 0) {
        warnings_.push_back("drafting failed and is retried less and less often: " +
                            draft.status().message());
      }
      source.skip_until_round = stats_.rounds + back_off;
      continue;
    }
    if (!draft->tokens.empty()) return std::move(draft).value();
  }
  return Draft();
}

Result<Verification> SpeculativeDecoder::Verify(Session& session, Draft& draft) {
  auto verification = target_.VerifyDraft(session, draft);
  if (verification.ok() || draft.tokens.empty() ||
      verification.status().code() == StatusCode::kCancelled) {
    return verification;
  }
  // Fewer rows may fit or be harmless where these were not.
  warnings_.push_back("a verification failed and was retried plainly: " +
                      verification.status().message());
  draft = Draft();
  return target_.VerifyDraft(session, draft);
}

bool SpeculativeDecoder::CommitRound(Session& session, const Draft& draft,
                                     const Verification& verification, CommitSink& sink) {
  const auto drafted = draft.tokens.size();
  const auto accepted = static_cast<size_t>(verification.accepted);
  size_t committed = 0;
  bool stopped = false;
  for (const VerifiedToken& token : verification.tokens) {
    session.Commit(token.id);
    ++committed;
    const bool ends = options_.ends_generation && options_.ends_generation(token.id);
    const bool goes_on = sink.Commit(
        token, token.origin == TokenOrigin::kAccepted ? std::optional(draft.source) : std::nullopt);
    if (ends || !goes_on) {
      stopped = true;
      break;
    }
  }

  // What stands behind a stop was neither wrong nor right: it does not count.
  const bool cut = committed < verification.tokens.size();
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
      static_cast<double>(session.history.output_size()) / static_cast<double>(stats_.rounds);
  return stopped;
}

}  // namespace foretoken
