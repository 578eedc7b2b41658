#include "integration/schedule_judge.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/macros.h"
#include "integration/schedule_features.h"

namespace foretoken {
namespace {

Status Wrong(std::string what) {
  return InternalError(std::move(what));
}

bool SameLogprobs(const GeneratedToken& a, const GeneratedToken& b) {
  return a.logprob == b.logprob &&
         std::equal(a.top_logprobs.begin(), a.top_logprobs.end(), b.top_logprobs.begin(),
                    b.top_logprobs.end(), [](const TokenLogprob& x, const TokenLogprob& y) {
                      return x.token == y.token && x.logprob == y.logprob;
                    });
}

Status CheckTokens(const ScheduledRequest& scheduled, const Outcome& outcome) {
  if (!scheduled.same_tokens) return OkStatus();
  const std::vector<GeneratedToken>& expected = scheduled.answer.tokens;
  if (outcome.tokens.size() > expected.size()) {
    return Wrong(fmt::format("{} tokens instead of {}", outcome.tokens.size(), expected.size()));
  }
  for (size_t i = 0; i < outcome.tokens.size(); ++i) {
    const GeneratedToken& got = outcome.tokens[i];
    if (got.id != expected[i].id) {
      return Wrong(fmt::format("token {} is {} instead of {}", i, got.id, expected[i].id));
    }
    if (got.text != expected[i].text) {
      return Wrong(fmt::format("the text of token {} is '{}' instead of '{}'", i, got.text,
                               expected[i].text));
    }
    if (!SameLogprobs(got, expected[i])) {
      return Wrong(fmt::format("token {} has other log-probabilities", i));
    }
  }
  return OkStatus();
}

// Of a stream that ended early: what its tokens make visible, held back text shown or not.
Status CheckPartialText(const Oracle& oracle, const ScheduledRequest& scheduled,
                        const Outcome& outcome) {
  const std::vector<std::string>& stop = scheduled.request.options.stop;
  const std::string visible = oracle.TextOf(outcome.tokens, stop, /*flush=*/false);
  const std::string whole = oracle.TextOf(outcome.tokens, stop, /*flush=*/true);
  if (outcome.text == visible || outcome.text == whole) return OkStatus();
  return Wrong(fmt::format("the text is '{}' instead of '{}'", outcome.text, whole));
}

Status CheckStats(const ScheduledRequest& scheduled, const Outcome& outcome) {
  const SpeculationStats& stats = outcome.finishes.front().speculation;
  const auto count = [&](TokenOrigin origin) {
    return std::count_if(outcome.tokens.begin(), outcome.tokens.end(),
                         [origin](const GeneratedToken& token) { return token.origin == origin; });
  };
  DraftCounts by_source;
  for (const auto& [source, counts] : stats.by_source) {
    by_source.drafted += counts.drafted;
    by_source.accepted += counts.accepted;
  }
  DraftCounts by_position;
  for (const DraftCounts& counts : stats.by_position) {
    by_position.drafted += counts.drafted;
    by_position.accepted += counts.accepted;
  }
  if (stats.drafted != stats.accepted + stats.rejected || stats.drafted != by_source.drafted ||
      stats.drafted != by_position.drafted || stats.accepted != by_source.accepted ||
      stats.accepted != by_position.accepted) {
    return Wrong("the counts of drafted tokens contradict each other");
  }
  if (const auto& own = scheduled.request.options.speculation) {
    if (own->mode == SpeculationMode::kOff && stats.drafted > 0) {
      return Wrong("drafted although speculation is off");
    }
    if (static_cast<int64_t>(stats.by_position.size()) > own->max_draft_tokens) {
      return Wrong("a draft is longer than the request allows");
    }
  }
  // What a cancelled request had committed does not all reach its reader.
  if (outcome.finishes.front().reason == FinishReason::kCancelled) return OkStatus();
  const int64_t accepted = count(TokenOrigin::kAccepted);
  const int64_t own = static_cast<int64_t>(outcome.tokens.size()) - accepted;
  if (accepted != stats.accepted || count(TokenOrigin::kBonus) != stats.bonus) {
    return Wrong("the origins of the tokens contradict the counts");
  }
  // Each round gives one token of the target's own, unless an accepted one ends the answer.
  if (stats.rounds != own && stats.rounds != own + 1) {
    return Wrong(fmt::format("{} rounds for {} tokens of the target's own", stats.rounds, own));
  }
  for (const GeneratedToken& token : outcome.tokens) {
    if (token.source.has_value() != (token.origin == TokenOrigin::kAccepted) ||
        (token.source && stats.by_source.count(*token.source) == 0)) {
      return Wrong("an accepted token has no source, or another token has one");
    }
  }
  return OkStatus();
}

Status CheckUsage(const ScheduledRequest& scheduled, const Outcome& outcome) {
  const FinishedEvent& finish = outcome.finishes.front();
  const Usage& usage = finish.usage;
  const auto delivered = static_cast<int32_t>(outcome.tokens.size());
  const auto prompt_tokens =
      static_cast<int32_t>(std::get<std::vector<TokenId>>(scheduled.request.prompt).size());
  const bool never_ran = finish.reason == FinishReason::kCancelled && delivered == 0;
  if (usage.prompt_tokens != prompt_tokens && !(never_ran && usage.prompt_tokens == 0)) {
    return Wrong(fmt::format("{} prompt tokens instead of {}", usage.prompt_tokens, prompt_tokens));
  }
  if (usage.cached_prompt_tokens < 0 || usage.cached_prompt_tokens >= prompt_tokens) {
    return Wrong(fmt::format("{} of {} prompt tokens were cached: the last one has to be run",
                             usage.cached_prompt_tokens, prompt_tokens));
  }
  const bool complete = finish.reason != FinishReason::kCancelled;
  if (complete ? usage.completion_tokens != delivered : usage.completion_tokens < delivered) {
    return Wrong(
        fmt::format("{} completion tokens, {} delivered", usage.completion_tokens, delivered));
  }
  if (!never_ran && finish.seed != scheduled.request.options.sampling.seed) {
    return Wrong("another seed than the request's");
  }
  return OkStatus();
}

Status CheckAnswered(const Oracle& oracle, const ScheduledRequest& scheduled,
                     const Allowance& allowance, const Outcome& outcome) {
  const FinishedEvent& finish = outcome.finishes.front();
  const Answer& answer = scheduled.answer;
  if (!finish.status.ok()) return Wrong("finished well with " + finish.status.ToString());
  if (!scheduled.same_tokens) return CheckPartialText(oracle, scheduled, outcome);
  if (scheduled.fails_after) return Wrong("answered in spite of its poison");
  if (outcome.tokens.size() != answer.tokens.size()) {
    return Wrong(
        fmt::format("{} tokens instead of {}", outcome.tokens.size(), answer.tokens.size()));
  }
  if (finish.reason != answer.reason) {
    return Wrong(fmt::format("finished by {} instead of {}", FinishReasonName(finish.reason),
                             FinishReasonName(answer.reason)));
  }
  // A cancel after the last token loses the text that was held back.
  if (outcome.cancelled || allowance.refusal) return CheckPartialText(oracle, scheduled, outcome);
  if (outcome.text != answer.text) {
    return Wrong(fmt::format("the text is '{}' instead of '{}'", outcome.text, answer.text));
  }
  return OkStatus();
}

Status CheckEnd(const Oracle& oracle, const ScheduledRequest& scheduled, const Allowance& allowance,
                const Outcome& outcome) {
  const FinishedEvent& finish = outcome.finishes.front();
  switch (finish.reason) {
    case FinishReason::kStop:
    case FinishReason::kLength:
      return CheckAnswered(oracle, scheduled, allowance, outcome);
    case FinishReason::kCancelled: {
      const bool late = finish.status.code() == StatusCode::kDeadlineExceeded;
      const bool wanted = late ? scheduled.request.options.deadline_ms > 0
                               : finish.status.code() == StatusCode::kCancelled &&
                                     (outcome.cancelled || allowance.refusal);
      if (!wanted) return Wrong("cancelled by nobody: " + finish.status.ToString());
      return CheckPartialText(oracle, scheduled, outcome);
    }
    case FinishReason::kError: {
      if (finish.status.ok()) return Wrong("failed without a reason");
      const bool poisoned =
          scheduled.fails_after && outcome.tokens.size() == *scheduled.fails_after;
      // Without its tokens there is no telling when a request meets its poison.
      if (!poisoned && !allowance.failure && scheduled.same_tokens) {
        return Wrong("failed: " + finish.status.ToString());
      }
      return CheckPartialText(oracle, scheduled, outcome);
    }
  }
  return Wrong("an unknown reason");
}

}  // namespace

Status JudgeOutcome(const Oracle& oracle, const ScheduledRequest& scheduled,
                    const Allowance& allowance, const Outcome& outcome) {
  if (!outcome.refusal.ok()) {
    const bool wanted = allowance.refusal && outcome.refusal.code() == StatusCode::kNotFound;
    return wanted ? OkStatus() : Wrong("refused: " + outcome.refusal.ToString());
  }
  FORETOKEN_RETURN_IF_ERROR(CheckTokens(scheduled, outcome));
  if (outcome.dropped) return CheckPartialText(oracle, scheduled, outcome);
  if (outcome.finishes.size() != 1 || outcome.events_after_finish) {
    return Wrong(fmt::format("{} ends, {} events after the first", outcome.finishes.size(),
                             outcome.events_after_finish ? "with" : "without"));
  }
  FORETOKEN_RETURN_IF_ERROR(CheckEnd(oracle, scheduled, allowance, outcome));
  FORETOKEN_RETURN_IF_ERROR(CheckUsage(scheduled, outcome));
  return CheckStats(scheduled, outcome);
}

void Totals::Count(const Outcome& outcome) {
  ++requests;
  tokens += static_cast<int64_t>(outcome.tokens.size());
  refused += outcome.refusal.ok() ? 0 : 1;
  dropped += outcome.dropped ? 1 : 0;
  if (outcome.finishes.empty()) return;
  const FinishedEvent& finish = outcome.finishes.front();
  const bool is_late = finish.status.code() == StatusCode::kDeadlineExceeded;
  late += is_late ? 1 : 0;
  cancelled += finish.reason == FinishReason::kCancelled && !is_late ? 1 : 0;
  failed += finish.reason == FinishReason::kError ? 1 : 0;
  exact += finish.status.ok() ? 1 : 0;
  rounds += finish.speculation.rounds;
  accepted += finish.speculation.accepted;
  rejected += finish.speculation.rejected;
  if (const auto found = finish.speculation.by_source.find(DraftSourceKind::kPrediction);
      found != finish.speculation.by_source.end()) {
    predicted += found->second.accepted;
  }
  cached_prompt_tokens += finish.usage.cached_prompt_tokens;
  drafting_failures += finish.warnings.empty() ? 0 : 1;
}

void Totals::Count(const FakeControl& target) {
  target_forwards += target.decodes;
  forks += target.forks;
  saves += target.saves;
  restores += target.restores;
}

std::string Totals::ToString() const {
  return fmt::format(
      "{} requests: {} answered, {} refused, {} cancelled, {} late, {} dropped, {} failed; "
      "{} tokens in {} rounds and {} forwards, {} accepted ({} predicted), {} rejected; "
      "{} prompt tokens reused; {} requests with warnings; {} forks, {} saves, {} restores",
      requests, exact, refused, cancelled, late, dropped, failed, tokens, rounds, target_forwards,
      accepted, predicted, rejected, cached_prompt_tokens, drafting_failures, forks, saves,
      restores);
}

}  // namespace foretoken
