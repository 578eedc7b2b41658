#include "foretoken/runtime_manager.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "base/macros.h"
#include "base/mutex.h"
#include "engine/engine.h"
#include "model/default_loader.h"
#include "model/loaded_model.h"
#include "tenancy/tenant_runtime.h"

namespace foretoken {
namespace {

BackendOptions BackendOptionsFor(const ModelConfig& config) {
  BackendOptions options;
  options.context_tokens = config.context_tokens;
  options.threads = config.threads;
  return options;
}

class Manager : public RuntimeManager {
 public:
  Manager(const RuntimeOptions& options, std::unique_ptr<ModelLoader> loader)
      : options_(options), loader_(std::move(loader)) {}

  Result<std::shared_ptr<TenantRuntime>> AddTenant(TenantConfig config) override;
  Result<std::shared_ptr<TenantRuntime>> FindTenant(std::string_view name) const override;
  Status RemoveTenant(std::string_view name) override;
  std::vector<std::string> TenantNames() const override;

 private:
  // Tenants with equal keys share an engine: the same weights, the same context.
  using EngineKey = std::tuple<const LoadedModel*, int32_t, int32_t>;
  struct EngineSlot {
    Mutex mutex;  // held while the engine is made
    std::weak_ptr<Engine> engine FORETOKEN_GUARDED_BY(mutex);
  };

  Result<std::shared_ptr<SharedTargetTenant>> NewTenant(TenantConfig config);
  Result<std::shared_ptr<Engine>> EngineFor(const ModelConfig& config);
  Result<std::shared_ptr<DraftContext>> NewDraft(const ModelConfig& config, Engine& engine);

  const RuntimeOptions options_;
  const std::unique_ptr<ModelLoader> loader_;
  mutable Mutex mutex_;
  // Null while a tenant's models load: the name is taken.
  std::map<std::string, std::shared_ptr<SharedTargetTenant>, std::less<>> tenants_
      FORETOKEN_GUARDED_BY(mutex_);
  // Second owner of a slot: the thread that fills it.
  std::map<EngineKey, std::shared_ptr<EngineSlot>> engines_ FORETOKEN_GUARDED_BY(mutex_);
};

Result<std::shared_ptr<TenantRuntime>> Manager::AddTenant(TenantConfig config) {
  FORETOKEN_RETURN_IF_ERROR(Validate(config));
  const std::string name = config.name;
  {
    MutexLock lock(mutex_);
    if (!tenants_.try_emplace(name).second) {
      return FailedPreconditionError("tenant '" + name + "' exists already");
    }
  }
  auto tenant = NewTenant(std::move(config));
  MutexLock lock(mutex_);
  if (!tenant.ok()) {
    tenants_.erase(name);
    return tenant.status();
  }
  tenants_[name] = *tenant;
  return std::shared_ptr<TenantRuntime>(*tenant);
}

Result<std::shared_ptr<SharedTargetTenant>> Manager::NewTenant(TenantConfig config) {
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<Engine> engine, EngineFor(config.target));
  std::shared_ptr<DraftContext> draft;
  Status draft_status = FailedPreconditionError("no draft model is configured");
  if (config.draft_model) {
    auto made = NewDraft(*config.draft_model, *engine);
    draft_status = made.status();
    if (made.ok()) {
      draft = *made;
    } else {
      Log(LogLevel::kWarning, "tenant '" + config.name +
                                  "' decodes without its draft model: " + draft_status.message());
    }
  }
  return std::make_shared<SharedTargetTenant>(std::move(config), std::move(engine),
                                              std::move(draft), std::move(draft_status));
}

Result<std::shared_ptr<Engine>> Manager::EngineFor(const ModelConfig& config) {
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<LoadedModel> model, loader_->Load(config));
  std::shared_ptr<EngineSlot> slot;
  {
    MutexLock lock(mutex_);
    std::shared_ptr<EngineSlot>& entry =
        engines_[{model.get(), config.context_tokens, config.threads}];
    if (!entry) entry = std::make_shared<EngineSlot>();
    slot = entry;
  }
  MutexLock lock(slot->mutex);
  if (std::shared_ptr<Engine> engine = slot->engine.lock()) return engine;
  EngineOptions options;
  options.target_id = config.id.empty() ? config.path : config.id;
  options.backend = BackendOptionsFor(config);
  options.stream_capacity = options_.stream_capacity;
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<Engine> made,
                             Engine::Create(std::move(model), std::move(options)));
  std::shared_ptr<Engine> engine = std::move(made);
  slot->engine = engine;
  return engine;
}

