#ifndef FORETOKEN_FORETOKEN_BENCH_MODELS_H_
#define FORETOKEN_FORETOKEN_BENCH_MODELS_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "foretoken/options.h"
#include "foretoken/status.h"
#include "model/loaded_model.h"

namespace foretoken {

// Every model that a manager has loaded, by path, so that a bench can look at the target's tokens
// and rows itself. Any thread may call it.
class ModelTable {
 public:
  explicit ModelTable(std::unique_ptr<ModelLoader> loader) : loader_(std::move(loader)) {}

  Result<std::shared_ptr<LoadedModel>> Load(const ModelConfig& config) FORETOKEN_EXCLUDES(mutex_);

 private:
  const std::unique_ptr<ModelLoader> loader_;
  Mutex mutex_;
  std::map<std::pair<std::string, CpuKernels>, std::shared_ptr<LoadedModel>> models_
      FORETOKEN_GUARDED_BY(mutex_);
};

// The loader of a manager whose models a bench shares.
class TableLoader : public ModelLoader {
 public:
  explicit TableLoader(std::shared_ptr<ModelTable> table) : table_(std::move(table)) {}
  Result<std::shared_ptr<LoadedModel>> Load(const ModelConfig& config) override {
    return table_->Load(config);
  }

 private:
  const std::shared_ptr<ModelTable> table_;  // second owner: the bench
};

// The tokens that `run` would send for the prompt `text`, as it is or as a user's message.
Result<std::vector<TokenId>> PromptTokens(const LoadedModel& model, const std::string& text,
                                          bool raw);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_MODELS_H_
