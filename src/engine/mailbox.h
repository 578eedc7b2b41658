#ifndef FORETOKEN_ENGINE_MAILBOX_H_
#define FORETOKEN_ENGINE_MAILBOX_H_

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "base/mutex.h"

namespace foretoken {

struct EngineState;

// Something to be done on an engine's thread, between two steps.
using EngineCommand = std::function<void(EngineState&)>;

// What other threads tell an engine: commands, and that something changed that it should look at.
// Any thread posts and wakes, the engine's thread takes. Shared by the engine and by its streams
// (shared_ptr), which may outlive it; what is posted after Close is refused.
class Mailbox {
 public:
  // False, and the command is dropped, once the mailbox is closed.
  bool Post(EngineCommand command) FORETOKEN_EXCLUDES(mutex_);
  // Makes the engine look around: a reader took an event, a stream was cancelled.
  void Wake() FORETOKEN_EXCLUDES(mutex_);
  // Wakes the engine for the last time: Take goes on to return what was posted before.
  void Close() FORETOKEN_EXCLUDES(mutex_);

  using Clock = std::chrono::steady_clock;
  // All commands so far, in their order. With `wait_until` it waits for a command, a wake or that
  // time when there is none; Clock::time_point::max() waits without end.
  std::vector<EngineCommand> Take(std::optional<Clock::time_point> wait_until)
      FORETOKEN_EXCLUDES(mutex_);
  bool closed() const FORETOKEN_EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<EngineCommand> commands_ FORETOKEN_GUARDED_BY(mutex_);
  bool woken_ FORETOKEN_GUARDED_BY(mutex_) = false;
  bool closed_ FORETOKEN_GUARDED_BY(mutex_) = false;
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_MAILBOX_H_
