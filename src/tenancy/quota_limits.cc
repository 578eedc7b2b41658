#include "tenancy/quota_limits.h"

#include <utility>

#include <fmt/format.h>

namespace foretoken {
namespace {

// Sums of a few of them stay far from the end of int64_t.
constexpr int64_t kLargestLimit = 1'000'000'000'000'000;

}  // namespace

Status Validate(const QuotaLimits& limits) {
  const std::pair<const char*, int64_t> fields[] = {
      {"requests_per_minute", limits.requests_per_minute},
      {"tokens_per_minute", limits.tokens_per_minute},
      {"tokens_per_day", limits.tokens_per_day},
      {"concurrent_requests", limits.concurrent_requests}};
  for (const auto& [name, value] : fields) {
    if (value < 0 || value > kLargestLimit) {
      return InvalidArgumentError(
          fmt::format("{} is {}; it must be 0 (no limit) to {}", name, value, kLargestLimit));
    }
  }
  return OkStatus();
}

}  // namespace foretoken
