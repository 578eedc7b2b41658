#include "server/server.h"

#include <chrono>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/macros.h"
#include "server/access_log.h"
#include "server/admin_service.h"
#include "server/api_context.h"
#include "server/api_errors.h"
#include "server/api_service.h"
#include "server/http_server.h"
#include "server/websocket_endpoint.h"
#include "store/utc_time.h"

namespace foretoken {
namespace {

// The tenant of a server without keys.
constexpr const char* kKeylessTenant = "default";

HttpListenerOptions ListenerOptions(const ServerConfig& config, const ListenAddress& listen) {
  HttpListenerOptions options;
  options.address = listen.address;
  options.port = static_cast<uint16_t>(listen.port);
  if (config.tls) {
    options.certificate_path = config.tls->certificate;
    options.private_key_path = config.tls->key;
  }
  const ServerLimits& limits = config.limits;
  options.limits.header_bytes = static_cast<uint32_t>(limits.header_bytes);
  options.limits.body_bytes = static_cast<uint64_t>(limits.body_bytes);
  options.max_connections = limits.connections;
  options.max_connections_per_address = limits.connections_per_address;
  options.header_time = std::chrono::milliseconds(limits.header_read_ms);
  options.idle_time = std::chrono::milliseconds(limits.keep_alive_ms);
  options.slow_reader_time = std::chrono::milliseconds(limits.slow_reader_ms);
  options.error_response = [](int status, const std::string& message) {
    WireError error = WireErrorOf(InvalidArgumentError(message));
    error.http_status = status;
    if (status >= 500) error.type = "server_error";
    return ErrorResponse(error);
  };
  return options;
}

Status ResolvePaths(const ServerOptions& options, std::vector<ServedModel>& models) {
  for (ServedModel& model : models) {
    auto path = options.resolve_model(model.target.id);
    if (!path.ok()) {
      return Status(path.status().code(),
                    fmt::format("model '{}': {}", model.name, path.status().message()));
    }
    model.target.path = *std::move(path);
    if (!model.draft_model) continue;
    auto draft = options.resolve_model(model.draft_model->id);
    // A draft model that was named and is not there is a mistake, not a failure to live with.
    if (!draft.ok()) {
      return Status(draft.status().code(),
                    fmt::format("draft of model '{}': {}", model.name, draft.status().message()));
    }
    model.draft_model->path = *std::move(draft);
  }
  return OkStatus();
}

class ServerImpl : public Server {
 public:
  ServerImpl(ServerConfig config, ServerOptions options, std::unique_ptr<RuntimeManager> manager)
      : config_(std::move(config)),
        options_(std::move(options)),
        manager_(std::move(manager)),
        access_log_(config_.access_log) {}
  ~ServerImpl() override {
    listeners_.clear();
    admin_listener_.reset();
    if (context_) context_->workers.join();
  }

  Status Open() {
    FORETOKEN_ASSIGN_OR_RETURN(io_, IoThreads::Start(1));
    FORETOKEN_RETURN_IF_ERROR(access_log_.Open());
    FORETOKEN_RETURN_IF_ERROR(ResolvePaths(options_, config_.models));
    pool_ = std::make_unique<ModelPool>(
        *manager_, config_.models,
        ModelPoolOptions{.memory_budget_bytes = config_.memory_budget_bytes,
                         .unload_idle_ms = config_.unload_idle_ms,
                         .memory_of = ServedModelMemory});
    context_ = std::make_unique<ApiContext>(config_, *pool_);
    context_->system_fingerprint = "foretoken-" + options_.version;
    context_->resolve_draft = [this](const std::string& name,
                                     const ServedModel& target) -> Result<ModelConfig> {
      ModelConfig draft = target.target;
      draft.id = name;
      if (name.empty()) return draft;  // none is wanted
      FORETOKEN_ASSIGN_OR_RETURN(draft.path, options_.resolve_model(name));
      return draft;
    };
    FORETOKEN_RETURN_IF_ERROR(OpenStore());
    service_ = std::make_unique<ApiService>(*context_);
    for (const ListenAddress& listen : config_.listen) {
      FORETOKEN_RETURN_IF_ERROR(Listen(listen));
    }
    FORETOKEN_RETURN_IF_ERROR(OpenAdmin());
    return pool_->Preload();
  }

  void Start() override {
    for (const auto& listener : listeners_) listener->Start();
    if (admin_listener_) admin_listener_->Start();
  }

  void Drain() override {
    context_->is_draining = true;
    for (const auto& listener : listeners_) {
      listener->Drain(std::chrono::milliseconds(config_.drain_ms));
    }
    if (admin_listener_) admin_listener_->Stop();
  }

  Status Reload() override {
    if (config_.tls) {
      for (const auto& listener : listeners_) {
        FORETOKEN_RETURN_IF_ERROR(listener->ReloadCertificates());
      }
      if (admin_listener_) FORETOKEN_RETURN_IF_ERROR(admin_listener_->ReloadCertificates());
    }
    return context_->directory != nullptr ? context_->directory->Reload() : OkStatus();
  }

  std::vector<ListenAddress> addresses() const override {
    std::vector<ListenAddress> addresses;
    for (size_t i = 0; i < listeners_.size(); ++i) {
      addresses.push_back({config_.listen[i].address, listeners_[i]->port()});
    }
    return addresses;
  }

