#ifndef FORETOKEN_MODEL_CACHE_FILES_H_
#define FORETOKEN_MODEL_CACHE_FILES_H_

#include <optional>
#include <string>
#include <string_view>

#include "foretoken/status.h"

namespace foretoken {

// ${XDG_CACHE_HOME:-$HOME/.cache}/foretoken; FAILED_PRECONDITION when neither variable is set.
// Not created.
Result<std::string> CacheDirectory();

// What was last written for `key` in `directory`; absent when nothing was, or when the file cannot
// be read or is not what was written. Any thread and process may call both at once.
std::optional<std::string> ReadCacheEntry(const std::string& directory, std::string_view key);

// Creates `directory` where it is missing and puts the entry there in one step, so that a reader
// sees the old one or the new one. Fails with what the operating system says.
Status WriteCacheEntry(const std::string& directory, std::string_view key, std::string_view value);

// Where an entry lies, for messages.
std::string CacheEntryPath(const std::string& directory, std::string_view key);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_CACHE_FILES_H_
