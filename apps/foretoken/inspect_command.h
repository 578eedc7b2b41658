#ifndef FORETOKEN_FORETOKEN_INSPECT_COMMAND_H_
#define FORETOKEN_FORETOKEN_INSPECT_COMMAND_H_

#include <CLI/CLI.hpp>

namespace foretoken {

// `foretoken inspect FILE [FILE2] [--json]`: prints the facts of a GGUF file and, with two, whether
// they can be target and draft. Runs when `app` is parsed and sets `exit_code`, which must outlive
// the parse: 0 printed, 1 a file cannot be read (said on standard error), 3 the two are no pair.
void AddInspectCommand(CLI::App& app, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_INSPECT_COMMAND_H_
