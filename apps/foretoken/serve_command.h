#ifndef FORETOKEN_FORETOKEN_SERVE_COMMAND_H_
#define FORETOKEN_FORETOKEN_SERVE_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// `foretoken serve`: answers OpenAI's API until it is told to stop. `foretoken config check`: says
// what is wrong with a configuration. Both run from the parse's callback and leave the process's
// exit code in `exit_code`, which must outlive the parse.
void AddServeCommand(CLI::App& app, int& exit_code);
void AddConfigCommand(CLI::App& app, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_SERVE_COMMAND_H_
