#ifndef FORETOKEN_TENANCY_QUOTA_HEADERS_H_
#define FORETOKEN_TENANCY_QUOTA_HEADERS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tenancy/tenant_quota.h"

namespace foretoken {

// x-ratelimit-limit-requests, -remaining-requests, -reset-requests and the same for tokens, with
// the values that OpenAI's clients read; none for what has no limit.
std::vector<std::pair<std::string, std::string>> RateLimitHeaders(const QuotaLevels& levels);

// "1h2m3s", "59.1s" or "250ms": never less than `ms`.
std::string RateLimitDuration(int64_t ms);

// The value of Retry-After: whole seconds, at least one, never less than `ms`.
std::string RetryAfterSeconds(int64_t ms);

}  // namespace foretoken

#endif  // FORETOKEN_TENANCY_QUOTA_HEADERS_H_
