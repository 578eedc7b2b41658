#include "engine/event_sink.h"

namespace foretoken {

bool EventSink::Commit(const VerifiedToken& token, std::optional<DraftSourceKind> source) {
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
  event_.text += assembled.text;
  generated.text = std::move(assembled.text);
  event_.tokens.push_back(std::move(generated));
  return !assembled.stopped;
}

bool EventSink::EndRound(Clock::time_point now) {
  if (event_.tokens.empty()) return false;
  if (events_++ == 0) first_token_time_ = now;
  last_token_time_ = now;
  channel_->Push(std::exchange(event_, {}));
  return true;
}

void EventSink::Flush() {
  if (assembler_.stopped()) return;
  TokensEvent event;
  event.text = assembler_.Flush();
  if (!event.text.empty()) channel_->Push(std::move(event));
}

}  // namespace foretoken
