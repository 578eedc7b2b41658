#include "engine/admit_requests.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "engine/finish_request.h"
#include "engine/kv_room.h"
#include "speculative/prediction_draft.h"
#include "speculative/suffix_draft.h"

namespace foretoken {
namespace {

// Shorter beginnings are not worth a fork, or a wait.
constexpr int32_t kMinSharedTokens = 4;
constexpr int32_t kMinAwaitedTokens = 16;

int32_t CommonPrefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<int32_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                              a.begin());
}

// Whether one more request of the tenant may run: there is a free slot, or the tenant has less than
// its share of them and others more than theirs.
bool HasSlot(const EngineState& state, const TenantQueue& queue) {
  const auto slots = state.options.runtime.max_running;
  if (static_cast<int32_t>(state.running.size()) < slots) return true;
  double weights = 0;
  for (const auto& [key, other] : state.tenants) {
    if (other.has_work()) weights += other.tenant->weight;
  }
  return queue.running < std::floor(slots * queue.tenant->weight / weights);
}

// The beginning of a prompt that is in the cache, and where.
struct Reuse {
  int32_t tokens = 0;
  const Sequence* sequence = nullptr;
  int32_t awaited_tokens = 0;  // the same that a running request will have computed
};

Reuse FindReuse(EngineState& state, const ActiveRequest& request) {
  Reuse reuse;
  if (!state.options.runtime.prefix_reuse || !state.backend.description().can_truncate) {
    return reuse;
  }
  // The last token is always run: its logits choose the first of the answer.
  const auto prompt =
      std::span<const TokenId>(request.request.prompt).first(request.request.prompt.size() - 1);
  const auto match =
      state.prefixes.Match(request.tenant(), AdapterKeyOf(request.adapter()), prompt);
  if (match) {
    reuse = {.tokens = match->length, .sequence = &state.prefixes.Find(match->id)->sequence};
    state.prefixes.Touch(match->id);
  }
  for (const RequestPtr& other : state.running) {
    if (other->tenant() != request.tenant() || other->adapter() != request.adapter()) continue;
    const int32_t cached = CommonPrefix(prompt, other->cache().tokens());
    if (cached > reuse.tokens) reuse = {cached, other->cache().sequence(), reuse.awaited_tokens};
    reuse.awaited_tokens =
        std::max(reuse.awaited_tokens, CommonPrefix(prompt, other->request.prompt));
  }
  if (reuse.tokens < kMinSharedTokens) reuse = {.awaited_tokens = reuse.awaited_tokens};
  return reuse;
}

DecoderOptions OptionsOf(const EngineState& state, const EngineRequest& request) {
  DecoderOptions options;
  options.speculation = request.speculation;
  options.sampling = request.options.sampling;
  options.seed = request.seed;
  options.noise_stream = request.options.choice;
  options.vocabulary_size = state.backend.description().vocabulary_size;
  if (!request.options.ignore_end_of_text) {
    options.ends_generation = [&vocabulary = state.vocabulary](TokenId token) {
      return vocabulary.IsEndOfGeneration(token);
    };
  }
  return options;
}

SpeculativeDecoder NewDecoder(EngineState& state, const EngineRequest& request) {
  std::vector<std::unique_ptr<DraftModel>> sources;
  sources.push_back(std::make_unique<SuffixDraft>(request.tenant->suffix_store.get()));
  if (!request.prediction.empty()) {
    sources.push_back(std::make_unique<PredictionDraft>(request.prediction));
  }
  if (request.draft) {
    sources.push_back(
        std::make_unique<DraftModelWrapper>(request.draft->id(), request.draft->sequences()));
  }
  return SpeculativeDecoder(
      TargetModelWrapper(state.options.target_id, state.sequences, request.options.logprobs),
      std::move(sources), OptionsOf(state, request));
}

enum class Outcome { kAdmitted, kAwaitsPrefix, kNoRoom };

// Moves the tenant's waiting request at `index` into the batch, if there is room for it.
Outcome TryAdmit(EngineState& state, TenantQueue& queue, size_t index) {
  ActiveRequest& request = *queue.waiting[index];
  if (!EvictForSequence(state)) return Outcome::kNoRoom;
  const Reuse reuse = FindReuse(state, request);
  if (reuse.awaited_tokens >= reuse.tokens + kMinAwaitedTokens) return Outcome::kAwaitsPrefix;

  // Forked first: making room for the rest may evict what matches.
  auto sequence =
      reuse.sequence != nullptr ? reuse.sequence->Fork(reuse.tokens) : state.sequences.Acquire();
  if (!sequence.ok()) sequence = state.sequences.Acquire();
  if (!sequence.ok()) return Outcome::kNoRoom;
  const int32_t shared = sequence->length();
  const auto prompt_tokens = static_cast<int32_t>(request.request.prompt.size());
  if (!MakeRoomForWaiting(state, prompt_tokens - shared)) return Outcome::kNoRoom;

  RequestPtr admitted = std::move(queue.waiting[index]);
  queue.waiting.erase(queue.waiting.begin() + static_cast<std::ptrdiff_t>(index));
  ++queue.running;
  admitted->admitted = ActiveRequest::Clock::now();
  admitted->last_step = state.step;
  admitted->decoder.emplace(NewDecoder(state, admitted->request));
  const Status begun =
      admitted->decoder->Begin(admitted->request.prompt, admitted->request.options.max_tokens);
  if (begun.ok()) {
    admitted->reused_prompt_tokens = shared;
    state.metrics.RecordStarted(admitted->tenant(),
                                {.queue_ms = std::chrono::duration<double, std::milli>(
                                                 admitted->admitted - admitted->submitted)
                                                 .count(),
                                 .prompt_tokens = prompt_tokens,
                                 .cached_prompt_tokens = shared});
    admitted->cache().Adopt(std::move(*sequence),
                            std::span(admitted->request.prompt).first(static_cast<size_t>(shared)));
    state.running.push_back(std::move(admitted));
  } else {
    --queue.running;
    FinishRequest(state, std::move(admitted), FinishReason::kError, begun);
  }
  return Outcome::kAdmitted;
}

}  // namespace

void AdmitRequests(EngineState& state) {
  // Those that were let in before go on before others begin.
  if (!ResumePaused(state)) return;
  std::vector<TenantKey> candidates;
  for (const auto& [key, queue] : state.tenants) {
    if (!queue.waiting.empty()) candidates.push_back(key);
  }
  while (!candidates.empty()) {
    const TenantKey key = state.fairness.Least(candidates);
    TenantQueue& queue = state.tenants.at(key);
    Outcome outcome = Outcome::kAwaitsPrefix;
    if (HasSlot(state, queue)) {
      for (size_t i = 0; i < queue.waiting.size() && outcome == Outcome::kAwaitsPrefix; ++i) {
        outcome = TryAdmit(state, queue, i);
      }
    }
    if (outcome == Outcome::kNoRoom) return;
    if (outcome == Outcome::kAwaitsPrefix || queue.waiting.empty()) std::erase(candidates, key);
  }
}

}  // namespace foretoken
