#ifndef FORETOKEN_MODEL_GGUF_MODEL_CHECK_H_
#define FORETOKEN_MODEL_GGUF_MODEL_CHECK_H_

#include "foretoken/status.h"
#include "model/gguf_file.h"

namespace foretoken {

// Whether a well-formed GGUF file describes a language model that can be given to llama.cpp: the
// keys it needs are there, agree with each other and are in the ranges that its assertions ask for.
// DATA_LOSS: keys that contradict each other; INVALID_ARGUMENT: not a language model (an adapter, a
// vocabulary); UNIMPLEMENTED: split files and other forms that are not read. Messages name the key
// and what would be right.
Status CheckGgufModel(const GgufFile& file);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_GGUF_MODEL_CHECK_H_
