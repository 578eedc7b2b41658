#ifndef FORETOKEN_ENGINE_ENGINE_REQUEST_H_
#define FORETOKEN_ENGINE_ENGINE_REQUEST_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/draft_context.h"
#include "engine/tenant_state.h"
#include "foretoken/generation.h"
#include "model/loaded_model.h"

namespace foretoken {

// A LoRA adapter that requests may name. Shared by its tenant and the requests that run with it.
struct EngineAdapter {
  std::string id;
  std::shared_ptr<LoadedAdapter> weights;
  float scale = 1.0f;
};

// Null: the base model.
using AdapterPtr = std::shared_ptr<const EngineAdapter>;

// What the cells of a sequence depend on besides its tokens, among one tenant's requests.
inline std::string AdapterKeyOf(const AdapterPtr& adapter) {
  return adapter != nullptr ? adapter->id : std::string();
}

// A request as an engine runs it: validated, tokenized, with every choice made.
struct EngineRequest {
  std::vector<TokenId> prompt;
  std::vector<TokenId> prediction;  // GenerateOptions::prediction as tokens
  GenerateOptions options;
  SpeculativeConfig speculation;
  uint64_t seed = 0;
  std::shared_ptr<TenantState> tenant;
  std::shared_ptr<DraftContext> draft;  // null: no draft model
  AdapterPtr adapter;
  std::vector<std::string> warnings;  // to be returned with the answer
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_ENGINE_REQUEST_H_
