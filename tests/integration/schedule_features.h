#ifndef FORETOKEN_INTEGRATION_SCHEDULE_FEATURES_H_
#define FORETOKEN_INTEGRATION_SCHEDULE_FEATURES_H_

namespace foretoken::features {

// What the engine can do; the schedule tests ask for nothing else.
inline constexpr bool kBatching = true;      // one forward for all running requests
inline constexpr bool kChoices = true;       // GenerateOptions::choice
inline constexpr bool kPredictions = true;   // GenerateOptions::prediction
inline constexpr bool kDeadlines = true;     // GenerateOptions::deadline_ms
inline constexpr bool kSlowReaders = true;   // RuntimeOptions::slow_reader_ms
inline constexpr bool kTenantLimits = true;  // a tenant's speculation bounds its requests'
inline constexpr bool kIsolation = true;     // a failed forward ends its cause only
inline constexpr bool kPrefixReuse = true;   // RuntimeOptions::prefix_reuse
inline constexpr bool kOverCommit = true;    // ModelConfig::kv_cache_tokens
inline constexpr bool kAdapters = true;      // GenerateOptions::adapter
inline constexpr bool kFairOrder = true;     // TenantConfig::weight

}  // namespace foretoken::features

#endif  // FORETOKEN_INTEGRATION_SCHEDULE_FEATURES_H_
