#ifndef FORETOKEN_ENGINE_STREAM_CHANNEL_H_
#define FORETOKEN_ENGINE_STREAM_CHANNEL_H_

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "engine/mailbox.h"
#include "foretoken/generation.h"

namespace foretoken {

// The bounded queue between a generation and its reader.
// The engine's thread pushes and finishes and never waits here; one thread reads, any may cancel.
// Owned by both ends (shared_ptr): the engine's request and the reader's stream.
class StreamChannel {
 public:
  // `mailbox` is woken when a full queue has room again and on a cancel.
  StreamChannel(size_t capacity, std::shared_ptr<Mailbox> mailbox)
      : capacity_(capacity), mailbox_(std::move(mailbox)) {}

  // Whether an event may be pushed: otherwise the generation pauses.
  bool HasRoom() const FORETOKEN_EXCLUDES(mutex_);
  // Delivered to a cancelled stream too: what was committed before it ended is the reader's.
  // Dropped after Finish.
  void Push(StreamEvent event) FORETOKEN_EXCLUDES(mutex_);
  // The last event, delivered even to a cancelled stream. Later calls and pushes are dropped.
  void Finish(FinishedEvent event) FORETOKEN_EXCLUDES(mutex_);

  // Waits for an event. Empty after the FinishedEvent.
  std::optional<StreamEvent> Next() FORETOKEN_EXCLUDES(mutex_);
  void Cancel();
  // True from Cancel on; readable without a lock, also by a model's worker threads.
  const std::atomic<bool>& cancelled() const { return cancelled_; }

 private:
  const size_t capacity_;
  const std::shared_ptr<Mailbox> mailbox_;
  std::atomic<bool> cancelled_{false};
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<StreamEvent> events_ FORETOKEN_GUARDED_BY(mutex_);
  bool finished_ FORETOKEN_GUARDED_BY(mutex_) = false;
};

// The reader's end of a channel.
std::unique_ptr<GenerationStream> NewChannelStream(std::shared_ptr<StreamChannel> channel);

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_STREAM_CHANNEL_H_
