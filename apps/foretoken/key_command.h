#ifndef FORETOKEN_FORETOKEN_KEY_COMMAND_H_
#define FORETOKEN_FORETOKEN_KEY_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// `foretoken key add|list|revoke`: the keys of tenants. A secret is printed once, when it is made.
// Leaves the process's exit code in `exit_code`, which must outlive the parse.
void AddKeyCommand(CLI::App& app, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_KEY_COMMAND_H_
