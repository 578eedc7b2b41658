#include "engine/generation_run.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "engine/text_assembler.h"
#include "speculative/draft_model_wrapper.h"
#include "speculative/speculative_decoder.h"
#include "speculative/suffix_draft.h"
#include "speculative/target_model_wrapper.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// Turns committed tokens into text and events, a round at a time.
class EventSink : public CommitSink {
 public:
  EventSink(const GenerateOptions& options, const Vocabulary& vocabulary, StreamChannel& channel)
      : vocabulary_(vocabulary), channel_(channel), assembler_(options.stop) {}

  bool Commit(const VerifiedToken& token, std::optional<DraftSourceKind> source) override {
    last_token_time_ = Clock::now();
    if (tokens_ == 0) first_token_time_ = last_token_time_;
    ++tokens_;
    GeneratedToken generated;
    generated.id = token.id;
    generated.origin = token.origin;
    generated.source = source;
    if (token.logprobs) {
      generated.logprob = token.logprobs->chosen;
      generated.top_logprobs = token.logprobs->top;
    }
    TextAssembler::Output assembled = assembler_.Append(vocabulary_.Piece(token.id));
    stopped_ = assembled.stopped;
    event_.text += assembled.text;
    generated.text = std::move(assembled.text);
    event_.tokens.push_back(std::move(generated));
    return !stopped_;
  }

  Status EndRound() override {
    TokensEvent event = std::exchange(event_, {});
    if (!channel_.Push(std::move(event))) return CancelledError("the generation was cancelled");
    return OkStatus();
  }

  // Releases text that was held back for a stop string that did not come.
  void Flush() {
    if (stopped_) return;
    TokensEvent event;
    event.text = assembler_.Flush();
    if (!event.text.empty()) channel_.Push(std::move(event));
  }

  int32_t tokens() const { return tokens_; }
  Clock::time_point first_token_time() const { return first_token_time_; }
  Clock::time_point last_token_time() const { return last_token_time_; }

 private:
  const Vocabulary& vocabulary_;
  StreamChannel& channel_;
  TextAssembler assembler_;
  TokensEvent event_;
  bool stopped_ = false;
  int32_t tokens_ = 0;
  Clock::time_point first_token_time_;
  Clock::time_point last_token_time_;
};

Timings MakeTimings(const SpeculativeDecoder& decoder, const EventSink& sink,
                    Clock::time_point start) {
  Timings timings;
  timings.prompt_ms = static_cast<double>(decoder.prompt_us()) / 1000;
  timings.draft_ms = static_cast<double>(decoder.draft_us()) / 1000;
  timings.verify_ms = static_cast<double>(decoder.verify_us()) / 1000;
  timings.sample_ms = static_cast<double>(decoder.sample_us()) / 1000;
  if (sink.tokens() == 0) return timings;
  timings.first_token_ms = Milliseconds(sink.first_token_time() - start);
  timings.decode_ms = Milliseconds(sink.last_token_time() - sink.first_token_time());
  if (timings.decode_ms > 0) {
    timings.decode_tokens_per_second = (sink.tokens() - 1) * 1000.0 / timings.decode_ms;
  }
  return timings;
}

}  // namespace

FinishedEvent RunGeneration(const EngineRequest& request, const TargetContext& target,
                            StreamChannel& channel) {
  const Clock::time_point start = Clock::now();
  TargetModelWrapper target_model(target.id, *target.sequences, request.options.logprobs);
  SuffixDraft suffix_draft;
  std::optional<DraftModelWrapper> draft_model;
  if (request.draft) draft_model.emplace(request.draft->id(), request.draft->sequences());

  std::vector<DraftModel*> drafts;
  for (const DraftSourceKind source : request.speculation.sources) {
    if (source == DraftSourceKind::kSuffix) drafts.push_back(&suffix_draft);
    if (source == DraftSourceKind::kDraftModel && draft_model) drafts.push_back(&*draft_model);
  }

  DecoderOptions options;
  options.speculation = request.speculation;
  options.sampling = request.options.sampling;
  options.seed = request.seed;
  options.vocabulary_size = target.sequences->backend().description().vocabulary_size;
  if (!request.options.ignore_end_of_text) {
    options.ends_generation = [&target](TokenId token) {
      return target.vocabulary->IsEndOfGeneration(token);
    };
  }
  SpeculativeDecoder decoder(target_model, drafts, *request.policy, options);
  EventSink sink(request.options, *target.vocabulary, channel);
  const auto outcome = decoder.Generate(request.prompt, request.options.max_tokens, sink);
  sink.Flush();

  FinishedEvent finished;
  finished.status = outcome.status();
  finished.reason = outcome.ok()                                        ? *outcome
                    : outcome.status().code() == StatusCode::kCancelled ? FinishReason::kCancelled
                                                                        : FinishReason::kError;
  finished.usage.prompt_tokens = static_cast<int32_t>(request.prompt.size());
  finished.usage.completion_tokens = sink.tokens();
  finished.timings = MakeTimings(decoder, sink, start);
  finished.speculation = decoder.stats();
  finished.seed = request.seed;
  finished.warnings = request.warnings;
  finished.warnings.insert(finished.warnings.end(), decoder.warnings().begin(),
                           decoder.warnings().end());
  return finished;
}

}  // namespace foretoken
