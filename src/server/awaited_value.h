#ifndef FORETOKEN_SERVER_AWAITED_VALUE_H_
#define FORETOKEN_SERVER_AWAITED_VALUE_H_

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "server/wake_signal.h"

namespace foretoken {

// What another thread brings to a coroutine that waits on a signal.
// One thread sets it, once; the coroutine looks and takes. Shared by both, so that it may come when
// nobody waits any more.
template <typename T>
class AwaitedValue {
 public:
  explicit AwaitedValue(std::shared_ptr<WakeSignal> signal) : signal_(std::move(signal)) {}

  void Set(T value) {
    value_ = std::move(value);
    is_there_ = true;
    signal_->Notify();
  }
  bool is_there() const { return is_there_; }
  // Precondition: is_there().
  T& value() { return *value_; }

 private:
  const std::shared_ptr<WakeSignal> signal_;
  std::optional<T> value_;
  std::atomic<bool> is_there_{false};
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_AWAITED_VALUE_H_
