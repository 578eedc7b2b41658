#ifndef FORETOKEN_MODEL_LLAMA_CELL_POSITIONS_H_
#define FORETOKEN_MODEL_LLAMA_CELL_POSITIONS_H_

#include <llama.h>

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "kernels/ggml_forward.h"

class llama_kv_cache;

namespace foretoken {

// Which token's keys and values lie in which cell of a llama.cpp context's KV cache, read from the
// library's own table. Knows the plain caches, those with a sliding window and those beside a
// recurrent state; of others it knows nothing.
// One thread at a time. The context must outlive it.
class LlamaCellPositions : public CellPositions {
 public:
  explicit LlamaCellPositions(llama_memory_t memory);

  bool Knows(const ggml_tensor& tensor) const override;
  std::span<const int32_t> Of(const ggml_tensor& keys, int64_t cells) override;

 private:
  void AddCache(const llama_kv_cache* cache);

  std::map<const ggml_tensor*, const llama_kv_cache*> cache_of_;  // by the tensor of all its cells
  std::vector<int32_t> positions_;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_LLAMA_CELL_POSITIONS_H_
