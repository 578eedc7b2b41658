#ifndef FORETOKEN_BASE_WORKER_POOL_H_
#define FORETOKEN_BASE_WORKER_POOL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace foretoken {

// Threads that share a loop with the one that calls. They sleep between loops and never spin, so
// that a model's own threads find the cores free.
// One thread at a time calls ParallelFor; it returns when all of the loop is done. Never fails: a
// thread that cannot be started leaves its share to the others.
class WorkerPool {
 public:
  // `threads` in all, the caller's included; 1 or less runs everything on the caller.
  explicit WorkerPool(int32_t threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Runs body(0) .. body(count - 1), each once, in no particular order or thread.
  void ParallelFor(size_t count, const std::function<void(size_t)>& body)
      FORETOKEN_EXCLUDES(mutex_);

 private:
  void Work() FORETOKEN_EXCLUDES(mutex_);
  // Takes indices of the current loop until none is left.
  void TakeShare() FORETOKEN_REQUIRES(mutex_);

  Mutex mutex_;
  CondVar work_;
  CondVar done_;
  const std::function<void(size_t)>* body_ FORETOKEN_GUARDED_BY(mutex_) = nullptr;
  size_t next_ FORETOKEN_GUARDED_BY(mutex_) = 0;
  size_t count_ FORETOKEN_GUARDED_BY(mutex_) = 0;
  size_t unfinished_ FORETOKEN_GUARDED_BY(mutex_) = 0;
  bool stopping_ FORETOKEN_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace foretoken

#endif  // FORETOKEN_BASE_WORKER_POOL_H_
