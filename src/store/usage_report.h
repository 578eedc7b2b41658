#ifndef FORETOKEN_STORE_USAGE_REPORT_H_
#define FORETOKEN_STORE_USAGE_REPORT_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "foretoken/status.h"
#include "store/usage_record.h"

namespace foretoken {

// "tenant", "day" or "model", several with commas between them. INVALID_ARGUMENT for others and for
// one that is named twice.
Result<std::vector<UsageDimension>> ParseUsageDimensions(std::string_view text);

// A report's rows and their names, in order: what was asked to be told apart, then the sums.
std::vector<std::string> UsageColumns(const std::vector<UsageDimension>& by);
std::vector<std::string> UsageCells(const std::vector<UsageDimension>& by, const UsageSum& sum);

// RFC 4180, with a header.
std::string UsageCsv(const std::vector<UsageDimension>& by, const std::vector<UsageSum>& sums);
// An array of objects.
std::string UsageJson(const std::vector<UsageDimension>& by, const std::vector<UsageSum>& sums);

}  // namespace foretoken

#endif  // FORETOKEN_STORE_USAGE_REPORT_H_
