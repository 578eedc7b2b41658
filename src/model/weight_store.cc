#include "model/weight_store.h"

#include <utility>

#include "base/macros.h"

namespace foretoken {

WeightStore::WeightStore(std::unique_ptr<ModelLoader> loader, Identify identify, Check check)
    : loader_(std::move(loader)), identify_(std::move(identify)), check_(std::move(check)) {}

Result<std::shared_ptr<LoadedModel>> WeightStore::Load(const ModelConfig& config) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::string content, identify_(config.path));
  std::shared_ptr<Entry> entry;
  {
    MutexLock lock(mutex_);
    std::shared_ptr<Entry>& slot = entries_[{content, config.kernels}];
    if (!slot) slot = std::make_shared<Entry>();
    entry = slot;
  }
  MutexLock lock(entry->mutex);
  if (std::shared_ptr<LoadedModel> model = entry->model.lock()) return model;
  FORETOKEN_RETURN_IF_ERROR(check_(config.path));
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<LoadedModel> model, loader_->Load(config));
  entry->model = model;
  return model;
}

}  // namespace foretoken
