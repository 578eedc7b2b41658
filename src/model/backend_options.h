#ifndef FORETOKEN_MODEL_BACKEND_OPTIONS_H_
#define FORETOKEN_MODEL_BACKEND_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "foretoken/options.h"
#include "foretoken/status.h"

namespace foretoken {

class DeviceClient;
struct KernelReport;

// A tensor that a forward computed. Valid during the call only.
struct TensorView {
  std::string_view operation;
  std::string_view name;
  std::span<const float> values;  // those of a row follow each other, row after row
};

// Sees what a forward computes, tensor by tensor; slow while it is wanted.
struct TensorObserver {
  bool wanted = false;
  std::function<void(const TensorView&)> see;  // every tensor of floats, in the order of computing
};

struct BackendOptions {
  int32_t context_tokens = 0;  // the longest sequence; 0: the model's own, at most 8,192
  // Cells of the KV cache, shared by all sequences; at least context_tokens, and it may be more
  // than the model was trained for. 0: as many as context_tokens.
  int32_t kv_cache_tokens = 0;
  int32_t max_sequences = 1;
  int32_t max_batch_rows = 512;
  int32_t max_logits_rows = 64;
  int32_t threads = 0;  // 0: as ModelConfig::threads
  CacheType cache_type = CacheType::kF16;
  bool flash_attention = true;  // stock kernels only: ours have nothing else
  // Asked between the operations of a forward; true ends it with CANCELLED. May be empty.
  std::function<bool()> should_abort = {};
  // Whose turns on the device the forwards are (device_arbiter.h): one client for all contexts of
  // an engine. Null: a client of its own.
  std::shared_ptr<DeviceClient> device = nullptr;
  // Null: nobody looks.
  std::shared_ptr<TensorObserver> tensor_observer = nullptr;
  // Where our kernels add up what they do, for benches. Null: nowhere, at no cost.
  std::shared_ptr<KernelReport> kernel_report = nullptr;
};

// The options with the zeros of the context and the cache replaced and the limits brought into the
// ranges that they bound each other by. INVALID_ARGUMENT for what cannot be: a context longer than
// the model was trained for (0: unknown), a cache smaller than the context, no sequences.
Result<BackendOptions> ResolveBackendOptions(BackendOptions options,
                                             int32_t trained_context_tokens);

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_BACKEND_OPTIONS_H_
