#ifndef FORETOKEN_FORETOKEN_MODEL_PATH_H_
#define FORETOKEN_FORETOKEN_MODEL_PATH_H_

#include <string>

#include "foretoken/status.h"

namespace foretoken {

// The GGUF file that a user means: a path, or the name of a pulled model. NOT_FOUND says where was
// looked and how to get the model.
Result<std::string> ResolveModel(const std::string& name_or_path);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_MODEL_PATH_H_
