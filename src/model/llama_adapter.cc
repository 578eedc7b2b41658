#include "model/llama_adapter.h"

#include <exception>

#include <fmt/format.h>

#include "base/macros.h"
#include "model/gguf_adapter_check.h"
#include "model/gguf_reader.h"

namespace foretoken {

LlamaAdapter::~LlamaAdapter() {
  MutexLock lock(weights_->adapters_mutex);
  llama_adapter_lora_free(handle_);
}

Result<std::shared_ptr<LoadedAdapter>> LoadLlamaAdapter(std::shared_ptr<LlamaWeights> weights,
                                                        const std::string& model_path,
                                                        const std::string& path) {
  FORETOKEN_ASSIGN_OR_RETURN(const GgufFile adapter, ReadGgufFile(path));
  FORETOKEN_ASSIGN_OR_RETURN(const GgufFile model, ReadGgufFile(model_path));
  FORETOKEN_RETURN_IF_ERROR(CheckGgufAdapter(adapter, model));
  ClearLlamaError();
  try {
    llama_adapter_lora* handle = nullptr;
    {
      MutexLock lock(weights->adapters_mutex);
      handle = llama_adapter_lora_init(weights->model(), path.c_str());
    }
    if (handle != nullptr) {
      return std::shared_ptr<LoadedAdapter>(
          std::make_shared<LlamaAdapter>(std::move(weights), handle));
    }
  } catch (const std::exception& error) {
    return DataLossError(fmt::format("{}: llama.cpp cannot load it ({})", path, error.what()));
  }
  return DataLossError(fmt::format("{}: llama.cpp cannot load it{}", path, TakeLlamaError()));
}

}  // namespace foretoken
