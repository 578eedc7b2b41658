#include "models_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/macros.h"
#include "fetch/part_file.h"
#include "model/model_catalogue.h"
#include "model/model_store.h"
#include "progress_bar.h"

namespace foretoken {
namespace {

struct ModelsFlags {
  bool json = false;
  bool verify = false;
};

void PrintJson(const std::vector<StoredModel>& models) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const StoredModel& model : models) {
    list.push_back({{"name", model.name},
                    {"path", model.path},
                    {"bytes", model.bytes},
                    {"sha256", model.sha256}});
  }
  using Handler = nlohmann::ordered_json::error_handler_t;
  fmt::print("{}\n", list.dump(2, ' ', false, Handler::replace));
}

void PrintTable(const std::vector<StoredModel>& models, const ModelCatalogue& catalogue,
                const std::string& directory) {
  size_t width = 4;
  for (const StoredModel& model : models) width = std::max(width, model.name.size());
  for (const CatalogueEntry& entry : catalogue.entries()) {
    width = std::max(width, entry.name.size());
  }
  fmt::print("{:<{}}  {:>9}  {:<12}  {}\n", "NAME", width, "SIZE", "SHA-256", "STATE");
  for (const StoredModel& model : models) {
    const CatalogueEntry* entry = catalogue.Find(model.name);
    const bool differs = entry != nullptr && !IsEntry(model, *entry, catalogue);
    fmt::print("{:<{}}  {:>9}  {:<12}  {}\n", model.name, width, FormatBytes(model.bytes),
               model.sha256.substr(0, 12),
               differs ? "not what the catalogue says: foretoken pull " + model.name
                       : std::string("pulled"));
  }
  for (const CatalogueEntry& entry : catalogue.entries()) {
    const bool pulled = std::any_of(models.begin(), models.end(), [&entry](const StoredModel& m) {
      return m.name == entry.name;
    });
    if (pulled) continue;
    fmt::print("{:<{}}  {:>9}  {:<12}  foretoken pull {}\n", entry.name, width,
               FormatBytes(entry.bytes), entry.sha256.substr(0, 12), entry.name);
  }
  fmt::print("Models lie in {}\n", directory);
}

Status Models(const ModelsFlags& flags) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::string directory, ModelStore::DefaultDirectory());
  const ModelStore store(directory);
  FORETOKEN_ASSIGN_OR_RETURN(const std::vector<StoredModel> models, store.List());
  Status verdict;
  if (flags.verify) {
    for (const StoredModel& model : models) {
      ProgressBar bar(model.name, stderr, isatty(STDERR_FILENO) == 1);
      const Status status =
          store.Verify(model.name, [&](uint64_t bytes) { bar.Update(bytes, model.bytes); });
      if (status.ok()) continue;
      bar.Line("foretoken: " + status.message());
      verdict = DataLossError("a model is damaged; pull it again");
    }
  }
  if (flags.json) {
    PrintJson(models);
    return verdict;
  }
  FORETOKEN_ASSIGN_OR_RETURN(const ModelCatalogue catalogue, ModelCatalogue::Load());
  PrintTable(models, catalogue, directory);
  return verdict;
}

}  // namespace

void AddModelsCommand(CLI::App& app, int& exit_code) {
  CLI::App* models = app.add_subcommand("models", "List the models that are here");
  auto flags = std::make_shared<ModelsFlags>();  // the callback and the parser both hold it
  models->add_flag("--json", flags->json,
                   "Print an array of objects (name, path, bytes, sha256) of the pulled models");
  models->add_flag("--verify", flags->verify,
                   "Hash every file again; exit code 1 when one is damaged");
  models->callback([flags, &exit_code] {
    const Status status = Models(*flags);
    exit_code = status.ok() ? 0 : 1;
    if (!status.ok()) fmt::print(stderr, "foretoken: {}\n", status.message());
  });
}

}  // namespace foretoken
