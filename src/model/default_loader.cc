#include "model/default_loader.h"

#ifdef FORETOKEN_HAVE_LLAMA
#include <utility>

#include "model/file_identity.h"
#include "model/llama_loader.h"
#include "model/model_check.h"
#include "model/weight_store.h"
#endif

namespace foretoken {

Result<std::unique_ptr<ModelLoader>> NewDefaultLoader() {
#ifdef FORETOKEN_HAVE_LLAMA
  return std::unique_ptr<ModelLoader>(std::make_unique<WeightStore>(
      NewLlamaLoader(), [](const std::string& path) { return CachedSha256OfFile(path); },
      [](const std::string& path) { return CheckModelFile(path, {}); }));
#else
  return UnimplementedError("this build has no model back end (FORETOKEN_LLAMA=OFF)");
#endif
}

}  // namespace foretoken
