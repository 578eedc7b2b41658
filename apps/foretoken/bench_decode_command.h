#ifndef FORETOKEN_FORETOKEN_BENCH_DECODE_COMMAND_H_
#define FORETOKEN_FORETOKEN_BENCH_DECODE_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// `foretoken bench decode`: the same prompts with and without speculation, compared token by token
// and timed. As AddRunCommand, below the `bench` command.
void AddBenchDecodeCommand(CLI::App& bench, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_DECODE_COMMAND_H_
