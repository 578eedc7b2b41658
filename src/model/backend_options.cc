#include "model/backend_options.h"

#include <algorithm>

#include <fmt/format.h>

namespace foretoken {

Result<BackendOptions> ResolveBackendOptions(BackendOptions options,
                                             int32_t trained_context_tokens) {
  constexpr int32_t kDefaultContext = 8192;
  if (options.context_tokens <= 0) {
    options.context_tokens = trained_context_tokens > 0
                                 ? std::min(trained_context_tokens, kDefaultContext)
                                 : kDefaultContext;
  }
  if (trained_context_tokens > 0 && options.context_tokens > trained_context_tokens) {
    return InvalidArgumentError(
        fmt::format("a context of {} tokens is more than the {} the model was trained for",
                    options.context_tokens, trained_context_tokens));
  }
  if (options.kv_cache_tokens <= 0) options.kv_cache_tokens = options.context_tokens;
  if (options.kv_cache_tokens < options.context_tokens) {
    return InvalidArgumentError(fmt::format("a KV cache of {} tokens cannot hold one context of {}",
                                            options.kv_cache_tokens, options.context_tokens));
  }
  if (options.max_sequences < 1) {
    return InvalidArgumentError(
        fmt::format("max_sequences is {}; it must be at least 1", options.max_sequences));
  }
  options.max_batch_rows = std::clamp(options.max_batch_rows, 1, options.kv_cache_tokens);
  options.max_logits_rows = std::clamp(options.max_logits_rows, 1, options.max_batch_rows);
  return options;
}

}  // namespace foretoken
