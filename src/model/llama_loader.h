#ifndef FORETOKEN_MODEL_LLAMA_LOADER_H_
#define FORETOKEN_MODEL_LLAMA_LOADER_H_

#include <memory>

#include "model/loaded_model.h"

namespace foretoken {

// Loads GGUF files with llama.cpp, as they are: a corrupt file can end the process, so callers
// that do not trust a file check it first (model_check.h). Weights are memory-mapped where the
// kernels in use do not want them repacked. Each Load is a copy of its own; sharing is above.
std::unique_ptr<ModelLoader> NewLlamaLoader();

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_LLAMA_LOADER_H_
