#ifndef FORETOKEN_SERVER_HTTP_TIMERS_H_
#define FORETOKEN_SERVER_HTTP_TIMERS_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

namespace foretoken {

namespace asio = boost::asio;

// Calls `on_expired` on its executor, a strand, when it was armed and not armed anew or disarmed in
// time. Arming a moment that is moved on again and again costs a look at the clock, no system call.
// One strand. Nothing is called after its destruction.
class Deadline {
 public:
  Deadline(const asio::any_io_executor& executor, std::function<void()> on_expired);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void ArmAt(std::chrono::steady_clock::time_point when);
  void ArmAfter(std::chrono::steady_clock::duration time) {
    ArmAt(std::chrono::steady_clock::now() + time);
  }
  void Disarm();

 private:
  struct State;
  static void Wait(const std::shared_ptr<State>& state);

  const std::shared_ptr<State> state_;  // the second owner is a pending wait
};

// Lets coroutines of one strand wait for each other: loop on a condition around Wait.
class StrandEvent {
 public:
  explicit StrandEvent(const asio::any_io_executor& executor);

  asio::awaitable<void> Wait();
  void NotifyAll() { timer_.cancel(); }

 private:
  asio::steady_timer timer_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_HTTP_TIMERS_H_
