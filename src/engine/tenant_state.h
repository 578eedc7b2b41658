#ifndef FORETOKEN_ENGINE_TENANT_STATE_H_
#define FORETOKEN_ENGINE_TENANT_STATE_H_

#include <memory>
#include <string>

#include "engine/tenant_key.h"
#include "speculative/acceptance_model.h"
#include "speculative/tenant_suffix_store.h"

namespace foretoken {

// What an engine keeps of a tenant between its requests; nothing in it is ever mixed with
// another's. Owned by the tenant and by its requests in the engine (shared_ptr).
// The constants may be read anywhere; `acceptance` belongs to the engine's thread; the store
// guards itself.
struct TenantState {
  TenantKey key{};
  std::string name;
  double weight = 1.0;
  AcceptanceModel acceptance;
  std::unique_ptr<TenantSuffixStore> suffix_store;  // null: none is kept
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_TENANT_STATE_H_
