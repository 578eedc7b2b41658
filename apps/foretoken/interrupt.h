#ifndef FORETOKEN_FORETOKEN_INTERRUPT_H_
#define FORETOKEN_FORETOKEN_INTERRUPT_H_

#include <array>
#include <functional>
#include <thread>

#include "base/mutex.h"

namespace foretoken {

// Turns Ctrl-C into a call on an ordinary thread, where a stream may be cancelled. Outside an
// InterruptScope, and at a scope's second Ctrl-C unless it repeats, the process ends with
// kExitInterrupted.
// One at a time in a process; any thread may call it. The former handling of SIGINT comes back when
// it goes.
class InterruptWatcher {
 public:
  InterruptWatcher();
  ~InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;

  // From now on a Ctrl-C outside a scope is lost instead.
  void IgnoreOutsideScopes() FORETOKEN_EXCLUDES(mutex_);

 private:
  friend class InterruptScope;
  void Run();

  std::array<int, 2> pipe_{-1, -1};
  Mutex mutex_;
  class InterruptScope* scope_ FORETOKEN_GUARDED_BY(mutex_) = nullptr;
  bool ignores_outside_ FORETOKEN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Gives Ctrl-C a meaning while it lives: `action` runs on the watcher's thread at the first, and at
// every one if `repeats`. Scopes do not nest. The action never runs after the scope is gone.
class InterruptScope {
 public:
  InterruptScope(InterruptWatcher& watcher, std::function<void()> action, bool repeats = false);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

  bool interrupted() const;

 private:
  friend class InterruptWatcher;
  InterruptWatcher& watcher_;
  const std::function<void()> action_;
  const bool repeats_;
  bool interrupted_ = false;  // under the watcher's mutex
};

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_INTERRUPT_H_
