#ifndef FORETOKEN_BASE_MUTEX_H_
#define FORETOKEN_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

// clang's thread-safety analysis, an error in the clang build; nothing elsewhere.
#if defined(__clang__)
#define FORETOKEN_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define FORETOKEN_THREAD_ATTRIBUTE(x)
#endif
#define FORETOKEN_GUARDED_BY(x) FORETOKEN_THREAD_ATTRIBUTE(guarded_by(x))
#define FORETOKEN_REQUIRES(...) FORETOKEN_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define FORETOKEN_EXCLUDES(...) FORETOKEN_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))

namespace foretoken {

// std::mutex with the annotations that the analysis needs.
class FORETOKEN_THREAD_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  void lock() FORETOKEN_THREAD_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  void unlock() FORETOKEN_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class FORETOKEN_THREAD_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) FORETOKEN_THREAD_ATTRIBUTE(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() FORETOKEN_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class CondVar {
 public:
  // Waits for a notification, or returns early for none: loop on the condition.
  void Wait(Mutex& mutex) FORETOKEN_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // The same, until `deadline` at the latest.
  void WaitUntil(Mutex& mutex, std::chrono::steady_clock::time_point deadline)
      FORETOKEN_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait_until(lock, deadline);
    lock.release();
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace foretoken

#endif  // FORETOKEN_BASE_MUTEX_H_
