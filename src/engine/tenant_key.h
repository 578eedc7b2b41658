#ifndef FORETOKEN_ENGINE_TENANT_KEY_H_
#define FORETOKEN_ENGINE_TENANT_KEY_H_

#include <cstdint>

namespace foretoken {

// A tenant as an engine knows it: never used again for another one while the engine lives.
enum class TenantKey : uint64_t {};

// Not a tenant's: of what an operator made public.
inline constexpr TenantKey kOperatorKey{0};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_TENANT_KEY_H_
