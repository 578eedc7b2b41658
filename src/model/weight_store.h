#ifndef FORETOKEN_MODEL_WEIGHT_STORE_H_
#define FORETOKEN_MODEL_WEIGHT_STORE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "model/loaded_model.h"

namespace foretoken {

// Loads each model file once per content and kernels and shares it with everyone who names it, by
// whatever path; unloads it when the last of them is gone. A file is checked before its first load.
// Any thread may call it; two that ask for the same content at once wait for one load.
class WeightStore : public ModelLoader {
 public:
  // What identifies a file's content: its SHA-256.
  using Identify = std::function<Result<std::string>(const std::string& path)>;
  // Whether a file is safe to give to `loader`.
  using Check = std::function<Status(const std::string& path)>;

  WeightStore(std::unique_ptr<ModelLoader> loader, Identify identify, Check check);

  Result<std::shared_ptr<LoadedModel>> Load(const ModelConfig& config) override;

 private:
  struct Entry {
    Mutex mutex;  // held while the content loads
    std::weak_ptr<LoadedModel> model FORETOKEN_GUARDED_BY(mutex);
  };

  const std::unique_ptr<ModelLoader> loader_;
  const Identify identify_;
  const Check check_;
  Mutex mutex_;
  // Second owner of an entry: the thread that loads it.
  std::map<std::pair<std::string, CpuKernels>, std::shared_ptr<Entry>> entries_
      FORETOKEN_GUARDED_BY(mutex_);
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_WEIGHT_STORE_H_