Result<std::shared_ptr<DraftContext>> Manager::NewDraft(const ModelConfig& config, Engine& engine) {
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<LoadedModel> model, loader_->Load(config));
  // Unless told otherwise, the draft follows the target to the end of its context.
  BackendOptions options = BackendOptionsFor(config);
  if (options.context_tokens == 0) {
    options.context_tokens = engine.target_description().context_tokens;
    if (const int32_t trained = model->trained_context_tokens(); trained > 0) {
      options.context_tokens = std::min(options.context_tokens, trained);
    }
  }
  return engine.NewDraftContext(config.id.empty() ? config.path : config.id, std::move(model),
                                std::move(options));
}

Result<std::shared_ptr<TenantRuntime>> Manager::FindTenant(std::string_view name) const {
  MutexLock lock(mutex_);
  const auto found = tenants_.find(name);
  if (found == tenants_.end() || found->second == nullptr) {
    return NotFoundError("there is no tenant '" + std::string(name) + "'");
  }
  return std::shared_ptr<TenantRuntime>(found->second);
}

Status Manager::RemoveTenant(std::string_view name) {
  std::shared_ptr<SharedTargetTenant> tenant;
  {
    MutexLock lock(mutex_);
    const auto found = tenants_.find(name);
    if (found == tenants_.end() || found->second == nullptr) {
      return NotFoundError("there is no tenant '" + std::string(name) + "'");
    }
    tenant = std::move(found->second);
    tenants_.erase(found);
  }
  // Outside the lock: the last owner of an engine waits for its thread.
  tenant->Close();
  return OkStatus();
}

std::vector<std::string> Manager::TenantNames() const {
  std::vector<std::string> names;
  MutexLock lock(mutex_);
  for (const auto& [name, tenant] : tenants_) {
    if (tenant) names.push_back(name);
  }
  return names;
}

}  // namespace

Result<GenerationResult> TenantRuntime::Generate(GenerateRequest request) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::unique_ptr<GenerationStream> stream,
                             GenerateStream(std::move(request)));
  GenerationResult result = Collect(*stream);
  FORETOKEN_RETURN_IF_ERROR(result.finish.status);
  return result;
}

Result<std::unique_ptr<RuntimeManager>> RuntimeManager::Create(const RuntimeOptions& options) {
  FORETOKEN_RETURN_IF_ERROR(Validate(options));
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<ModelLoader> loader, NewDefaultLoader());
  return Create(options, std::move(loader));
}

Result<std::unique_ptr<RuntimeManager>> RuntimeManager::Create(
    const RuntimeOptions& options, std::unique_ptr<ModelLoader> loader) {
  FORETOKEN_RETURN_IF_ERROR(Validate(options));
  return std::unique_ptr<RuntimeManager>(std::make_unique<Manager>(options, std::move(loader)));
}

Result<GenerationResult> RuntimeManager::Generate(std::string_view tenant,
                                                  GenerateRequest request) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::shared_ptr<TenantRuntime> runtime, FindTenant(tenant));
  return runtime->Generate(std::move(request));
}

Result<std::unique_ptr<GenerationStream>> RuntimeManager::GenerateStream(std::string_view tenant,
                                                                         GenerateRequest request) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::shared_ptr<TenantRuntime> runtime, FindTenant(tenant));
  return runtime->GenerateStream(std::move(request));
}

}  // namespace foretoken
