#ifndef FORETOKEN_MODEL_IMPORTANCE_MATRIX_H_
#define FORETOKEN_MODEL_IMPORTANCE_MATRIX_H_

#include <map>
#include <string>
#include <vector>

#include "foretoken/status.h"

namespace foretoken {

// By tensor name: how much each of its columns matters, the mean square of what was multiplied with
// it; for a mixture's tensor, all columns for every expert in turn.
using ImportanceMatrix = std::map<std::string, std::vector<float>, std::less<>>;

// Reads what llama.cpp's llama-imatrix writes, as GGUF or in the older format of its own. Believes
// no number before it is checked. NOT_FOUND, PERMISSION_DENIED, or DATA_LOSS with the file and what
// is wrong. Any thread may call it.
Result<ImportanceMatrix> ReadImportanceMatrix(const std::string& path);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_IMPORTANCE_MATRIX_H_
