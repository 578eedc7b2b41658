#include "model/llama_cell_positions.h"

// llama.cpp's own headers, of the pinned version: its public ones do not tell.
#include <llama-kv-cache-iswa.h>
#include <llama-kv-cache.h>
#include <llama-memory-hybrid-iswa.h>
#include <llama-memory-hybrid.h>

#include <algorithm>

namespace foretoken {

LlamaCellPositions::LlamaCellPositions(llama_memory_t memory) {
  const llama_kv_cache_iswa* windowed = dynamic_cast<const llama_kv_cache_iswa*>(memory);
  if (const auto* hybrid = dynamic_cast<const llama_memory_hybrid_iswa*>(memory)) {
    windowed = hybrid->get_mem_attn();
  }
  if (windowed != nullptr) {
    AddCache(windowed->get_base());
    AddCache(windowed->get_swa());
  } else if (const auto* mixed = dynamic_cast<const llama_memory_hybrid*>(memory)) {
    AddCache(mixed->get_mem_attn());
  } else if (const auto* cache = dynamic_cast<const llama_kv_cache*>(memory)) {
    AddCache(cache);
  }
}

void LlamaCellPositions::AddCache(const llama_kv_cache* cache) {
  if (cache->get_n_stream() != 1) return;  // one table a sequence: not how we make contexts
  for (const uint32_t layer : cache->get_layer_ids()) {
    cache_of_.emplace(cache->get_k_storage(static_cast<int32_t>(layer)), cache);
  }
}

bool LlamaCellPositions::Knows(const ggml_tensor& tensor) const {
  return cache_of_.contains(tensor.view_src);
}

std::span<const int32_t> LlamaCellPositions::Of(const ggml_tensor& keys, int64_t cells) {
  const auto found = cache_of_.find(keys.view_src);
  if (found == cache_of_.end()) return {};
  const llama_kv_cells& table = found->second->get_cells(0);
  positions_.assign(static_cast<size_t>(cells), -1);
  const int64_t known = std::min<int64_t>(cells, table.size());
  for (int64_t i = 0; i < known; ++i) {
    const auto cell = static_cast<uint32_t>(i);
    if (!table.is_empty(cell)) positions_[static_cast<size_t>(i)] = table.pos_get(cell);
  }
  return positions_;
}

}  // namespace foretoken
