#ifndef FORETOKEN_MODEL_ISOLATED_PROCESS_H_
#define FORETOKEN_MODEL_ISOLATED_PROCESS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/status.h"

namespace foretoken {

struct IsolatedCommand {
  std::string executable;                // a path; PATH is not searched
  std::vector<std::string> arguments;    // without the executable itself
  std::vector<std::string> environment;  // "NAME=value", over the caller's own environment
  int64_t timeout_ms = 60'000;           // > 0
  // Both are called by RunIsolated itself, and may be empty. The one is given every whole line of
  // the child's standard error as it comes, its first 4 KiB; the other is asked every 10 ms, and
  // true kills the child.
  std::function<void(std::string_view line)> on_error_line;
  std::function<bool()> cancelled;
};

// How a child ended: exactly one of the four.
struct IsolatedOutcome {
  bool timed_out = false;       // it was killed for it
  bool cancelled = false;       // likewise
  int signal = 0;               // that killed it, or 0
  int exit_code = 0;            // when none of the above
  std::string last_error_line;  // the last line of its standard error that is not empty
};

// Runs a program to its end, without a shell and without forking this process's image, with no
// input, no output, no other open files and default signals; keeps the end of its standard error.
// The child leads a process group of its own, which is killed when the time is over.
// Any thread may call it; it blocks. NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED or INTERNAL
// when the program cannot be started or its end cannot be learned.
Result<IsolatedOutcome> RunIsolated(const IsolatedCommand& command);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_ISOLATED_PROCESS_H_
