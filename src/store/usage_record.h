#ifndef FORETOKEN_STORE_USAGE_RECORD_H_
#define FORETOKEN_STORE_USAGE_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace foretoken {

// What one request used: a row of the ledger.
struct UsageRecord {
  // The server's own name of the request, never used twice. Rows are kept in its order: one that
  // begins with the time is written fastest.
  std::string id;
  std::string tenant;
  std::string key_id;
  std::string model;
  std::string adapter;                 // empty: the base model
  std::optional<std::string> program;  // absent: the default loop
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of those, not computed again
  int64_t completion_tokens = 0;
  int64_t drafted_tokens = 0;
  int64_t accepted_tokens = 0;  // of those
  int64_t started_ms = 0;       // UTC, milliseconds since 1970
  int64_t finished_ms = 0;
  std::string outcome;  // "stop", "length", "cancelled", "error", "quota", ...
  int32_t http_status = 0;
};

enum class UsageDimension { kTenant, kDay, kModel };

// Which records are added up, and what they are told apart by.
struct UsageQuery {
  std::string tenant;              // empty: all
  std::optional<int64_t> from_ms;  // that finished then or later
  std::optional<int64_t> to_ms;    // and before then
  std::vector<UsageDimension> by;  // empty: one sum of all
};

// Sums over records. A name that was not asked for is empty.
struct UsageSum {
  std::string tenant;
  std::string day;  // of UTC in which they finished: "2026-11-24"
  std::string model;
  int64_t requests = 0;
  int64_t failed_requests = 0;  // answered with status 400 or higher
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t drafted_tokens = 0;
  int64_t accepted_tokens = 0;

  friend bool operator==(const UsageSum&, const UsageSum&) = default;
};

}  // namespace foretoken

#endif  // FORETOKEN_STORE_USAGE_RECORD_H_
