#include "model/isolated_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>

#include "base/macros.h"

extern char** environ;

namespace foretoken {
namespace {

constexpr size_t kKeptErrorBytes = 4096;
constexpr int kPollMs = 10;

class Pipe {
 public:
  ~Pipe() {
    CloseWriter();
    if (reader_ >= 0) close(reader_);
  }
  bool Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return false;
    reader_ = ends[0];
    writer_ = ends[1];
    // The child writes as to any file.
    return fcntl(writer_, F_SETFL, 0) == 0;
  }
  void CloseWriter() {
    if (writer_ >= 0) close(writer_);
    writer_ = -1;
  }
  int reader() const { return reader_; }
  int writer() const { return writer_; }

 private:
  int reader_ = -1;
  int writer_ = -1;
};

// The attributes and file actions of one posix_spawn.
class SpawnSetup {
 public:
  SpawnSetup() {
    posix_spawnattr_init(&attributes_);
    posix_spawn_file_actions_init(&actions_);
  }
  ~SpawnSetup() {
    posix_spawnattr_destroy(&attributes_);
    posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  int Prepare(int error_fd) {
    sigset_t all;
    sigset_t none;
    sigfillset(&all);
    sigemptyset(&none);
    int error = posix_spawnattr_setsigdefault(&attributes_, &all);
    if (error == 0) error = posix_spawnattr_setsigmask(&attributes_, &none);
    if (error == 0) error = posix_spawnattr_setpgroup(&attributes_, 0);
    if (error == 0) {
      error = posix_spawnattr_setflags(
          &attributes_, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    }
    if (error == 0) error = AddNull(STDIN_FILENO, O_RDONLY);
    if (error == 0) error = AddNull(STDOUT_FILENO, O_WRONLY);
    if (error == 0) {
      error = posix_spawn_file_actions_adddup2(&actions_, error_fd, STDERR_FILENO);
    }
    // Files that others opened without O_CLOEXEC stay with us.
    if (error == 0) error = posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    return error;
  }
  const posix_spawnattr_t* attributes() const { return &attributes_; }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }

 private:
  int AddNull(int fd, int flags) {
    return posix_spawn_file_actions_addopen(&actions_, fd, "/dev/null", flags, 0);
  }

  posix_spawnattr_t attributes_;
  posix_spawn_file_actions_t actions_;
};

Status SpawnError(const std::string& executable, int error) {
  const std::string message = fmt::format("{}: {}", executable, std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return NotFoundError(message);
  if (error == EACCES || error == ENOEXEC) return PermissionDeniedError(message);
  if (error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE) {
    return ResourceExhaustedError(message);
  }
  return InternalError(message);
}

Result<pid_t> Spawn(const IsolatedCommand& command, int error_fd) {
  std::vector<std::string> arguments = {command.executable};
  arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
  std::vector<std::string> environment = command.environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('=') + 1);
    bool replaced = false;
    for (const std::string& ours : command.environment) replaced |= ours.starts_with(name);
    if (!replaced) environment.emplace_back(text);
  }
  auto pointers = [](std::vector<std::string>& strings) {
    std::vector<char*> list;
    for (std::string& text : strings) list.push_back(text.data());
    list.push_back(nullptr);
    return list;
  };
  SpawnSetup setup;
  if (const int error = setup.Prepare(error_fd); error != 0) {
    return SpawnError(command.executable, error);
  }
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, command.executable.c_str(), setup.actions(), setup.attributes(),
                  pointers(arguments).data(), pointers(environment).data());
  if (error != 0) return SpawnError(command.executable, error);
  return pid;
}

// The child's standard error: keeps the end of it and hands on its lines.
class ErrorText {
 public:
  explicit ErrorText(const std::function<void(std::string_view line)>& on_line)
      : on_line_(on_line) {}

  // Takes what is in the pipe.
  void Drain(int reader) {
    char buffer[kKeptErrorBytes];
    for (;;) {
      const ssize_t got = read(reader, buffer, sizeof(buffer));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return;
      const std::string_view text(buffer, static_cast<size_t>(got));
      kept_.append(text);
      if (kept_.size() > kKeptErrorBytes) kept_.erase(0, kept_.size() - kKeptErrorBytes);
      if (on_line_) HandOn(text);
    }
  }
  const std::string& kept() const { return kept_; }

 private:
  void HandOn(std::string_view text) {
    for (const char c : text) {
      if (c == '\n') {
        on_line_(line_);
        line_.clear();
      } else if (line_.size() < kKeptErrorBytes) {
        line_ += c;
      }
    }
  }

  const std::function<void(std::string_view line)>& on_line_;
  std::string kept_;
  std::string line_;
};

std::string LastLine(std::string_view text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return "";
  text = text.substr(0, end + 1);
  const size_t start = text.find_last_of("\r\n");
  return std::string(start == std::string_view::npos ? text : text.substr(start + 1));
}

}  // namespace

Result<IsolatedOutcome> RunIsolated(const IsolatedCommand& command) {
  Pipe errors;
  if (!errors.Open()) {
    return ResourceExhaustedError(
        fmt::format("no pipe to run {}: {}", command.executable, std::strerror(errno)));
  }
  FORETOKEN_ASSIGN_OR_RETURN(const pid_t pid, Spawn(command, errors.writer()));
  errors.CloseWriter();
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(command.timeout_ms);
  IsolatedOutcome outcome;
  ErrorText text(command.on_error_line);
  bool open = true;
  // The end of the child, not of its standard error, ends the wait: a grandchild may hold that.
  for (;;) {
    // WNOWAIT: while the child is not reaped its number names no other process.
    siginfo_t ended{};
    if (waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 &&
        errno != EINTR) {
      return InternalError(
          fmt::format("how {} ended is not known: {}", command.executable, std::strerror(errno)));
    }
    if (ended.si_pid == pid) break;
    if (!outcome.timed_out && !outcome.cancelled) {
      outcome.cancelled = command.cancelled && command.cancelled();
      outcome.timed_out = !outcome.cancelled && Clock::now() >= deadline;
      if (outcome.timed_out || outcome.cancelled) kill(-pid, SIGKILL);
    }
    pollfd entry{open ? errors.reader() : -1, POLLIN, 0};
    if (poll(&entry, 1, kPollMs) > 0) {
      text.Drain(errors.reader());
      if ((entry.revents & POLLIN) == 0) open = false;  // closed: poll would not wait
    }
  }
  kill(-pid, SIGKILL);  // what it started and left behind
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  text.Drain(errors.reader());
  outcome.last_error_line = LastLine(text.kept());
  if (outcome.timed_out || outcome.cancelled) return outcome;
  if (WIFSIGNALED(status)) {
    outcome.signal = WTERMSIG(status);
  } else {
    outcome.exit_code = WEXITSTATUS(status);
  }
  return outcome;
}

}  // namespace foretoken
