#ifndef FORETOKEN_SERVER_WAKE_SIGNAL_H_
#define FORETOKEN_SERVER_WAKE_SIGNAL_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>

namespace foretoken {

namespace asio = boost::asio;

// Lets a coroutine wait for what other threads do. A notification that comes while nobody waits is
// kept, and several count as one.
// Any thread may notify; one coroutine, on `executor` (a strand), waits. Shared with those who
// notify.
class WakeSignal : public std::enable_shared_from_this<WakeSignal> {
 public:
  explicit WakeSignal(const asio::any_io_executor& executor);

  void Notify();
  // Returns when notified, or at the deadline.
  asio::awaitable<void> Wait(std::chrono::steady_clock::time_point deadline =
                                 std::chrono::steady_clock::time_point::max());

 private:
  std::atomic<bool> is_notified_{false};
  asio::steady_timer timer_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WAKE_SIGNAL_H_
