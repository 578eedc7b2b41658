#ifndef FORETOKEN_FORETOKEN_BENCH_KERNELS_COMMAND_H_
#define FORETOKEN_FORETOKEN_BENCH_KERNELS_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// `foretoken bench kernels`: what a forward costs by its rows and the tokens before it, on our
// kernels and on the stock ones. As AddRunCommand, below the `bench` command.
void AddBenchKernelsCommand(CLI::App& bench, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_KERNELS_COMMAND_H_
