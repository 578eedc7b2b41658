#include "kernels/thread_team.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "base/cpu_count.h"

namespace foretoken {
namespace {

// Longer than the single-threaded operations between two matrix products of a small model take,
// shorter than a scheduler's slice by far.
constexpr std::chrono::microseconds kSpin{100};
constexpr int kPausesPerClock = 64;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns once `value` is no longer `old`.
void WaitForChange(const std::atomic<int32_t>& value, int32_t old, bool spins) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  while (spins && std::chrono::steady_clock::now() < deadline) {
    for (int i = 0; i < kPausesPerClock; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      Pause();
    }
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

int32_t TeamMember::size() const {
  return team_->size();
}

void TeamMember::Barrier() {
  team_->Barrier();
}

int64_t TeamMember::Take(int64_t count) {
  return team_->next_item_.fetch_add(count, std::memory_order_relaxed);
}

ThreadTeam::ThreadTeam(int32_t threads) : spins_(threads <= PhysicalCoreCount()) {
  workers_.reserve(static_cast<size_t>(std::max(threads, 1)) - 1);
  try {
    for (int32_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { Work(i); });
  } catch (const std::system_error&) {
    // Fewer threads: the team is what could be started.
  }
}

ThreadTeam::~ThreadTeam() {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadTeam::RunErased(const void* body, ErasedBody call) {
  TeamMember self(this, 0);
  next_item_.store(0, std::memory_order_relaxed);
  if (workers_.empty()) {
    call(body, self);
    return;
  }
  body_ = body;
  call_ = call;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  call(body, self);
  Barrier();
}

void ThreadTeam::Work(int32_t index) {
  TeamMember self(this, index);
  for (int32_t seen = 0;; ++seen) {
    WaitForChange(generation_, seen, spins_);
    if (stopping_.load(std::memory_order_relaxed)) return;
    call_(body_, self);
    Barrier();
  }
}

void ThreadTeam::Barrier() {
  const int32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size()) {
    arrived_.store(0, std::memory_order_relaxed);
    next_item_.store(0, std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    phase_.notify_all();
    return;
  }
  WaitForChange(phase_, phase, spins_);
}

}  // namespace foretoken
