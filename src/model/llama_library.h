#ifndef FORETOKEN_MODEL_LLAMA_LIBRARY_H_
#define FORETOKEN_MODEL_LLAMA_LIBRARY_H_

#include <ggml-cpu.h>
#include <llama.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "foretoken/options.h"
#include "kernels/thread_team.h"

// What all of llama.cpp in the process shares: its handles, its log and its worker threads.
// Included by src/model/llama_* only.
namespace foretoken {

// One wrapper for every C handle: move-only, freed once.
template <auto kFree>
struct LlamaFree {
  template <typename T>
  void operator()(T* handle) const {
    kFree(handle);
  }
};
using LlamaContextHandle = std::unique_ptr<llama_context, LlamaFree<llama_free>>;
using LlamaThreadPoolHandle = std::unique_ptr<ggml_threadpool, LlamaFree<ggml_threadpool_free>>;

// A model in memory, kept by all that use its weights: the LoadedModel, back ends and adapters.
class LlamaWeights {
 public:
  LlamaWeights(llama_model* model, CpuKernels kernels) : kernels_(kernels), model_(model) {}

  llama_model* model() const { return model_.get(); }
  // What they were laid out for: their forwards run on the same.
  CpuKernels kernels() const { return kernels_; }

  // llama.cpp lists a model's adapters in the model, and reads the list where a context lays its
  // buffers out: when it is made and in its first forward with another adapter.
  Mutex adapters_mutex;

 private:
  const CpuKernels kernels_;
  std::unique_ptr<llama_model, LlamaFree<llama_model_free>> model_;
};

// Starts the library and takes its log over. Any thread, any number of times.
void InitializeLlama();

// llama.cpp explains failures in log lines only. Clear before a call that may fail; afterwards take
// the first error that it logged on this thread, as " (reason)" to follow a message of ours, or "".
void ClearLlamaError();
std::string TakeLlamaError();

// Gives everything that llama.cpp logs on this thread to a function, piece by piece, besides the
// log. One at a time on a thread.
class LlamaLogTap {
 public:
  using Function = std::function<void(std::string_view text)>;
  explicit LlamaLogTap(Function function);
  ~LlamaLogTap();
  LlamaLogTap(const LlamaLogTap&) = delete;
  LlamaLogTap& operator=(const LlamaLogTap&) = delete;

 private:
  const Function function_;
};

// ggml's worker threads of all contexts with so many threads; they outlive every context. Null when
// they cannot be started. Any thread may call it; a
// forward uses it in its turn on the device.
ggml_threadpool* SharedThreadPool(int32_t threads);
// The same for contexts on kernels of our own.
ThreadTeam& SharedThreadTeam(int32_t threads);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_LLAMA_LIBRARY_H_
