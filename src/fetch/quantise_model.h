#ifndef FORETOKEN_FETCH_QUANTISE_MODEL_H_
#define FORETOKEN_FETCH_QUANTISE_MODEL_H_

#include <cstdint>
#include <string>

#include "fetch/fetch_observer.h"
#include "fetch/part_file.h"
#include "foretoken/status.h"
#include "model/quantisation.h"

namespace foretoken {

struct QuantiseOptions {
  QuantiseRequest request;
  bool replaces = false;   // a file that has the output's name
  std::string probe_path;  // see FindProbe
  DiskOperations disk = SystemDisk();
};

struct QuantisedModel {
  uint64_t bytes = 0;
  std::string sha256;
};

// Makes a copy of a model file whose weights are stored in another way, by llama.cpp's quantiser in
// a process of its own. The input is checked as before a load. What is made lies in OUTPUT.part
// until it was found to be the whole model, stored as asked, and ran a token: so OUTPUT is complete
// or as it was, and OUTPUT.part is gone afterwards. The observer's progress counts the input's
// bytes. Who may write the same output at the same time must exclude each other with a FileLock.
// INVALID_ARGUMENT: input and output are one file, or the importance matrix is another model's;
// FAILED_PRECONDITION: the output exists; RESOURCE_EXHAUSTED: the disk is full; CANCELLED; those of
// CheckModelFile, of ReadImportanceMatrix and what llama.cpp reports; DATA_LOSS: a wrong result.
Result<QuantisedModel> QuantiseModel(const QuantiseOptions& options, const FetchObserver& observer);

}  // namespace foretoken

#endif  // FORETOKEN_FETCH_QUANTISE_MODEL_H_
