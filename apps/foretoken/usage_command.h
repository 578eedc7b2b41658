#ifndef FORETOKEN_FORETOKEN_USAGE_COMMAND_H_
#define FORETOKEN_FORETOKEN_USAGE_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// `foretoken usage`: what was used, by tenant, day and model, as a table, CSV or JSON.
// Leaves the process's exit code in `exit_code`, which must outlive the parse.
void AddUsageCommand(CLI::App& app, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_USAGE_COMMAND_H_
