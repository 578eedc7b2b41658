#ifndef FORETOKEN_STORE_UTC_TIME_H_
#define FORETOKEN_STORE_UTC_TIME_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "foretoken/status.h"

namespace foretoken {

// Times are milliseconds since 1970 in UTC.
inline constexpr int64_t kDayMs = 86'400'000;

// Now, by the system's clock.
int64_t UtcNowMs();

// The beginning of the day that holds a time.
int64_t UtcDayBeginMs(int64_t utc_ms);

// "2026-11-24T13:05:09Z".
std::string FormatUtc(int64_t utc_ms);

// "2026-11-24", its beginning, or "2026-11-24T13:05:09Z". INVALID_ARGUMENT for anything else.
Result<int64_t> ParseUtc(std::string_view text);

}  // namespace foretoken

#endif  // FORETOKEN_STORE_UTC_TIME_H_
