#include "model/probe.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

namespace foretoken {
namespace {

bool IsExecutable(const std::string& path) {
  return access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<std::string> FindProbe(const std::string& option) {
  const char* variable = std::getenv("FORETOKEN_PROBE");
  const bool has_variable = variable != nullptr && variable[0] != '\0';
  if (!option.empty() || has_variable) {
    // One that was asked for is used or refused, never replaced by another.
    const std::string path = option.empty() ? variable : option;
    if (IsExecutable(path)) return path;
    return UnavailableError(
        fmt::format("{}: {}; the path of {} is right", path, std::strerror(errno), kProbeName));
  }
  std::vector<std::string> places;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    places.push_back(self.parent_path() / kProbeName);
    places.push_back(self.parent_path() / "../libexec/foretoken" / kProbeName);
  }
  places.push_back(std::string(FORETOKEN_LIBEXEC_DIR) + "/" + kProbeName);
  for (const std::string& place : places) {
    if (IsExecutable(place)) return place;
  }
  return UnavailableError(fmt::format(
      "{} is missing, without which no model is loaded: a new model file is first tried in a "
      "process of its own. Looked for {}; FORETOKEN_PROBE names another place",
      kProbeName, fmt::join(places, ", ")));
}

Status ReportedByProbe(const IsolatedOutcome& outcome, const std::string& what) {
  if (outcome.exit_code == 0) return OkStatus();
  const std::string& words = outcome.last_error_line;
  const int code = outcome.exit_code - kProbeExitCodeBase;
  if (code > 0 && code <= static_cast<int>(StatusCode::kInternal)) {
    return Status(static_cast<StatusCode>(code), words.empty() ? what + " failed" : words);
  }
  return InternalError(fmt::format("{} ended with exit code {}{}", what, outcome.exit_code,
                                   words.empty() ? "" : ": " + words));
}

bool IsFault(int signal) {
  return signal == SIGABRT || signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE;
}

std::string SignalName(int signal) {
  const char* name = sigabbrev_np(signal);
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", signal);
}

}  // namespace foretoken
