#ifndef FORETOKEN_FETCH_FILE_ERROR_H_
#define FORETOKEN_FETCH_FILE_ERROR_H_

#include <string>

#include "foretoken/status.h"

namespace foretoken {

// What errno `error` says about `path`: NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED (disk or
// quota full, file too large for the file system) or INTERNAL.
Status FileError(int error, const std::string& path);

}  // namespace foretoken

#endif  // FORETOKEN_FETCH_FILE_ERROR_H_
