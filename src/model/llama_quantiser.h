#ifndef FORETOKEN_MODEL_LLAMA_QUANTISER_H_
#define FORETOKEN_MODEL_LLAMA_QUANTISER_H_

#include <cstdint>
#include <functional>
#include <string_view>

#include "foretoken/status.h"
#include "model/quantisation.h"

namespace foretoken {

// How QuantiseWithLlama tells what it does, on the calling thread; each may be empty.
struct QuantiseObserver {
  // Before anything is written: what all tensors will take, to a hundredth of a MiB; not called
  // where that is not known.
  std::function<void(uint64_t bytes)> tensor_bytes;
  // The tensor that is begun.
  std::function<void(std::string_view name)> tensor;
};

// Writes the model at request.input_path, stored as the request says, to request.output_path, which
// is replaced. llama.cpp aborts on some files: for the probe only, which is a process of its own.
// Errors: those of ReadImportanceMatrix, and INTERNAL with llama.cpp's reason. The output is to be
// checked: llama.cpp does not notice when the disk is full.
Status QuantiseWithLlama(const QuantiseRequest& request, const QuantiseObserver& observer);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_LLAMA_QUANTISER_H_
