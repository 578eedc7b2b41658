#include "interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <utility>

#include "exit_code.h"

namespace foretoken {
namespace {

// Where the handler writes; -1 without a watcher. A signal handler has no other place to look.
std::atomic<int> signal_pipe{-1};  // NOLINT: see above

void OnSignal(int /*signal*/) {
  const int saved_errno = errno;
  const int file = signal_pipe.load();
  if (file >= 0) {
    const char byte = 0;
    // A full pipe holds more interrupts than anyone will look at.
    static_cast<void>(!write(file, &byte, 1));
  }
  errno = saved_errno;
}

void Handle(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

InterruptWatcher::InterruptWatcher() {
  // Without a pipe (no descriptors left) Ctrl-C keeps its default: it ends the process.
  if (pipe2(pipe_.data(), O_CLOEXEC) != 0) return;
  fcntl(pipe_[1], F_SETFL, O_NONBLOCK);
  thread_ = std::thread([this] { Run(); });
  signal_pipe = pipe_[1];
  Handle(OnSignal);
}

InterruptWatcher::~InterruptWatcher() {
  if (!thread_.joinable()) return;
  Handle(SIG_DFL);
  signal_pipe = -1;
  close(pipe_[1]);  // the thread reads the end of the pipe
  thread_.join();
  close(pipe_[0]);
}

void InterruptWatcher::IgnoreOutsideScopes() {
  MutexLock lock(mutex_);
  ignores_outside_ = true;
}

void InterruptWatcher::Run() {
  while (true) {
    char byte = 0;
    const ssize_t bytes = read(pipe_[0], &byte, 1);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) return;
    MutexLock lock(mutex_);
    if (scope_ == nullptr && ignores_outside_) continue;
    if (scope_ == nullptr || (scope_->interrupted_ && !scope_->repeats_)) {
      _exit(kExitInterrupted);
    }
    scope_->interrupted_ = true;
    scope_->action_();
  }
}

InterruptScope::InterruptScope(InterruptWatcher& watcher, std::function<void()> action,
                               bool repeats)
    : watcher_(watcher), action_(std::move(action)), repeats_(repeats) {
  MutexLock lock(watcher_.mutex_);
  watcher_.scope_ = this;
}

InterruptScope::~InterruptScope() {
  MutexLock lock(watcher_.mutex_);
  watcher_.scope_ = nullptr;
}

bool InterruptScope::interrupted() const {
  MutexLock lock(watcher_.mutex_);
  return interrupted_;
}

}  // namespace foretoken
