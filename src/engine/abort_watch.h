#ifndef FORETOKEN_ENGINE_ABORT_WATCH_H_
#define FORETOKEN_ENGINE_ABORT_WATCH_H_

#include <algorithm>
#include <atomic>
#include <vector>

namespace foretoken {

// Whether a running forward has become useless: the engine stops, or every stream that it works for
// was cancelled. The engine's thread sets what to watch between forwards; the back ends' threads
// ask during one. Shared with the back ends, since a draft context may be freed after the engine.
class AbortWatch {
 public:
  using Flags = std::vector<const std::atomic<bool>*>;

  void Stop() { stopping_ = true; }
  // Null: nothing. The flags must stay until the next call.
  void Watch(const Flags* flags) { flags_ = flags; }

  bool ShouldAbort() const {
    if (stopping_) return true;
    const Flags* flags = flags_;
    return flags != nullptr &&
           std::all_of(flags->begin(), flags->end(),
                       [](const std::atomic<bool>* flag) { return flag->load(); });
  }

 private:
  std::atomic<bool> stopping_{false};
  std::atomic<const Flags*> flags_{nullptr};
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_ABORT_WATCH_H_
