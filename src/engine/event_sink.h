#ifndef FORETOKEN_ENGINE_EVENT_SINK_H_
#define FORETOKEN_ENGINE_EVENT_SINK_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "engine/stream_channel.h"
#include "engine/text_assembler.h"
#include "foretoken/generation.h"
#include "model/vocabulary.h"
#include "speculative/speculative_decoder.h"

namespace foretoken {

// Turns the tokens that a request commits into text and events, one event a round.
// Engine's thread. The vocabulary must outlive it. Never fails.
class EventSink : public CommitSink {
 public:
  using Clock = std::chrono::steady_clock;

  EventSink(const GenerateOptions& options, const Vocabulary& vocabulary,
            std::shared_ptr<StreamChannel> channel)
      : vocabulary_(vocabulary), channel_(std::move(channel)), assembler_(options.stop) {}

  bool Commit(const VerifiedToken& token, std::optional<DraftSourceKind> source) override;
  // Sends what the round committed. False when that was nothing. Precondition: the channel has
  // room.
  bool EndRound(Clock::time_point now);
  // Releases text that was held back for a stop string that did not come.
  void Flush();

  StreamChannel& channel() { return *channel_; }
  const StreamChannel& channel() const { return *channel_; }
  int32_t tokens() const { return tokens_; }
  int64_t events() const { return events_; }
  // Of the events so far. Meaningless before the first.
  Clock::time_point first_token_time() const { return first_token_time_; }
  Clock::time_point last_token_time() const { return last_token_time_; }

 private:
  const Vocabulary& vocabulary_;
  const std::shared_ptr<StreamChannel> channel_;
  TextAssembler assembler_;
  TokensEvent event_;
  int32_t tokens_ = 0;
  int64_t events_ = 0;
  Clock::time_point first_token_time_;
  Clock::time_point last_token_time_;
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_EVENT_SINK_H_
