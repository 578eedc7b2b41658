#include "serve_command.h"

#include <csignal>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/macros.h"
#include "console.h"
#include "exit_code.h"
#include "foretoken/runtime_manager.h"
#include "generation_flags.h"
#include "server/server.h"
#include "server/server_config.h"
#include "store/sqlite_database.h"

namespace foretoken {
namespace {

struct ServeFlags {
  std::string config;
  std::string model;
  std::string draft;
  std::string listen = "127.0.0.1:8080";
  int32_t context_tokens = 0;
  int32_t kv_cache_tokens = 0;
  int32_t threads = 0;
};

// Signals that are waited for instead of handled: blocked before any thread begins, so that all
// threads have them blocked.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, signal);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }
  int Wait() {
    int signal = 0;
    while (sigwait(&signals_, &signal) != 0) {
    }
    return signal;
  }
  // From now on a second one ends the process.
  void Release() {
    sigdelset(&signals_, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
  }

 private:
  sigset_t signals_;
};

int PrintProblems(const std::vector<std::string>& problems) {
  for (const std::string& problem : problems) PrintNote(problem);
  return kExitUsage;
}

Result<ParsedServerConfig> ReadConfigFile(const std::string& path) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::string text, ReadInput(path));
  return ParseServerConfig(text, path);
}

Result<ServerConfig> ConfigOf(const ServeFlags& flags) {
  ServerConfig config;
  const auto listen = ParseListenAddress(flags.listen);
  if (!listen) {
    return InvalidArgumentError(
        fmt::format("--listen is '{}'; ADDRESS:PORT is wanted: 127.0.0.1:8080", flags.listen));
  }
  if (!IsLoopback(*listen)) {
    return InvalidArgumentError(
        "a server without keys listens on this machine only (127.0.0.1); for more give --config "
        "with a store, and make keys with `foretoken tenant add` and `foretoken key add`");
  }
  config.listen = {*listen};
  ServedModel model;
  model.name = flags.model;
  model.target.id = flags.model;
  model.target.context_tokens = flags.context_tokens;
  model.target.kv_cache_tokens = flags.kv_cache_tokens;
  model.target.threads = flags.threads;
  model.preload = true;
  if (!flags.draft.empty()) {
    model.draft_model = model.target;
    model.draft_model->id = flags.draft;
  }
  config.models = {std::move(model)};
  return config;
}

int Serve(ServerConfig config, StopSignals& signals) {
  const bool is_keyless = config.store.empty();
  auto manager = RuntimeManager::Create(config.runtime);
  if (!manager.ok()) {
    PrintError(manager.status().message());
    return kExitFailure;
  }
  ServerOptions options;
  options.resolve_model = ResolveModel;
  options.version = FORETOKEN_VERSION;
  auto server = Server::Create(std::move(config), std::move(options), *std::move(manager));
  if (!server.ok()) {
    PrintError(server.status().message());
    return kExitFailure;
  }
  (*server)->Start();
  for (const ListenAddress& address : (*server)->addresses()) {
    PrintNote(fmt::format("foretoken: serving on http://{}{}", ListenAddressText(address),
                          is_keyless ? ", without keys, for this machine only" : ""));
  }
  int signal = 0;
  while ((signal = signals.Wait()) == SIGHUP) {
    const Status status = (*server)->Reload();
    if (!status.ok()) PrintError("nothing was reloaded: " + status.message());
  }
  signals.Release();
  PrintNote("foretoken: no new requests are taken; those that run may end");
  (*server)->Drain();
  return kExitSuccess;
}

int RunServe(const ServeFlags& flags) {
  StopSignals signals;
  if (flags.config.empty()) {
    if (flags.model.empty()) {
      PrintError("give -m MODEL to serve one model on this machine, or --config FILE");
      return kExitUsage;
    }
    auto config = ConfigOf(flags);
    if (!config.ok()) {
      PrintError(config.status().message());
      return kExitUsage;
    }
    return Serve(*std::move(config), signals);
  }
  auto parsed = ReadConfigFile(flags.config);
  if (!parsed.ok()) {
    PrintError(parsed.status().message());
    return kExitFailure;
  }
  if (!parsed->problems.empty()) return PrintProblems(parsed->problems);
  ServerConfig& config = parsed->config;
  if (config.store.empty()) {
    auto path = DefaultStorePath();
    if (!path.ok()) {
      PrintError(path.status().message());
      return kExitFailure;
    }
    config.store = *std::move(path);
  }
  return Serve(std::move(config), signals);
}

}  // namespace

void AddServeCommand(CLI::App& app, int& exit_code) {
  auto* const command = app.add_subcommand("serve", "Answer OpenAI's API over HTTP");
  const auto flags = std::make_shared<ServeFlags>();
  auto* const config =
      command->add_option("--config", flags->config, "The configuration of a server with tenants")
          ->type_name("FILE");
  command->add_option("-m,--model", flags->model, "The model: a pulled name or a GGUF file")
      ->type_name("MODEL")
      ->excludes(config);
  command
      ->add_option("-d,--draft", flags->draft,
                   "A small model with the same vocabulary that drafts tokens")
      ->type_name("MODEL")
      ->excludes(config);
  command->add_option("--listen", flags->listen, "Where (default: 127.0.0.1:8080)")
      ->type_name("ADDRESS:PORT")
      ->excludes(config);
  AddIntegerFlag(*command, "--context",
                 "Tokens of context, prompt and answer (default: the model's, at most 8192)", 16,
                 16 << 20, flags->context_tokens);
  AddIntegerFlag(*command, "--kv-cache",
                 "Tokens of KV cache that all requests share (default: as many as --context)", 16,
                 16 << 20, flags->kv_cache_tokens);
  AddIntegerFlag(*command, "--threads", "Threads that compute (default: the physical cores)", 1,
                 1024, flags->threads);
  command->callback([flags, &exit_code] { exit_code = RunServe(*flags); });
}

void AddConfigCommand(CLI::App& app, int& exit_code) {
  auto* const command = app.add_subcommand("config", "The configuration of a server");
  command->require_subcommand(1);
  auto* const check = command->add_subcommand("check", "Name every mistake of a file");
  const auto path = std::make_shared<std::string>();
  check->add_option("FILE", *path, "The file")->required();
  check->callback([path, &exit_code] {
    const auto parsed = ReadConfigFile(*path);
    if (!parsed.ok()) {
      PrintError(parsed.status().message());
      exit_code = kExitFailure;
      return;
    }
    exit_code = parsed->problems.empty() ? kExitSuccess : PrintProblems(parsed->problems);
    if (exit_code == kExitSuccess) PrintNote(*path + " is right");
  });
}

}  // namespace foretoken
