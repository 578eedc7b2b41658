#ifndef FORETOKEN_ENGINE_STREAM_CHANNEL_H_
#define FORETOKEN_ENGINE_STREAM_CHANNEL_H_

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
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
  // As GenerationStream has them.
  std::optional<StreamEvent> TryNext() FORETOKEN_EXCLUDES(mutex_);
  void NotifyWhenReady(std::function<void()> ready) FORETOKEN_EXCLUDES(mutex_);
  void Cancel();
  // True from Cancel on; readable without a lock, also by a model's worker threads.
  const std::atomic<bool>& cancelled() const { return cancelled_; }

 private:
  // Adds an event, and takes what is to be called about it.
  std::function<void()> Add(StreamEvent event) FORETOKEN_REQUIRES(mutex_);
  // Takes the first event; `was_full` says whether the generation may wait for that.
  std::optional<StreamEvent> TakeFirst(bool& was_full) FORETOKEN_REQUIRES(mutex_);

  const size_t capacity_;
  const std::shared_ptr<Mailbox> mailbox_;
  std::atomic<bool> cancelled_{false};
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<StreamEvent> events_ FORETOKEN_GUARDED_BY(mutex_);
  bool finished_ FORETOKEN_GUARDED_BY(mutex_) = false;
  std::function<void()> ready_ FORETOKEN_GUARDED_BY(mutex_);
};

// The reader's end of a channel.
std::unique_ptr<GenerationStream> NewChannelStream(std::shared_ptr<StreamChannel> channel);

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_STREAM_CHANNEL_H_
