#ifndef FORETOKEN_MODEL_PROBE_H_
#define FORETOKEN_MODEL_PROBE_H_

#include <string>

#include "foretoken/status.h"
#include "model/isolated_process.h"

namespace foretoken {

// The executable in which llama.cpp meets files that it may abort on; apps/probe.
inline constexpr const char* kProbeName = "foretoken-probe";

// Its path: `option` where it is not empty, else $FORETOKEN_PROBE, else beside this executable, in
// ../libexec/foretoken from there, or in the build's libexec directory. UNAVAILABLE when it is not
// there.
Result<std::string> FindProbe(const std::string& option);

// The probe says how it went by its exit code: this plus the StatusCode, with the message as the
// last line of its standard error; 0 is OK.
inline constexpr int kProbeExitCodeBase = 64;

// What a probe reported that ended by itself. `what` names the attempt where it gave no reason.
Status ReportedByProbe(const IsolatedOutcome& outcome, const std::string& what);

// Deaths that a file can cause. SIGILL is not one: the build does not fit the machine.
bool IsFault(int signal);
// "SIGABRT".
std::string SignalName(int signal);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_PROBE_H_
