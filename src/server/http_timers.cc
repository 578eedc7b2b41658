#include "server/http_timers.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <utility>

namespace foretoken {

using Clock = std::chrono::steady_clock;

struct Deadline::State {
  State(const asio::any_io_executor& executor, std::function<void()> callback)
      : timer(executor), on_expired(std::move(callback)) {}

  asio::steady_timer timer;
  std::function<void()> on_expired;  // empty once the deadline is destroyed
  std::optional<Clock::time_point> armed;
  std::optional<Clock::time_point> waiting;  // what the timer is set to; not after `armed`
};

Deadline::Deadline(const asio::any_io_executor& executor, std::function<void()> on_expired)
    : state_(std::make_shared<State>(executor, std::move(on_expired))) {}

Deadline::~Deadline() {
  state_->on_expired = nullptr;
  state_->timer.cancel();
}

void Deadline::ArmAt(Clock::time_point when) {
  state_->armed = when;
  if (!state_->waiting || *state_->waiting > when) Wait(state_);
}

void Deadline::Disarm() {
  state_->armed.reset();
}

void Deadline::Wait(const std::shared_ptr<State>& state) {
  state->waiting = state->armed;
  state->timer.expires_at(*state->armed);  // ends a wait that is under way
  state->timer.async_wait([state](const boost::system::error_code& error) {
    if (error || !state->on_expired) return;
    state->waiting.reset();
    if (!state->armed) return;
    if (*state->armed > Clock::now()) return Wait(state);
    state->armed.reset();
    state->on_expired();
  });
}

StrandEvent::StrandEvent(const asio::any_io_executor& executor)
    : timer_(executor, Clock::time_point::max()) {}

asio::awaitable<void> StrandEvent::Wait() {
  co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
}

}  // namespace foretoken
