#ifndef FORETOKEN_MODEL_LLAMA_BACKEND_H_
#define FORETOKEN_MODEL_LLAMA_BACKEND_H_

#include <memory>

#include "model/backend_options.h"
#include "model/llama_library.h"
#include "model/model_backend.h"

namespace foretoken {

// A llama.cpp context behind the ModelBackend seam: one KV cache for all sequences, every size
// checked before llama.cpp sees it, because its own checks end the process.
Result<std::unique_ptr<ModelBackend>> NewLlamaBackend(std::shared_ptr<LlamaWeights> weights,
                                                      const BackendOptions& options);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_LLAMA_BACKEND_H_
