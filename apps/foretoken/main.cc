// The `foretoken` executable: reads the command line and hands over to the commands.
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/log.h"
#include "bench_decode_command.h"
#include "bench_kernels_command.h"
#include "bench_load_command.h"
#include "chat_command.h"
#include "console.h"
#include "exit_code.h"
#include "inspect_command.h"
#include "key_command.h"
#include "models_command.h"
#include "pull_command.h"
#include "quantize_command.h"
#include "run_command.h"
#include "serve_command.h"
#include "tenant_command.h"
#include "usage_command.h"

namespace foretoken {
namespace {

constexpr const char* kFooter =
    "Models are named by what `foretoken pull` called them, or by the path of a GGUF file.\n"
    "Exit codes: 0 success, 1 failure, 2 wrong use or wrong input, 130 interrupted by Ctrl-C.\n"
    "Answers go to standard output; errors, warnings and figures to standard error.";

void LogToStandardError(LogLevel level, std::string_view message) {
  constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
  PrintNote(fmt::format("[{}] {}", kNames[static_cast<size_t>(level)], message));
}

int Main(int argc, char** argv) {
  int exit_code = kExitSuccess;
  CLI::App app("Serves language models with lossless speculative decoding.", "foretoken");
  app.set_version_flag("--version", "foretoken " FORETOKEN_VERSION);
  app.add_flag_callback(
      "-v,--verbose", [] { SetLogSink(LogToStandardError); },
      "Log what the library does to standard error");
  app.fallthrough();
  app.require_subcommand(1);
  app.footer(kFooter);

  AddRunCommand(app, exit_code);
  AddChatCommand(app, exit_code);
  AddPullCommand(app, exit_code);
  AddModelsCommand(app, exit_code);
  AddInspectCommand(app, exit_code);
  AddQuantizeCommand(app, exit_code);
  AddServeCommand(app, exit_code);
  AddConfigCommand(app, exit_code);
  AddTenantCommand(app, exit_code);
  AddKeyCommand(app, exit_code);
  AddUsageCommand(app, exit_code);
  CLI::App* bench = app.add_subcommand("bench", "Measure this machine");
  bench->require_subcommand(1);
  AddBenchDecodeCommand(*bench, exit_code);
  AddBenchKernelsCommand(*bench, exit_code);
  AddBenchLoadCommand(*bench, exit_code);

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    return app.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    const CLI::App* command = &app;
    while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
    const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
    // CLI11 asks for a command where there is one that it does not know.
    const bool unknown_command = error.get_name() == "RequiredError" &&
                                 command->get_require_subcommand_min() > 0 && !rest.empty();
    PrintError(unknown_command ? fmt::format("there is no command '{}'", rest.front())
                               : std::string(error.what()));
    std::string name = command->get_name();
    if (command != &app && command->get_parent() != &app) {
      name = command->get_parent()->get_name() + " " + name;
    }
    PrintNote(fmt::format("Try '{}{} --help'.", command == &app ? "" : "foretoken ", name));
    return kExitUsage;
  }
  return exit_code;
}

}  // namespace
}  // namespace foretoken

int main(int argc, char** argv) {
  return foretoken::Main(argc, argv);
}
