#ifndef FORETOKEN_FORETOKEN_BENCH_LOAD_FLAGS_H_
#define FORETOKEN_FORETOKEN_BENCH_LOAD_FLAGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"
#include "generation_flags.h"

namespace CLI {
class App;
}

namespace foretoken {

// One way to speculate, "off", "auto" or a fixed length.
struct LoadMode {
  std::string name;
  SpeculativeConfig speculation;
};

// What the user asked `bench load` to do.
struct LoadFlags {
  GenerationFlags generation;
  std::string prompts_file;
  int32_t limit = 0;
  bool raw = false;
  std::vector<int32_t> concurrency = {1, 2, 4, 8, 16};
  double rate = 0;  // above 0: an open load of that many a second
  std::vector<std::string> modes = {"off", "auto"};
  int32_t requests = 0;  // 0: the default of the kind of load
  int32_t warm_up = 1;
  int32_t repeat = 3;
  int32_t tenants = 1;
  std::vector<double> weights;  // of the tenants; empty: all 1
  int32_t flood = 0;            // above 0: the scenario of a quiet tenant beside a flooding one
  int32_t max_running = 0;      // 0: the runtime's default
  bool prefix_reuse = false;
  bool answer_store = false;
  bool no_check = false;
  bool ceiling = false;
  bool json = false;

  // Requests of a round: for each client of a closed load, in all otherwise.
  int32_t RequestsOrDefault() const;
};

// Adds the flags to the command. As AddModelFlags.
void AddLoadFlags(CLI::App& command, LoadFlags& flags);

// Contradictions between flags: INVALID_ARGUMENT.
Status CheckLoadFlags(const LoadFlags& flags);

// The modes by name, over the drafting flags. Precondition: AddLoadFlags let the names pass.
std::vector<LoadMode> LoadModes(const LoadFlags& flags);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_LOAD_FLAGS_H_
