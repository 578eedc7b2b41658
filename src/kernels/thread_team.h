#ifndef FORETOKEN_KERNELS_THREAD_TEAM_H_
#define FORETOKEN_KERNELS_THREAD_TEAM_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace foretoken {

class ThreadTeam;

// One thread's place in a ThreadTeam while it runs a body.
class TeamMember {
 public:
  TeamMember(ThreadTeam* team, int32_t index) : team_(team), index_(index) {}

  int32_t index() const { return index_; }
  int32_t size() const;

  // Returns when every member has called it; what was written before is seen by all after. All
  // members call it equally often.
  void Barrier();

  // The first of `count` items that nobody has taken since the last Barrier (or the start). All
  // members of a phase ask for the same counts in the same loop and stop at the end of their work.
  int64_t Take(int64_t count = 1);

 private:
  ThreadTeam* const team_;
  const int32_t index_;
};

// Threads that compute one thing together: every member runs the same body and they meet at
// barriers. They spin for a short, bounded time where they wait and sleep after that, so that a
// core that someone else needs is not burnt. One thread at a time calls Run. Never fails: without
// the threads that could not be started the team is smaller.
class ThreadTeam {
 public:
  // `threads` in all, the caller's included; 1 or less: the caller alone.
  explicit ThreadTeam(int32_t threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int32_t size() const { return static_cast<int32_t>(workers_.size()) + 1; }

  // Runs body(TeamMember&) on every member, the caller as member 0, and returns when all have
  // returned. `body` must not throw.
  template <typename Body>
  void Run(const Body& body) {
    RunErased(&body, [](const void* erased, TeamMember& member) {
      (*static_cast<const Body*>(erased))(member);
    });
  }

 private:
  friend class TeamMember;
  using ErasedBody = void (*)(const void* body, TeamMember& member);

  void RunErased(const void* body, ErasedBody call);
  void Work(int32_t index);
  void Barrier();

  const bool spins_;  // not where a thread that spins keeps one of the team from running
  // Each on its own cache line: they are written by different threads at different times.
  alignas(64) std::atomic<int32_t> generation_{0};  // counts calls of Run
  alignas(64) std::atomic<int32_t> arrived_{0};
  alignas(64) std::atomic<int32_t> phase_{0};
  alignas(64) std::atomic<int64_t> next_item_{0};
  std::atomic<bool> stopping_{false};
  // Written by Run before generation_ is raised.
  const void* body_ = nullptr;
  ErasedBody call_ = nullptr;
  std::vector<std::thread> workers_;
};

}  // namespace foretoken

#endif  // FORETOKEN_KERNELS_THREAD_TEAM_H_
