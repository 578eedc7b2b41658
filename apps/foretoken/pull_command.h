#ifndef FORETOKEN_FORETOKEN_PULL_COMMAND_H_
#define FORETOKEN_FORETOKEN_PULL_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// `foretoken pull`: brings a model into the store. Runs from the parse's callback and leaves the
// process's exit code in `exit_code`, which must outlive the parse.
void AddPullCommand(CLI::App& app, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_PULL_COMMAND_H_
