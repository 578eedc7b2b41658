#include "tenant_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/macros.h"
#include "console.h"
#include "store/utc_time.h"
#include "store_command.h"
#include "tenant_flags.h"

namespace foretoken {
namespace {

struct TenantCommand {
  std::string store;
  std::string name;
  TenantFlags flags;
  bool json = false;
  bool usage_too = false;
};

std::string LimitText(int64_t limit) {
  return limit == 0 ? "-" : std::to_string(limit);
}

std::string NamesText(const std::vector<std::string>& names, const char* when_empty) {
  return names.empty() ? when_empty : fmt::format("{}", fmt::join(names, ","));
}

std::string TenantsText(const std::vector<TenantRecord>& tenants) {
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "STATE", "WEIGHT", "REQ/MIN", "TOK/MIN", "TOK/DAY", "AT A TIME", "MODELS"}};
  for (const TenantRecord& tenant : tenants) {
    const QuotaLimits& quota = tenant.quota;
    rows.push_back({tenant.name, tenant.enabled ? "enabled" : "disabled",
                    fmt::format("{}", tenant.weight), LimitText(quota.requests_per_minute),
                    LimitText(quota.tokens_per_minute), LimitText(quota.tokens_per_day),
                    LimitText(quota.concurrent_requests), NamesText(tenant.models, "all")});
  }
  return TextTable(rows);
}

std::string TenantsJson(const std::vector<TenantRecord>& tenants) {
  using Json = nlohmann::ordered_json;
  Json list = Json::array();
  for (const TenantRecord& tenant : tenants) {
    Json object = {{"name", tenant.name}, {"created", FormatUtc(tenant.created_ms)}};
    object.update(Json::parse(TenantSettingsJson(tenant), nullptr, /*allow_exceptions=*/false));
    list.push_back(std::move(object));
  }
  return list.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Status AddTenantOf(const TenantCommand& command) {
  TenantRecord tenant;
  tenant.name = command.name;
  FORETOKEN_RETURN_IF_ERROR(ApplyTenantFlags(command.flags, tenant));
  // Before a file is made for it.
  FORETOKEN_RETURN_IF_ERROR(Validate(tenant));
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<TenantStore> store,
                             OpenStore(command.store, StoreFile::kCreateIfMissing));
  FORETOKEN_RETURN_IF_ERROR(store->AddTenant(tenant));
  PrintNote(
      fmt::format("Added tenant {0}; `foretoken key add {0}` makes a key for it.", tenant.name));
  return OkStatus();
}

Status SetTenantOf(const TenantCommand& command) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<TenantStore> store,
                             OpenStore(command.store, StoreFile::kMustExist));
  return store->UpdateTenant(command.name, [&command](TenantRecord& tenant) {
    return ApplyTenantFlags(command.flags, tenant);
  });
}

Status ListTenantsOf(const TenantCommand& command) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<TenantStore> store,
                             OpenStore(command.store, StoreFile::kMustExist));
  FORETOKEN_ASSIGN_OR_RETURN(const std::vector<TenantRecord> tenants,
                             store->ListTenants(command.name));
  return WriteOutput(command.json ? TenantsJson(tenants) : TenantsText(tenants));
}

Status RemoveTenantOf(const TenantCommand& command) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<TenantStore> store,
                             OpenStore(command.store, StoreFile::kMustExist));
  FORETOKEN_ASSIGN_OR_RETURN(const TenantDeletion deletion,
                             store->DeleteTenant(command.name, command.usage_too));
  if (!deletion.log_emptied) {
    PrintWarning(
        "another process is reading the store: older copies of what was deleted stay in "
        "its log until it is overwritten");
  }
  return WriteOutput(fmt::format("Deleted of {}: tenants {}, keys {}, usage records {}{}\n",
                                 command.name, deletion.tenant ? 1 : 0, deletion.keys,
                                 deletion.usage_records,
                                 command.usage_too ? "" : " (--usage deletes those)"));
}

// The command's own copy of what is said: the callback and the parser both hold it.
std::shared_ptr<TenantCommand> NewCommand(CLI::App& app) {
  auto command = std::make_shared<TenantCommand>();
  AddStoreFlag(app, command->store);
  return command;
}

}  // namespace

void AddTenantCommand(CLI::App& app, int& exit_code) {
  CLI::App* tenant = app.add_subcommand("tenant", "Who may use the server, and how much");
  tenant->require_subcommand(1);
  {
    CLI::App* add = tenant->add_subcommand("add", "Add a tenant");
    const auto command = NewCommand(*add);
    add->add_option("NAME", command->name, "a-z, 0-9, '.', '_', '-'; at most 63")->required();
    AddTenantFlags(*add, command->flags);
    RunOnCommand(*add, exit_code, [command] { return AddTenantOf(*command); });
  }
  {
    CLI::App* set = tenant->add_subcommand("set", "Change what is said and nothing else");
    const auto command = NewCommand(*set);
    set->add_option("NAME", command->name, "The tenant")->required();
    AddTenantFlags(*set, command->flags);
    RunOnCommand(*set, exit_code, [command] { return SetTenantOf(*command); });
  }
  {
    CLI::App* list = tenant->add_subcommand("list", "List tenants");
    const auto command = NewCommand(*list);
    list->add_option("NAME", command->name, "This one only");
    list->add_flag("--json", command->json, "Print an array of objects with all settings");
    RunOnCommand(*list, exit_code, [command] { return ListTenantsOf(*command); });
  }
  {
    CLI::App* remove = tenant->add_subcommand("rm", "Delete a tenant and its keys");
    const auto command = NewCommand(*remove);
    remove->add_option("NAME", command->name, "The tenant")->required();
    remove->add_flag("--usage", command->usage_too, "Delete what is recorded of its usage as well");
    RunOnCommand(*remove, exit_code, [command] { return RemoveTenantOf(*command); });
  }
}

}  // namespace foretoken
