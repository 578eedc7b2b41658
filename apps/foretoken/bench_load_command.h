#ifndef FORETOKEN_FORETOKEN_BENCH_LOAD_COMMAND_H_
#define FORETOKEN_FORETOKEN_BENCH_LOAD_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// `foretoken bench load`: many requests at once, with and without speculation, timed as their
// readers see them and compared with the plain answers. As AddRunCommand, below the `bench`
// command.
void AddBenchLoadCommand(CLI::App& bench, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_LOAD_COMMAND_H_
