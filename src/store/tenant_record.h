#ifndef FORETOKEN_STORE_TENANT_RECORD_H_
#define FORETOKEN_STORE_TENANT_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/options.h"
#include "foretoken/status.h"
#include "tenancy/quota_limits.h"

namespace foretoken {

// A tenant's own speculation policy; see SpeculativeConfig.
struct TenantSpeculation {
  SpeculationMode mode = SpeculationMode::kAuto;
  int32_t draft_k = 4;           // >= 0; tokens proposed in a round when the mode is fixed
  int32_t max_draft_tokens = 8;  // >= 0; the most that a request may ask for

  friend bool operator==(const TenantSpeculation&, const TenantSpeculation&) = default;
};

// What an operator configured for a tenant. Models are named as the server's configuration does.
struct TenantRecord {
  std::string name;    // 1 to 63 of a-z, 0-9, '.', '_', '-'; begins with a letter or a digit
  std::string target;  // the model of requests that name none; empty: the server's default
  // Absent: the server's default for the target; empty: none.
  std::optional<std::string> draft_model;
  std::optional<TenantSpeculation> speculation;  // absent: the server's default
  std::vector<std::string> models;               // what it may use; empty: all of the server's
  std::vector<std::string> adapters;             // what it may use; empty: none
  double weight = 1.0;                           // 0.001 to 1,000; its share against the others'
  QuotaLimits quota;
  double kv_share = 1.0;              // above 0, at most 1; of a target's KV cache
  int64_t max_prompt_tokens = 0;      // >= 0; 0: as the model allows
  int64_t max_completion_tokens = 0;  // >= 0; 0: as the model allows
  bool enabled = true;                // a disabled tenant's keys are refused
  int64_t created_ms = 0;             // UTC, milliseconds since 1970; given by the store

  friend bool operator==(const TenantRecord&, const TenantRecord&) = default;
};

// OK, or INVALID_ARGUMENT naming the field, its value and what would be right.
Status Validate(const TenantRecord& tenant);
Status ValidateTenantName(std::string_view name);

// Everything but name and created_ms as a JSON object: what the store keeps and the interfaces
// show.
std::string TenantSettingsJson(const TenantRecord& tenant);
// Changes the fields that the object has; null resets one to its default. INVALID_ARGUMENT names
// a field that is unknown or of a wrong type, and the record may be half changed then.
Status ApplyTenantSettings(std::string_view json, TenantRecord& tenant);

}  // namespace foretoken

#endif  // FORETOKEN_STORE_TENANT_RECORD_H_
