#include "engine/finish_request.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "speculative/suffix_index.h"

namespace foretoken {
namespace {

using Clock = ActiveRequest::Clock;

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

Timings TimingsOf(const ActiveRequest& request, Clock::time_point now) {
  Timings timings;
  const bool began = request.decoder.has_value();
  timings.queue_ms = Milliseconds((began ? request.admitted : now) - request.submitted);
  timings.prompt_ms = static_cast<double>(request.prompt_us) / 1000;
  timings.draft_ms = static_cast<double>(request.draft_us) / 1000;
  timings.verify_ms = static_cast<double>(request.verify_us) / 1000;
  timings.sample_ms = static_cast<double>(request.sample_us) / 1000;
  const EventSink& sink = request.sink;
  if (sink.tokens() == 0) return timings;
  timings.first_token_ms = Milliseconds(sink.first_token_time() - request.submitted);
  timings.decode_ms = Milliseconds(sink.last_token_time() - sink.first_token_time());
  if (timings.decode_ms > 0) {
    timings.decode_tokens_per_second = (sink.tokens() - 1) * 1000.0 / timings.decode_ms;
  }
  return timings;
}

FinishedEvent MakeFinishedEvent(const ActiveRequest& request, FinishReason reason,
                                const Status& status) {
  FinishedEvent event;
  event.status = status;
  event.reason = reason;
  event.usage.prompt_tokens = static_cast<int32_t>(request.request.prompt.size());
  event.usage.cached_prompt_tokens = request.reused_prompt_tokens;
  event.usage.completion_tokens = request.sink.tokens();
  event.timings = TimingsOf(request, Clock::now());
  event.seed = request.request.seed;
  event.warnings = request.request.warnings;
  if (request.decoder) {
    event.speculation = request.decoder->stats();
    const std::vector<std::string>& warnings = request.decoder->warnings();
    event.warnings.insert(event.warnings.end(), warnings.begin(), warnings.end());
  }
  return event;
}

// Keeps what a request has cached for later prompts of its tenant, which may begin the same way.
void KeepPrefix(EngineState& state, ActiveRequest& request) {
  CachedSequence& cache = request.cache();
  const std::vector<TokenId> tokens(cache.tokens().begin(), cache.tokens().end());
  Sequence sequence = cache.Release();
  if (!sequence.valid() || tokens.empty() || !state.options.runtime.prefix_reuse ||
      !state.backend.description().can_truncate) {
    return;
  }
  state.prefixes.Insert({.sequence = std::move(sequence),
                         .tokens = tokens,
                         .tenant = request.tenant(),
                         .adapter = AdapterKeyOf(request.adapter())});
}

void LearnAnswer(ActiveRequest& request) {
  TenantSuffixStore* store = request.request.tenant->suffix_store.get();
  if (store == nullptr) return;
  const size_t prompt_tokens = request.request.prompt.size();
  const size_t context_tokens = std::min<size_t>(prompt_tokens, SuffixIndex::kMaxMatchTokens);
  const std::span<const TokenId> tokens = request.session().tokens;
  store->Learn(tokens.subspan(prompt_tokens - context_tokens), context_tokens);
}

// Why a request has to end now, if it has to.
std::optional<Status> Overdue(const EngineState& state, ActiveRequest& request,
                              Clock::time_point now, Clock::time_point& next) {
  const StreamChannel& channel = request.sink.channel();
  if (channel.cancelled()) return CancelledError("the generation was cancelled");
  if (request.deadline) {
    if (now >= *request.deadline) {
      return DeadlineExceededError(fmt::format("the request's deadline of {} ms is over",
                                               request.request.options.deadline_ms));
    }
    next = std::min(next, *request.deadline);
  }
  if (channel.HasRoom()) {
    request.stalled_since.reset();
    return std::nullopt;
  }
  if (!request.stalled_since) request.stalled_since = now;
  const int64_t patience_ms = state.options.runtime.slow_reader_ms;
  const Clock::time_point end = AddMilliseconds(*request.stalled_since, patience_ms);
  if (now >= end) {
    return CancelledError(
        fmt::format("cancelled: the reader took no event for {} ms and the stream's buffer is full",
                    patience_ms));
  }
  next = std::min(next, end);
  // By then others may have what it holds.
  if (!request.IsStalled(now)) {
    next = std::min(next, *request.stalled_since + ActiveRequest::kLongStall);
  }
  return std::nullopt;
}

template <typename List>
void EndOverdueIn(EngineState& state, List& list, int32_t TenantQueue::*count,
                  Clock::time_point now, Clock::time_point& next) {
  for (size_t i = 0; i < list.size();) {
    const std::optional<Status> status = Overdue(state, *list[i], now, next);
    if (!status) {
      ++i;
      continue;
    }
    RequestPtr request = std::move(list[i]);
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
    if (count != nullptr) --(state.tenants.at(request->tenant()).*count);
    FinishRequest(state, std::move(request), FinishReason::kCancelled, *status);
  }
}

}  // namespace

void FinishRequest(EngineState& state, RequestPtr request, FinishReason reason,
                   const Status& status) {
  request->sink.Flush();
  if (request->decoder) {
    if (reason != FinishReason::kError) {
      LearnAnswer(*request);
      KeepPrefix(state, *request);
    }
  }
  FinishedEvent event = MakeFinishedEvent(*request, reason, status);
  request->decoder.reset();
  request->saved.reset();
  state.metrics.RecordFinished(request->tenant(), event);
  request->sink.channel().Finish(std::move(event));
}

Clock::time_point EndOverdueRequests(EngineState& state, Clock::time_point now) {
  Clock::time_point next = Clock::time_point::max();
  EndOverdueIn(state, state.running, &TenantQueue::running, now, next);
  EndOverdueIn(state, state.paused, &TenantQueue::paused, now, next);
  for (auto& [key, queue] : state.tenants) {
    EndOverdueIn(state, queue.waiting, nullptr, now, next);
  }
  return next;
}

void EndTenantRequests(EngineState& state, TenantKey tenant, const Status& status) {
  const auto found = state.tenants.find(tenant);
  if (found == state.tenants.end()) return;
  const auto end_own = [&](auto& list) {
    for (size_t i = 0; i < list.size();) {
      if (list[i]->tenant() != tenant) {
        ++i;
        continue;
      }
      RequestPtr request = std::move(list[i]);
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
      FinishRequest(state, std::move(request), FinishReason::kCancelled, status);
    }
  };
  end_own(state.running);
  end_own(state.paused);
  end_own(found->second.waiting);
  state.fairness.Leave(tenant);
  state.tenants.erase(found);
}

void EndAllRequests(EngineState& state, const Status& status) {
  while (!state.tenants.empty()) EndTenantRequests(state, state.tenants.begin()->first, status);
}

}  // namespace foretoken
