#include "base/worker_pool.h"

#include <system_error>

namespace foretoken {

WorkerPool::WorkerPool(int32_t threads) {
  for (int32_t i = 1; i < threads; ++i) {
    try {
      threads_.emplace_back([this] { Work(); });
    } catch (const std::system_error&) {
      break;
    }
  }
}

WorkerPool::~WorkerPool() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    work_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::ParallelFor(size_t count, const std::function<void(size_t)>& body) {
  if (threads_.empty() || count < 2) {
    for (size_t i = 0; i < count; ++i) body(i);
    return;
  }
  MutexLock lock(mutex_);
  body_ = &body;
  next_ = 0;
  count_ = count;
  unfinished_ = count;
  work_.NotifyAll();
  TakeShare();
  while (unfinished_ > 0) done_.Wait(mutex_);
  body_ = nullptr;
}

void WorkerPool::TakeShare() {
  while (next_ < count_) {
    const size_t index = next_++;
    const std::function<void(size_t)>& body = *body_;
    mutex_.unlock();
    body(index);
    mutex_.lock();
    if (--unfinished_ == 0) done_.NotifyOne();
  }
}

void WorkerPool::Work() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    TakeShare();
    work_.Wait(mutex_);
  }
}

}  // namespace foretoken
