#ifndef FORETOKEN_FORETOKEN_TENANT_COMMAND_H_
#define FORETOKEN_FORETOKEN_TENANT_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// `foretoken tenant add|list|set|rm`: the tenants of the store.
// Leaves the process's exit code in `exit_code`, which must outlive the parse.
void AddTenantCommand(CLI::App& app, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_TENANT_COMMAND_H_
