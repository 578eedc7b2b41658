#include "server/wake_signal.h"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace foretoken {

WakeSignal::WakeSignal(const asio::any_io_executor& executor) : timer_(executor) {}

void WakeSignal::Notify() {
  if (is_notified_.exchange(true)) return;
  // On the waiter's strand: never between its look at the flag and its wait.
  asio::post(timer_.get_executor(), [self = shared_from_this()] { self->timer_.cancel(); });
}

asio::awaitable<void> WakeSignal::Wait(std::chrono::steady_clock::time_point deadline) {
  while (!is_notified_.exchange(false)) {
    if (std::chrono::steady_clock::now() >= deadline) co_return;
    timer_.expires_at(deadline);
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

}  // namespace foretoken
