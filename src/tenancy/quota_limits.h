#ifndef FORETOKEN_TENANCY_QUOTA_LIMITS_H_
#define FORETOKEN_TENANCY_QUOTA_LIMITS_H_

#include <cstdint>

#include "foretoken/status.h"

namespace foretoken {

// What a tenant may use. 0 is no limit, everywhere. Tokens are those of prompts and of answers.
struct QuotaLimits {
  int64_t requests_per_minute = 0;  // that begin in any 60 s
  int64_t tokens_per_minute = 0;    // in any 60 s
  int64_t tokens_per_day = 0;       // in a day of UTC
  int64_t concurrent_requests = 0;  // that run at a time

  friend bool operator==(const QuotaLimits&, const QuotaLimits&) = default;
};

// OK, or INVALID_ARGUMENT naming the limit, its value and the allowed range.
Status Validate(const QuotaLimits& limits);

}  // namespace foretoken

#endif  // FORETOKEN_TENANCY_QUOTA_LIMITS_H_
