// The `foretoken` executable: reads the command line and hands over to the commands.
#include <CLI/CLI.hpp>

#include "models_command.h"
#include "pull_command.h"

int main(int argc, char** argv) {
  int exit_code = 0;
  CLI::App app("Serves language models with lossless speculative decoding.", "foretoken");
  app.require_subcommand(1);
  foretoken::AddPullCommand(app, exit_code);
  foretoken::AddModelsCommand(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return exit_code;
}
