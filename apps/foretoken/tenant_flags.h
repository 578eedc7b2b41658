#ifndef FORETOKEN_FORETOKEN_TENANT_FLAGS_H_
#define FORETOKEN_FORETOKEN_TENANT_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "foretoken/status.h"
#include "store/tenant_record.h"

namespace CLI {
class App;
}

namespace foretoken {

// What the user said of a tenant; absent fields were not said.
struct TenantFlags {
  std::optional<std::string> target;
  std::optional<std::string> draft;
  std::optional<std::string> speculation;
  std::optional<int32_t> max_draft_tokens;
  std::optional<std::string> models;  // names with commas between them
  std::optional<std::string> adapters;
  std::optional<double> weight;
  std::optional<int64_t> requests_per_minute;
  std::optional<int64_t> tokens_per_minute;
  std::optional<int64_t> tokens_per_day;
  std::optional<int64_t> concurrent_requests;
  std::optional<double> kv_share;
  std::optional<int64_t> max_prompt_tokens;
  std::optional<int64_t> max_completion_tokens;
  std::optional<bool> enabled;
};

// Adds the flags to a command. `flags` must outlive the parse.
void AddTenantFlags(CLI::App& command, TenantFlags& flags);

// Changes what was said and nothing else. INVALID_ARGUMENT names a flag with a wrong value; ranges
// are the store's to check.
Status ApplyTenantFlags(const TenantFlags& flags, TenantRecord& tenant);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_TENANT_FLAGS_H_
