#ifndef FORETOKEN_SERVER_SERVER_H_
#define FORETOKEN_SERVER_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "foretoken/runtime_manager.h"
#include "foretoken/status.h"
#include "server/server_config.h"

namespace foretoken {

struct ServerOptions {
  // The file of what `foretoken pull` called a model, or of a path.
  std::function<Result<std::string>(const std::string& name_or_path)> resolve_model;
  std::string version;
};

// A server as a whole: listeners, API, tenants, models.
// One thread at a time; what it serves runs on threads of its own. Destroying it cuts what runs.
class Server {
 public:
  // Resolves the models, opens the store, binds the addresses and loads what is to be preloaded.
  // Nothing is accepted yet. Errors say which part of the configuration is wrong.
  static Result<std::unique_ptr<Server>> Create(ServerConfig config, ServerOptions options,
                                                std::unique_ptr<RuntimeManager> manager);
  virtual ~Server() = default;

  virtual void Start() = 0;
  // Takes no new requests; those that run end, or are cut after config.drain_ms.
  virtual void Drain() = 0;
  // Takes over what can change while it runs: certificates, tenants and keys. The rest needs a
  // restart.
  virtual Status Reload() = 0;
  // Where it listens, ports included; the admin's address is not among them.
  virtual std::vector<ListenAddress> addresses() const = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_SERVER_H_
