#include "store/usage_tables.h"

#include <SQLiteCpp/Statement.h>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace foretoken {
namespace {

struct DimensionColumn {
  const char* expression;
  std::string UsageSum::*field;
};

DimensionColumn ColumnOf(UsageDimension dimension) {
  switch (dimension) {
    case UsageDimension::kTenant:
      return {"tenant", &UsageSum::tenant};
    case UsageDimension::kDay:
      return {"date(finished_ms / 1000, 'unixepoch')", &UsageSum::day};
    case UsageDimension::kModel:
      break;
  }
  return {"model", &UsageSum::model};
}

constexpr std::pair<const char*, int64_t UsageSum::*> kSums[] = {
    {"count(*)", &UsageSum::requests},
    {"sum(http_status >= 400)", &UsageSum::failed_requests},
    {"sum(prompt_tokens)", &UsageSum::prompt_tokens},
    {"sum(cached_tokens)", &UsageSum::cached_tokens},
    {"sum(completion_tokens)", &UsageSum::completion_tokens},
    {"sum(drafted_tokens)", &UsageSum::drafted_tokens},
    {"sum(accepted_tokens)", &UsageSum::accepted_tokens}};

}  // namespace

std::vector<UsageSum> ReadUsage(SQLite::Database& database, const UsageQuery& query) {
  std::vector<std::string> names;
  for (const UsageDimension dimension : query.by)
    names.emplace_back(ColumnOf(dimension).expression);
  std::vector<std::string> columns = names;
  for (const auto& [expression, field] : kSums) columns.emplace_back(expression);
  std::string text = fmt::format("SELECT {} FROM usage WHERE finished_ms >= ? AND finished_ms < ?",
                                 fmt::join(columns, ", "));
  if (!query.tenant.empty()) text += " AND tenant = ?";
  if (!names.empty()) {
    text += fmt::format(" GROUP BY {0} ORDER BY {0}", fmt::join(names, ", "));
  }
  SQLite::Statement rows(database, text);
  rows.bind(1, query.from_ms.value_or(0));
  rows.bind(2, query.to_ms.value_or(std::numeric_limits<int64_t>::max()));
  if (!query.tenant.empty()) rows.bind(3, query.tenant);
  std::vector<UsageSum> sums;
  while (rows.executeStep()) {
    UsageSum sum;
    int column = 0;
    for (const UsageDimension dimension : query.by) {
      sum.*ColumnOf(dimension).field = rows.getColumn(column++).getString();
    }
    // The sum of no rows is NULL, which reads as 0.
    for (const auto& [expression, field] : kSums) sum.*field = rows.getColumn(column++).getInt64();
    sums.push_back(std::move(sum));
  }
  return sums;
}

}  // namespace foretoken
