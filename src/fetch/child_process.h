#ifndef FORETOKEN_FETCH_CHILD_PROCESS_H_
#define FORETOKEN_FETCH_CHILD_PROCESS_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "foretoken/status.h"

namespace foretoken {

struct ChildCommand {
  // The program, looked up in PATH, and its arguments; no shell is involved.
  std::vector<std::string> arguments;
  // Set on top of this process's environment.
  std::vector<std::pair<std::string, std::string>> environment;
  // Takes the child's standard output and standard error; its standard input is empty.
  std::string log_path;
};

// Runs the command to its end and returns its exit code, 128 + N when signal N ended it.
// `poll` is called every 50 ms; an error from it ends the child (SIGTERM, two seconds later
// SIGKILL) and is returned. UNAVAILABLE when the program cannot be started. Any thread may call it.
Result<int> RunChild(const ChildCommand& command, const std::function<Status()>& poll);

}  // namespace foretoken

#endif  // FORETOKEN_FETCH_CHILD_PROCESS_H_
