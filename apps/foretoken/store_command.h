#ifndef FORETOKEN_FORETOKEN_STORE_COMMAND_H_
#define FORETOKEN_FORETOKEN_STORE_COMMAND_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "foretoken/status.h"
#include "store/tenant_store.h"

namespace CLI {
class App;
}

namespace foretoken {

// What the commands over the store share.

// Adds --store PATH. `path` must outlive the parse; empty: the default place.
void AddStoreFlag(CLI::App& command, std::string& path);
// The store's path, as given or by default.
Result<std::string> StorePath(const std::string& path);
// The store. NOT_FOUND says how one is made.
Result<std::unique_ptr<TenantStore>> OpenStore(const std::string& path, StoreFile mode);

// Runs `action` when the command was given, prints its error, and leaves the process's exit code in
// `exit_code`, which must outlive the parse.
void RunOnCommand(CLI::App& command, int& exit_code, std::function<Status()> action);

// Rows of as many cells as the header, which is the first, in columns of equal width.
std::string TextTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_STORE_COMMAND_H_
