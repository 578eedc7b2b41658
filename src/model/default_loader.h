#ifndef FORETOKEN_MODEL_DEFAULT_LOADER_H_
#define FORETOKEN_MODEL_DEFAULT_LOADER_H_

#include <memory>

#include "foretoken/status.h"
#include "model/loaded_model.h"

namespace foretoken {

// The loader a process normally uses: files are checked, loaded by the built-in back end and
// shared by content. UNIMPLEMENTED in a build without a back end.
Result<std::unique_ptr<ModelLoader>> NewDefaultLoader();

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_DEFAULT_LOADER_H_
