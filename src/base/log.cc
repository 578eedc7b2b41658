#include "base/log.h"

#include <memory>
#include <utility>

#include "base/mutex.h"

namespace foretoken {
namespace {

struct SinkHolder {
  Mutex mutex;
  LogSink sink FORETOKEN_GUARDED_BY(mutex);
};

// Never destroyed: a library's thread may log while the process exits.
SinkHolder& Holder() {
  static SinkHolder& holder = *std::make_unique<SinkHolder>().release();
  return holder;
}

}  // namespace

void SetLogSink(LogSink sink) {
  SinkHolder& holder = Holder();
  MutexLock lock(holder.mutex);
  holder.sink = std::move(sink);
}

void Log(LogLevel level, std::string_view message) {
  SinkHolder& holder = Holder();
  MutexLock lock(holder.mutex);
  if (holder.sink) holder.sink(level, message);
}

}  // namespace foretoken
