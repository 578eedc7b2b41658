#include "key_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/macros.h"
#include "console.h"
#include "store/utc_time.h"
#include "store_command.h"

namespace foretoken {
namespace {

struct KeyCommand {
  std::string store;
  std::string tenant;
  std::string id;
  std::string label;
  std::string expires;
  bool json = false;
};

const char* StateOf(const KeyRecord& key) {
  if (key.revoked_ms) return "revoked";
  return key.expires_ms && *key.expires_ms <= UtcNowMs() ? "expired" : "valid";
}

std::string KeysText(const std::vector<KeyRecord>& keys) {
  const auto time = [](std::optional<int64_t> ms) { return ms ? FormatUtc(*ms) : "-"; };
  std::vector<std::vector<std::string>> rows = {
      {"ID", "TENANT", "STATE", "CREATED", "EXPIRES", "LAST USED", "LABEL"}};
  for (const KeyRecord& key : keys) {
    rows.push_back({key.id, key.tenant, StateOf(key), FormatUtc(key.created_ms),
                    time(key.expires_ms), time(key.last_used_ms), key.label});
  }
  return TextTable(rows);
}

std::string KeysJson(const std::vector<KeyRecord>& keys) {
  using Json = nlohmann::ordered_json;
  const auto time = [](std::optional<int64_t> ms) { return ms ? Json(FormatUtc(*ms)) : Json(); };
  Json list = Json::array();
  for (const KeyRecord& key : keys) {
    list.push_back({{"id", key.id},
                    {"tenant", key.tenant},
                    {"state", StateOf(key)},
                    {"label", key.label},
                    {"created", FormatUtc(key.created_ms)},
                    {"expires", time(key.expires_ms)},
                    {"revoked", time(key.revoked_ms)},
                    {"last_used", time(key.last_used_ms)}});
  }
  return list.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Status AddKeyOf(const KeyCommand& command) {
  std::optional<int64_t> expires_ms;
  if (!command.expires.empty()) {
    FORETOKEN_ASSIGN_OR_RETURN(expires_ms, ParseUtc(command.expires));
  }
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<TenantStore> store,
                             OpenStore(command.store, StoreFile::kMustExist));
  FORETOKEN_ASSIGN_OR_RETURN(const CreatedKey key,
                             store->AddKey(command.tenant, command.label, expires_ms));
  if (const Status printed = WriteOutput(key.secret + "\n"); !printed.ok()) {
    FORETOKEN_RETURN_IF_ERROR(store->RevokeKey(key.record.id));
    return InternalError("the key could not be shown and was revoked: " + printed.message());
  }
  PrintNote(
      fmt::format("This is the only time that the key is shown. Its id is {}.", key.record.id));
  return OkStatus();
}

Status ListKeysOf(const KeyCommand& command) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<TenantStore> store,
                             OpenStore(command.store, StoreFile::kMustExist));
  FORETOKEN_ASSIGN_OR_RETURN(const std::vector<KeyRecord> keys, store->ListKeys(command.tenant));
  return WriteOutput(command.json ? KeysJson(keys) : KeysText(keys));
}

Status RevokeKeyOf(const KeyCommand& command) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<TenantStore> store,
                             OpenStore(command.store, StoreFile::kMustExist));
  // A whole key will do, so that nobody has to cut one that leaked.
  const Result<std::string> id_of_whole = ApiKeyId(command.id);
  const std::string id = id_of_whole.ok() ? *id_of_whole : command.id;
  FORETOKEN_RETURN_IF_ERROR(store->RevokeKey(id));
  PrintNote(fmt::format("Revoked {}; running servers refuse it within a second.", id));
  return OkStatus();
}

std::shared_ptr<KeyCommand> NewCommand(CLI::App& app) {
  auto command = std::make_shared<KeyCommand>();
  AddStoreFlag(app, command->store);
  return command;
}

}  // namespace

void AddKeyCommand(CLI::App& app, int& exit_code) {
  CLI::App* key = app.add_subcommand("key", "The keys that tenants authenticate with");
  key->require_subcommand(1);
  {
    CLI::App* add = key->add_subcommand("add", "Make a key and print it, once");
    const auto command = NewCommand(*add);
    add->add_option("TENANT", command->tenant, "Whose key")->required();
    add->add_option("--label", command->label, "What it is for, in your words");
    add->add_option("--expires", command->expires,
                    "When it ends, in UTC: 2026-12-31 or 2026-12-31T18:00:00Z");
    RunOnCommand(*add, exit_code, [command] { return AddKeyOf(*command); });
  }
  {
    CLI::App* list = key->add_subcommand("list", "List keys by their ids");
    const auto command = NewCommand(*list);
    list->add_option("TENANT", command->tenant, "Of this tenant only");
    list->add_flag("--json", command->json, "Print an array of objects");
    RunOnCommand(*list, exit_code, [command] { return ListKeysOf(*command); });
  }
  {
    CLI::App* revoke = key->add_subcommand("revoke", "Refuse a key from now on");
    const auto command = NewCommand(*revoke);
    revoke->add_option("ID", command->id, "Its id, or the whole key")->required();
    RunOnCommand(*revoke, exit_code, [command] { return RevokeKeyOf(*command); });
  }
}

}  // namespace foretoken
