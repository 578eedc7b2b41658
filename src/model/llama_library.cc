#include "model/llama_library.h"

#include <map>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "kernels/ggml_plugin.h"

namespace foretoken {
namespace {

// The first error since it was cleared.
thread_local std::string last_llama_error;  // NOLINT: a C callback has no other place for it

thread_local const LlamaLogTap::Function* log_tap = nullptr;  // NOLINT: likewise

// Warnings about what is meant to be: a cache longer than one sequence may be, and an adapter that
// is not in the layout of the matrix it changes (one line for each).
bool SaysNothing(std::string_view line) {
  return line.find("possible training context overflow") != line.npos ||
         line.find("fallback to CPU") != line.npos;
}

void ForwardLog(ggml_log_level level, const char* text, void* /*user_data*/) {
  if (log_tap != nullptr) (*log_tap)(text);
  std::string_view line(text);
  while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  if (line.empty()) return;
  if (level == GGML_LOG_LEVEL_WARN && SaysNothing(line)) level = GGML_LOG_LEVEL_DEBUG;
  // The first one names the cause; those after it say that something failed.
  if (level == GGML_LOG_LEVEL_ERROR && last_llama_error.empty()) last_llama_error = line;
  Log(level == GGML_LOG_LEVEL_ERROR  ? LogLevel::kError
      : level == GGML_LOG_LEVEL_WARN ? LogLevel::kWarning
                                     : LogLevel::kDebug,
      line);
}

template <typename Threads>
struct ByThreads {
  Mutex mutex;
  std::map<int32_t, Threads> by_threads FORETOKEN_GUARDED_BY(mutex);
};

}  // namespace

void InitializeLlama() {
  static const bool initialized = [] {
    llama_log_set(ForwardLog, nullptr);
    llama_backend_init();
    RegisterGgmlKernels();
    return true;
  }();
  static_cast<void>(initialized);
}

void ClearLlamaError() {
  last_llama_error.clear();
}

std::string TakeLlamaError() {
  std::string reason = std::exchange(last_llama_error, {});
  return reason.empty() ? "" : " (" + reason + ")";
}

LlamaLogTap::LlamaLogTap(Function function) : function_(std::move(function)) {
  log_tap = &function_;
}

LlamaLogTap::~LlamaLogTap() {
  log_tap = nullptr;
}

ggml_threadpool* SharedThreadPool(int32_t threads) {
  static ByThreads<LlamaThreadPoolHandle> pools;
  MutexLock lock(pools.mutex);
  LlamaThreadPoolHandle& pool = pools.by_threads[threads];
  if (!pool) {
    ggml_threadpool_params params = ggml_threadpool_params_default(threads);
    params.poll = 0;
    pool.reset(ggml_threadpool_new(&params));
  }
  return pool.get();
}

ThreadTeam& SharedThreadTeam(int32_t threads) {
  static ByThreads<std::unique_ptr<ThreadTeam>> teams;
  MutexLock lock(teams.mutex);
  std::unique_ptr<ThreadTeam>& team = teams.by_threads[threads];
  if (!team) team = std::make_unique<ThreadTeam>(threads);
  return *team;
}

}  // namespace foretoken
