#include "tenancy/quota_headers.h"

#include <algorithm>

#include <fmt/format.h>

namespace foretoken {

std::vector<std::pair<std::string, std::string>> RateLimitHeaders(const QuotaLevels& levels) {
  std::vector<std::pair<std::string, std::string>> headers;
  const auto add = [&headers](const char* what, const std::optional<QuotaLevel>& level) {
    if (!level) return;
    headers.emplace_back(fmt::format("x-ratelimit-limit-{}", what), std::to_string(level->limit));
    headers.emplace_back(fmt::format("x-ratelimit-remaining-{}", what),
                         std::to_string(level->remaining));
    headers.emplace_back(fmt::format("x-ratelimit-reset-{}", what),
                         RateLimitDuration(level->reset_ms));
  };
  add("requests", levels.requests);
  add("tokens", levels.tokens);
  return headers;
}

std::string RateLimitDuration(int64_t ms) {
  if (ms < 1000) return fmt::format("{}ms", std::max<int64_t>(0, ms));
  const int64_t tenths = (ms + 99) / 100;
  const int64_t minutes = tenths / 600;
  std::string text;
  if (minutes >= 60) text += fmt::format("{}h", minutes / 60);
  if (minutes > 0) text += fmt::format("{}m", minutes % 60);
  text += std::to_string(tenths % 600 / 10);
  if (tenths % 10 != 0) text += fmt::format(".{}", tenths % 10);
  return text + "s";
}

std::string RetryAfterSeconds(int64_t ms) {
  return std::to_string(std::max<int64_t>(1, (ms + 999) / 1000));
}

}  // namespace foretoken
