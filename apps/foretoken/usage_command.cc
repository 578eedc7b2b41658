#include "usage_command.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/macros.h"
#include "console.h"
#include "store/usage_ledger.h"
#include "store/usage_report.h"
#include "store/utc_time.h"
#include "store_command.h"

namespace foretoken {
namespace {

struct UsageFlags {
  std::string store;
  std::string tenant;
  std::string from;
  std::string to;
  std::string by = "tenant";
  bool csv = false;
  bool json = false;
};

std::string UsageText(const std::vector<UsageDimension>& by, const std::vector<UsageSum>& sums) {
  std::vector<std::vector<std::string>> rows = {UsageColumns(by)};
  for (const UsageSum& sum : sums) rows.push_back(UsageCells(by, sum));
  return TextTable(rows);
}

Status ReportUsage(const UsageFlags& flags) {
  UsageQuery query;
  query.tenant = flags.tenant;
  FORETOKEN_ASSIGN_OR_RETURN(query.by, ParseUsageDimensions(flags.by));
  if (!flags.from.empty()) {
    FORETOKEN_ASSIGN_OR_RETURN(query.from_ms, ParseUtc(flags.from));
  }
  if (!flags.to.empty()) {
    FORETOKEN_ASSIGN_OR_RETURN(query.to_ms, ParseUtc(flags.to));
  }
  FORETOKEN_ASSIGN_OR_RETURN(const std::string path, StorePath(flags.store));
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<UsageLedger> ledger,
                             UsageLedger::Open(path, StoreFile::kMustExist));
  FORETOKEN_ASSIGN_OR_RETURN(const std::vector<UsageSum> sums, ledger->Sum(query));
  if (flags.csv) return WriteOutput(UsageCsv(query.by, sums));
  if (flags.json) return WriteOutput(UsageJson(query.by, sums) + "\n");
  return WriteOutput(UsageText(query.by, sums));
}

}  // namespace

void AddUsageCommand(CLI::App& app, int& exit_code) {
  CLI::App* usage = app.add_subcommand("usage", "What tenants used");
  auto flags = std::make_shared<UsageFlags>();  // the callback and the parser both hold it
  AddStoreFlag(*usage, flags->store);
  usage->add_option("--tenant", flags->tenant, "Of this tenant only");
  usage->add_option("--from", flags->from,
                    "Requests that ended then or later, in UTC: 2026-11-24 or "
                    "2026-11-24T13:05:09Z");
  usage->add_option("--to", flags->to, "Requests that ended before then");
  usage->add_option("--by", flags->by,
                    "tenant (the default), day or model; several with commas between them");
  auto* const csv = usage->add_flag("--csv", flags->csv, "Print CSV");
  usage->add_flag("--json", flags->json, "Print an array of objects")->excludes(csv);
  RunOnCommand(*usage, exit_code, [flags] { return ReportUsage(*flags); });
}

}  // namespace foretoken
