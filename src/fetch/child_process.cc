#include "fetch/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>
#include <thread>

#include "base/macros.h"

namespace foretoken {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(50);

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;

  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> EnvironmentWith(
    const std::vector<std::pair<std::string, std::string>>& extra) {
  std::vector<std::string> result;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    bool replaced = false;
    for (const auto& [name, value] : extra) replaced = replaced || text.starts_with(name + "=");
    if (!replaced) result.emplace_back(text);
  }
  for (const auto& [name, value] : extra) result.push_back(fmt::format("{}={}", name, value));
  return result;
}

int ExitCode(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

// True when the child has ended; then it is gone for good.
bool Reap(pid_t child, int* wait_status) {
  const pid_t reaped = waitpid(child, wait_status, WNOHANG);
  return reaped == child || (reaped < 0 && errno != EINTR);
}

void End(pid_t child) {
  constexpr int kPollsBeforeKill = 40;
  int wait_status = 0;
  kill(child, SIGTERM);
  for (int i = 0; i < kPollsBeforeKill; ++i) {
    if (Reap(child, &wait_status)) return;
    std::this_thread::sleep_for(kPollInterval);
  }
  kill(child, SIGKILL);
  while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

Result<int> RunChild(const ChildCommand& command, const std::function<Status()>& poll) {
  if (command.arguments.empty()) return InvalidArgumentError("no program to run");
  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> environment = EnvironmentWith(command.environment);
  FileActions actions;
  posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(actions.get(), STDOUT_FILENO, command.log_path.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(actions.get(), STDOUT_FILENO, STDERR_FILENO);
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments[0].c_str(), actions.get(), nullptr,
                                 Pointers(arguments).data(), Pointers(environment).data());
  if (error != 0) {
    return UnavailableError(
        fmt::format("cannot run {}: {}", command.arguments[0], std::strerror(error)));
  }
  int wait_status = 0;
  while (!Reap(child, &wait_status)) {
    if (Status status = poll(); !status.ok()) {
      End(child);
      return status;
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  return ExitCode(wait_status);
}

}  // namespace foretoken
