#include "engine/mailbox.h"

#include <utility>

namespace foretoken {

bool Mailbox::Post(EngineCommand command) {
  MutexLock lock(mutex_);
  if (closed_) return false;
  commands_.push_back(std::move(command));
  changed_.NotifyOne();
  return true;
}

void Mailbox::Wake() {
  MutexLock lock(mutex_);
  woken_ = true;
  changed_.NotifyOne();
}

void Mailbox::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  changed_.NotifyOne();
}

std::vector<EngineCommand> Mailbox::Take(std::optional<Clock::time_point> wait_until) {
  MutexLock lock(mutex_);
  while (wait_until && commands_.empty() && !woken_ && !closed_) {
    if (*wait_until == Clock::time_point::max()) {
      changed_.Wait(mutex_);
    } else if (Clock::now() >= *wait_until) {
      break;
    } else {
      changed_.WaitUntil(mutex_, *wait_until);
    }
  }
  woken_ = false;
  return std::exchange(commands_, {});
}

bool Mailbox::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

}  // namespace foretoken
