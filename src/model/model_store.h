#ifndef FORETOKEN_MODEL_MODEL_STORE_H_
#define FORETOKEN_MODEL_MODEL_STORE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/status.h"
#include "model/model_catalogue.h"

namespace foretoken {

struct StoredModel {
  std::string name;
  std::string path;  // NAME.gguf in the store; a symbolic link for a model pulled by its path
  uint64_t bytes = 0;
  std::string sha256;
  std::string source;  // "hub: ...", "path: ...", "derived: ...", "" when put there by hand
};

// Whether a model is what an entry of the catalogue says it is: by its hash, or, where it is
// derived, by what it was made of and how.
bool IsEntry(const StoredModel& model, const CatalogueEntry& entry,
             const ModelCatalogue& catalogue);

// The directory of pulled models: NAME.gguf and, beside it, NAME.json with its size, hash and
// source, so that listing reads no weights. A file put there by hand is hashed once and adopted.
// Holds no state but the directory's name: any thread and any process may use it at the same time.
// Errors name the file; a NAME.json that is missing, stale or damaged is made anew.
class ModelStore {
 public:
  using Progress = std::function<void(uint64_t bytes)>;

  explicit ModelStore(std::string directory) : directory_(std::move(directory)) {}

  // FORETOKEN_MODELS_DIR, or foretoken/models in XDG_DATA_HOME or in ~/.local/share.
  // FAILED_PRECONDITION when none of these variables, nor HOME, is set.
  static Result<std::string> DefaultDirectory();

  const std::string& directory() const { return directory_; }
  std::string FilePath(std::string_view name) const;

  // Every model that can be read, by name. One that cannot is left out, with a warning in the log.
  // Empty when the directory does not exist.
  Result<std::vector<StoredModel>> List() const;
  // NOT_FOUND when the name is not there, also when its link leads nowhere. `progress` is told the
  // bytes read when the file has to be hashed.
  Result<StoredModel> Find(std::string_view name, const Progress& progress = {}) const;
  // The path of what follows -m: a pulled model's name or a file's path. NOT_FOUND says which
  // names are near, and what to pull when `catalogue` (may be null) knows the name.
  Result<std::string> Resolve(std::string_view name_or_path, const ModelCatalogue* catalogue) const;
  // Hashes the file again. DATA_LOSS when it is not what NAME.json says.
  Status Verify(std::string_view name, const Progress& progress = {}) const;

  // Writes NAME.json for the file that is in place. `model.path` is ignored.
  Status Record(const StoredModel& model) const;
  // Enters the file at `path` as `model.name` through a symbolic link, with its size and hash:
  // nothing is copied, and the model is gone when the file goes.
  Status Link(const StoredModel& model, const std::string& path) const;
  // Creates the directory with its parents.
  Status EnsureDirectory() const;

 private:
  std::string SidecarPath(std::string_view name) const;

  std::string directory_;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_MODEL_STORE_H_
