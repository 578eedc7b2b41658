#include "store/usage_report.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

#include <fmt/format.h>

namespace foretoken {
namespace {

struct NamedDimension {
  UsageDimension dimension;
  const char* name;
  std::string UsageSum::*field;
};

constexpr NamedDimension kDimensions[] = {{UsageDimension::kTenant, "tenant", &UsageSum::tenant},
                                          {UsageDimension::kDay, "day", &UsageSum::day},
                                          {UsageDimension::kModel, "model", &UsageSum::model}};

constexpr std::pair<const char*, int64_t UsageSum::*> kCounts[] = {
    {"requests", &UsageSum::requests},
    {"failed_requests", &UsageSum::failed_requests},
    {"prompt_tokens", &UsageSum::prompt_tokens},
    {"cached_tokens", &UsageSum::cached_tokens},
    {"completion_tokens", &UsageSum::completion_tokens},
    {"drafted_tokens", &UsageSum::drafted_tokens},
    {"accepted_tokens", &UsageSum::accepted_tokens}};

const NamedDimension& NamedOf(UsageDimension dimension) {
  return *std::find_if(std::begin(kDimensions), std::end(kDimensions),
                       [&](const NamedDimension& known) { return known.dimension == dimension; });
}

std::string CsvCell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string CsvRow(const std::vector<std::string>& cells) {
  std::string row;
  for (const std::string& cell : cells) {
    if (&cell != &cells.front()) row += ',';
    row += CsvCell(cell);
  }
  return row + "\r\n";
}

}  // namespace

Result<std::vector<UsageDimension>> ParseUsageDimensions(std::string_view text) {
  std::vector<UsageDimension> by;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view name = text.substr(0, comma);
    const auto* known =
        std::find_if(std::begin(kDimensions), std::end(kDimensions),
                     [&](const NamedDimension& dimension) { return dimension.name == name; });
    if (known == std::end(kDimensions)) {
      return InvalidArgumentError(fmt::format(
          "usage is told apart by tenant, day or model, or several of them with commas; not '{}'",
          name));
    }
    if (std::find(by.begin(), by.end(), known->dimension) != by.end()) {
      return InvalidArgumentError(fmt::format("'{}' is named twice", name));
    }
    by.push_back(known->dimension);
    if (comma == std::string_view::npos) return by;
    text.remove_prefix(comma + 1);
  }
}

std::vector<std::string> UsageColumns(const std::vector<UsageDimension>& by) {
  std::vector<std::string> columns;
  for (const UsageDimension dimension : by) columns.emplace_back(NamedOf(dimension).name);
  for (const auto& [name, field] : kCounts) columns.emplace_back(name);
  return columns;
}

std::vector<std::string> UsageCells(const std::vector<UsageDimension>& by, const UsageSum& sum) {
  std::vector<std::string> cells;
  for (const UsageDimension dimension : by) cells.push_back(sum.*NamedOf(dimension).field);
  for (const auto& [name, field] : kCounts) cells.push_back(std::to_string(sum.*field));
  return cells;
}

std::string UsageCsv(const std::vector<UsageDimension>& by, const std::vector<UsageSum>& sums) {
  std::string text = CsvRow(UsageColumns(by));
  for (const UsageSum& sum : sums) text += CsvRow(UsageCells(by, sum));
  return text;
}

std::string UsageJson(const std::vector<UsageDimension>& by, const std::vector<UsageSum>& sums) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const UsageSum& sum : sums) {
    nlohmann::ordered_json row = nlohmann::ordered_json::object();
    for (const UsageDimension dimension : by) {
      row[NamedOf(dimension).name] = sum.*NamedOf(dimension).field;
    }
    for (const auto& [name, field] : kCounts) row[name] = sum.*field;
    list.push_back(std::move(row));
  }
  return list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace foretoken
