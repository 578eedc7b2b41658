#ifndef FORETOKEN_MODEL_FILE_IDENTITY_H_
#define FORETOKEN_MODEL_FILE_IDENTITY_H_

#include <cstdint>
#include <functional>
#include <string>

#include "foretoken/status.h"

namespace foretoken {

// The SHA-256 of a file, 64 lower-case hexadecimal digits, from the cache below CacheDirectory()
// when the file has the path, size, modification time and inode it was computed for; computed
// otherwise, with `progress` told the bytes read so far. A cache that cannot be read or written
// costs a computation and no error. Any thread and process may call it at once.
// Fails as Sha256OfFile does, and with FAILED_PRECONDITION when the file changed while it was read.
Result<std::string> CachedSha256OfFile(const std::string& path,
                                       const std::function<void(uint64_t bytes)>& progress = {});

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_FILE_IDENTITY_H_
