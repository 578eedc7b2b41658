#ifndef FORETOKEN_FORETOKEN_RUN_COMMAND_H_
#define FORETOKEN_FORETOKEN_RUN_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// `foretoken run`: answers one prompt, or every prompt of a file. Runs from the parse's callback
// and leaves the process's exit code in `exit_code`, which must outlive the parse.
void AddRunCommand(CLI::App& app, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_RUN_COMMAND_H_
