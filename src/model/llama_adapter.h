#ifndef FORETOKEN_MODEL_LLAMA_ADAPTER_H_
#define FORETOKEN_MODEL_LLAMA_ADAPTER_H_

#include <memory>
#include <string>
#include <utility>

#include "model/llama_library.h"
#include "model/model_backend.h"

namespace foretoken {

// A LoRA adapter in llama.cpp's memory. Immutable; any thread may hold it. It keeps its model's
// weights; back ends that use it must leave it before it goes.
class LlamaAdapter : public LoadedAdapter {
 public:
  LlamaAdapter(std::shared_ptr<LlamaWeights> weights, llama_adapter_lora* handle)
      : weights_(std::move(weights)), handle_(handle) {}
  LlamaAdapter(const LlamaAdapter&) = delete;
  LlamaAdapter& operator=(const LlamaAdapter&) = delete;
  ~LlamaAdapter() override;

  const LlamaWeights& weights() const { return *weights_; }
  llama_adapter_lora* handle() const { return handle_; }

 private:
  const std::shared_ptr<LlamaWeights> weights_;
  llama_adapter_lora* const handle_;
};

// Reads the adapter file at `path`, which must be one for the model file at `model_path`; checked
// before llama.cpp sees it (gguf_adapter_check.h).
Result<std::shared_ptr<LoadedAdapter>> LoadLlamaAdapter(std::shared_ptr<LlamaWeights> weights,
                                                        const std::string& model_path,
                                                        const std::string& path);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_LLAMA_ADAPTER_H_
