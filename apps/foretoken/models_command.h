#ifndef FORETOKEN_FORETOKEN_MODELS_COMMAND_H_
#define FORETOKEN_FORETOKEN_MODELS_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// `foretoken models`: lists the models of the store and what else the catalogue has. Runs from the
// parse's callback and leaves the process's exit code in `exit_code`, which must outlive the parse.
void AddModelsCommand(CLI::App& app, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_MODELS_COMMAND_H_
