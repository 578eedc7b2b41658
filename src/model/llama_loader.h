#ifndef FORETOKEN_MODEL_LLAMA_LOADER_H_
#define FORETOKEN_MODEL_LLAMA_LOADER_H_

#include <memory>

#include "model/loaded_model.h"

namespace foretoken {

// Loads with llama.cpp and without CheckModelFile: a broken file may end the process.
std::unique_ptr<ModelLoader> NewLlamaLoader();

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_LLAMA_LOADER_H_
