#ifndef FORETOKEN_MODEL_GGUF_ADAPTER_CHECK_H_
#define FORETOKEN_MODEL_GGUF_ADAPTER_CHECK_H_

#include "foretoken/status.h"
#include "model/gguf_file.h"

namespace foretoken {

// Whether a well-formed GGUF file is a LoRA adapter for the model in `model` that can be given to
// llama.cpp: its keys have the types and its tensors the shapes that llama.cpp's assertions ask
// for. INVALID_ARGUMENT: no LoRA adapter, or one for another model; DATA_LOSS: a broken one;
// UNIMPLEMENTED: forms that are not run. Messages name the key or tensor and what would be right.
Status CheckGgufAdapter(const GgufFile& adapter, const GgufFile& model);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_GGUF_ADAPTER_CHECK_H_
