#ifndef FORETOKEN_FORETOKEN_CONSOLE_H_
#define FORETOKEN_FORETOKEN_CONSOLE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "foretoken/status.h"

namespace foretoken {

// Errors and warnings go to standard error, one line each, as "foretoken: message".
void PrintError(std::string_view message);
void PrintWarning(std::string_view message);
// A line on standard error as it is: figures, progress, hints.
void PrintNote(std::string_view line);

// Writes at once, so that a reader sees text as it comes. CANCELLED when the reader has closed its
// end, which is no error of ours; INTERNAL with the system's reason otherwise (a full disk).
Status WriteOutput(std::string_view text);

// Everything up to the end of a file, or of standard input for "-".
// NOT_FOUND, PERMISSION_DENIED or INTERNAL name the path.
Result<std::string> ReadInput(const std::string& path);

// The offset of the first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7);
// empty when all of it is.
std::optional<size_t> FindInvalidUtf8(std::string_view text);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_CONSOLE_H_
