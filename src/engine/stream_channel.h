#ifndef FORETOKEN_ENGINE_STREAM_CHANNEL_H_
#define FORETOKEN_ENGINE_STREAM_CHANNEL_H_

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "foretoken/generation.h"

namespace foretoken {

// The bounded queue between a generation and its reader.
// One thread pushes and finishes, one reads, any may cancel. Owned by both ends (shared_ptr): the
// engine's request and the reader's stream.
class StreamChannel {
 public:
  explicit StreamChannel(size_t capacity) : capacity_(capacity) {}

  // The generation begins. False when the stream was cancelled while it waited for its turn; it is
  // finished then.
  bool Start();
  // Waits while the queue is full. False, with the event dropped, once the stream is cancelled.
  bool Push(StreamEvent event);
  // The last event; never waits and is delivered even to a cancelled stream. Later calls and
  // pushes are dropped.
  void Finish(FinishedEvent event);

  // Waits for an event. Empty after the FinishedEvent.
  std::optional<StreamEvent> Next();
  // Before Start this finishes the stream at once.
  void Cancel();
  // True from Cancel on; readable without a lock, also by a model's worker threads.
  const std::atomic<bool>& cancelled() const { return cancelled_; }

 private:
  const size_t capacity_;
  std::atomic<bool> cancelled_{false};
  Mutex mutex_;
  CondVar changed_;
  std::deque<StreamEvent> events_ FORETOKEN_GUARDED_BY(mutex_);
  bool started_ FORETOKEN_GUARDED_BY(mutex_) = false;
  bool finished_ FORETOKEN_GUARDED_BY(mutex_) = false;
};

// The reader's end of a channel.
std::unique_ptr<GenerationStream> NewChannelStream(std::shared_ptr<StreamChannel> channel);

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_STREAM_CHANNEL_H_
