#ifndef FORETOKEN_INTEGRATION_SCHEDULE_FEATURES_H_
#define FORETOKEN_INTEGRATION_SCHEDULE_FEATURES_H_

namespace foretoken::features {

// What the engine can do; the schedule tests ask for nothing else.
inline constexpr bool kBatching = false;      // one forward for all running requests
inline constexpr bool kChoices = false;       // GenerateOptions::choice
inline constexpr bool kPredictions = false;   // GenerateOptions::prediction
inline constexpr bool kDeadlines = false;     // GenerateOptions::deadline_ms
inline constexpr bool kSlowReaders = false;   // RuntimeOptions::slow_reader_ms
inline constexpr bool kTenantLimits = false;  // a tenant's speculation bounds its requests'
inline constexpr bool kIsolation = false;     // a failed forward ends its cause only
inline constexpr bool kPrefixReuse = false;   // RuntimeOptions::prefix_reuse
inline constexpr bool kOverCommit = false;    // ModelConfig::kv_cache_tokens
inline constexpr bool kAdapters = false;      // GenerateOptions::adapter
inline constexpr bool kFairOrder = false;     // TenantConfig::weight

}  // namespace foretoken::features

#endif  // FORETOKEN_INTEGRATION_SCHEDULE_FEATURES_H_
