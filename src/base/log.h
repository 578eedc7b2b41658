#ifndef FORETOKEN_BASE_LOG_H_
#define FORETOKEN_BASE_LOG_H_

#include <functional>
#include <string_view>

namespace foretoken {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Receives one message without a line end. May be called from any thread, one call at a time.
using LogSink = std::function<void(LogLevel level, std::string_view message)>;

// Replaces the process's sink; an empty one drops everything, which is the default: the library
// itself never prints. Any thread may call it.
void SetLogSink(LogSink sink);
void Log(LogLevel level, std::string_view message);

}  // namespace foretoken

#endif  // FORETOKEN_BASE_LOG_H_