 private:
  Status OpenStore() {
    if (config_.store.empty()) {
      TenantRecord record;
      record.name = kKeylessTenant;
      auto tenant = std::make_shared<DirectoryTenant>();
      tenant->quota = std::make_shared<TenantQuota>(record.quota);
      tenant->record = std::move(record);
      context_->keyless_tenant = std::move(tenant);
      return OkStatus();
    }
    TenantDirectoryOptions directory;
    directory.path = config_.store;
    directory.mode = StoreFile::kCreateIfMissing;
    directory.on_change = [this](const DirectorySnapshot& snapshot) { ForgetRemoved(snapshot); };
    FORETOKEN_ASSIGN_OR_RETURN(directory_, TenantDirectory::Open(std::move(directory)));
    FORETOKEN_ASSIGN_OR_RETURN(ledger_, UsageLedger::Open(config_.store, StoreFile::kMustExist));
    FORETOKEN_ASSIGN_OR_RETURN(store_, TenantStore::Open(config_.store, StoreFile::kMustExist));
    context_->directory = directory_.get();
    context_->ledger = ledger_.get();
    MutexLock lock(mutex_);
    known_tenants_ = TenantsOf(*directory_->snapshot());
    return OkStatus();
  }

  // Names, and when each was made: one that was removed and made again is another tenant.
  using Tenants = std::map<std::string, int64_t>;

  static Tenants TenantsOf(const DirectorySnapshot& snapshot) {
    Tenants tenants;
    for (const auto& [name, tenant] : snapshot.tenants) tenants[name] = tenant->record.created_ms;
    return tenants;
  }

  // What is kept in memory of tenants that were removed goes.
  void ForgetRemoved(const DirectorySnapshot& snapshot) {
    Tenants now = TenantsOf(snapshot);
    std::vector<std::string> removed;
    {
      MutexLock lock(mutex_);
      for (const auto& [name, created_ms] : known_tenants_) {
        const auto found = now.find(name);
        if (found == now.end() || found->second != created_ms) removed.push_back(name);
      }
      known_tenants_ = std::move(now);
    }
    for (const std::string& name : removed) {
      pool_->ForgetTenant(name);
      context_->metrics.ForgetTenant(name);
      Log(LogLevel::kInfo, fmt::format("tenant '{}' was removed: its requests have ended, nothing "
                                       "of it is cached",
                                       name));
    }
  }

  Status Listen(const ListenAddress& listen) {
    HttpListenerOptions options = ListenerOptions(config_, listen);
    options.check_head = [this](const HttpRequest& head) { return service_->CheckHead(head); };
    options.access_log = [this](const HttpAccessRecord& record) {
      context_->metrics.AddResponse(ApiService::EndpointOf(record.path), record.status);
      access_log_.Write(record);
    };
    options.websocket.paths = {kWebSocketPath};
    options.websocket.message_bytes = static_cast<size_t>(config_.limits.body_bytes);
    auto server = HttpServer::Create(
        *io_, std::move(options),
        [this](HttpExchange& exchange) { return service_->Answer(exchange); },
        [this](std::shared_ptr<WebSocketSession> session) {
          return ServeWebSocket(*service_, std::move(session));
        });
    if (!server.ok()) {
      return Status(server.status().code(), fmt::format("listen {}: {}", ListenAddressText(listen),
                                                        server.status().message()));
    }
    listeners_.push_back(*std::move(server));
    return OkStatus();
  }

  Status OpenAdmin() {
    if (!config_.admin) return OkStatus();
    AdminServiceOptions options;
    FORETOKEN_ASSIGN_OR_RETURN(options.secret, ReadSecretFile(config_.admin->secret_file));
    options.store = store_.get();
    options.manager = manager_.get();
    options.http_counts = [this] {
      std::vector<HttpServerCounts> counts;
      for (const auto& listener : listeners_) counts.push_back(listener->counts());
      return counts;
    };
    admin_ = std::make_unique<AdminService>(*context_, std::move(options));
    HttpListenerOptions listener = ListenerOptions(config_, config_.admin->listen);
    listener.check_head = [this](const HttpRequest& head) { return admin_->CheckHead(head); };
    auto server = HttpServer::Create(*io_, std::move(listener), [this](HttpExchange& exchange) {
      return admin_->Answer(exchange);
    });
    if (!server.ok()) {
      return Status(server.status().code(),
                    fmt::format("admin listen {}: {}", ListenAddressText(config_.admin->listen),
                                server.status().message()));
    }
    admin_listener_ = *std::move(server);
    return OkStatus();
  }

  ServerConfig config_;
  const ServerOptions options_;
  // Outlives the threads that wake up who waits on it: the models', the ledger's, the engines'.
  std::unique_ptr<IoThreads> io_;
  const std::unique_ptr<RuntimeManager> manager_;
  AccessLog access_log_;
  std::unique_ptr<ModelPool> pool_;
  std::unique_ptr<ApiContext> context_;
  Mutex mutex_;
  Tenants known_tenants_ FORETOKEN_GUARDED_BY(mutex_);
  std::unique_ptr<UsageLedger> ledger_;
  std::unique_ptr<TenantStore> store_;
  std::unique_ptr<TenantDirectory> directory_;
  std::unique_ptr<ApiService> service_;
  std::unique_ptr<AdminService> admin_;
  std::vector<std::unique_ptr<HttpServer>> listeners_;
  std::unique_ptr<HttpServer> admin_listener_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::Create(ServerConfig config, ServerOptions options,
                                               std::unique_ptr<RuntimeManager> manager) {
  auto server =
      std::make_unique<ServerImpl>(std::move(config), std::move(options), std::move(manager));
  FORETOKEN_RETURN_IF_ERROR(server->Open());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace foretoken
