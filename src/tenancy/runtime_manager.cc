#include "foretoken/runtime_manager.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include <fmt/format.h>

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
  options.kv_cache_tokens = config.kv_cache_tokens;
  options.threads = config.threads;
  options.cache_type = config.cache_type;
  return options;
}

// One name for one file, through links, and whatever the working directory becomes. A path that
// cannot be looked at stays as it is: reading it will fail.
std::string CanonicalPath(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) return path;
  const std::filesystem::path canonical = std::filesystem::weakly_canonical(absolute, error);
  return error ? absolute.lexically_normal().string() : canonical.string();
}

class Manager : public RuntimeManager {
 public:
  Manager(const RuntimeOptions& options, std::unique_ptr<ModelLoader> loader)
      : options_(options), loader_(std::move(loader)) {}

  Result<std::shared_ptr<TenantRuntime>> AddTenant(TenantConfig config) override;
  Result<std::shared_ptr<TenantRuntime>> FindTenant(std::string_view name) const override;
  Status RemoveTenant(std::string_view name) override;
  std::vector<std::string> TenantNames() const override;
  std::vector<EngineMetrics> Metrics() const override;

 private:
  // Tenants with equal keys share an engine: the same weights, the same context and cache.
  using EngineKey = std::tuple<const LoadedModel*, int32_t, int32_t, int32_t, CacheType>;
  struct EngineSlot {
    Mutex mutex;  // held while the engine is made
    std::weak_ptr<Engine> engine FORETOKEN_GUARDED_BY(mutex);
  };

  Result<std::shared_ptr<SharedTargetTenant>> NewTenant(TenantConfig config);
  Result<std::shared_ptr<Engine>> EngineFor(const ModelConfig& config);
  Result<std::shared_ptr<DraftContext>> DraftFor(const ModelConfig& config, Engine& engine);
  Result<std::vector<AdapterPtr>> LoadAdapters(const TenantConfig& config);
  std::shared_ptr<TenantState> NewTenantState(const TenantConfig& config, const Engine& engine);

  const RuntimeOptions options_;
  const std::unique_ptr<ModelLoader> loader_;
  mutable Mutex mutex_;
  // Null while a tenant's models load: the name is taken.
  std::map<std::string, std::shared_ptr<SharedTargetTenant>, std::less<>> tenants_
      FORETOKEN_GUARDED_BY(mutex_);
  // The tenant that each file of a suffix store belongs to, from before it is loaded until it is
  // saved.
  std::map<std::string, std::string> suffix_store_owners_ FORETOKEN_GUARDED_BY(mutex_);
  // Second owner of a slot: the thread that fills it.
  std::map<EngineKey, std::shared_ptr<EngineSlot>> engines_ FORETOKEN_GUARDED_BY(mutex_);
  uint64_t next_tenant_key_ FORETOKEN_GUARDED_BY(mutex_) = 1;
};

Result<std::shared_ptr<TenantRuntime>> Manager::AddTenant(TenantConfig config) {
  FORETOKEN_RETURN_IF_ERROR(Validate(config));
  std::string& saved_path = config.suffix_store_path;
  if (!saved_path.empty()) saved_path = CanonicalPath(saved_path);
  const std::string name = config.name;
  const std::string store = saved_path;
  {
    MutexLock lock(mutex_);
    if (tenants_.count(name) > 0) {
      return FailedPreconditionError("tenant '" + name + "' exists already");
    }
    if (!store.empty()) {
      const auto [owner, is_free] = suffix_store_owners_.try_emplace(store, name);
      if (!is_free) {
        return FailedPreconditionError(
            fmt::format("tenant '{}' cannot keep its suffix store in {}: tenant '{}' does", name,
                        store, owner->second));
      }
    }
    tenants_.try_emplace(name);
  }
  auto tenant = NewTenant(std::move(config));
  MutexLock lock(mutex_);
  if (!tenant.ok()) {
    tenants_.erase(name);
    suffix_store_owners_.erase(store);
    return tenant.status();
  }
  tenants_[name] = *tenant;
  return std::shared_ptr<TenantRuntime>(*tenant);
}

Result<std::shared_ptr<SharedTargetTenant>> Manager::NewTenant(TenantConfig config) {
  TenantParts parts;
  FORETOKEN_ASSIGN_OR_RETURN(parts.engine, EngineFor(config.target));
  FORETOKEN_ASSIGN_OR_RETURN(parts.adapters, LoadAdapters(config));
  parts.draft_status = FailedPreconditionError("no draft model is configured");
  if (config.draft_model) {
    auto draft = DraftFor(*config.draft_model, *parts.engine);
    parts.draft_status = draft.status();
    if (draft.ok()) {
      parts.draft = *draft;
    } else {
      Log(LogLevel::kWarning, "tenant '" + config.name + "' decodes without its draft model: " +
                                  parts.draft_status.message());
    }
  }
  parts.state = NewTenantState(config, *parts.engine);
  parts.engine->AddTenant(parts.state->key);
  return std::make_shared<SharedTargetTenant>(std::move(config), std::move(parts));
}

Result<std::vector<AdapterPtr>> Manager::LoadAdapters(const TenantConfig& config) {
  std::vector<AdapterPtr> adapters;
  if (config.adapters.empty()) return adapters;
  FORETOKEN_ASSIGN_OR_RETURN(const std::shared_ptr<LoadedModel> target,
                             loader_->Load(config.target));
  for (const AdapterConfig& adapter : config.adapters) {
    FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<LoadedAdapter> weights,
                               target->LoadAdapter(adapter.path));
    adapters.push_back(std::make_shared<const EngineAdapter>(
        EngineAdapter{adapter.id, std::move(weights), adapter.scale}));
  }
  return adapters;
}

std::shared_ptr<TenantState> Manager::NewTenantState(const TenantConfig& config,
                                                     const Engine& engine) {
  auto state = std::make_shared<TenantState>();
  {
    MutexLock lock(mutex_);
    state->key = static_cast<TenantKey>(next_tenant_key_++);
  }
  state->name = config.name;
  state->weight = config.weight;
  if (config.suffix_store_bytes == 0) return state;
  const Vocabulary& vocabulary = engine.target().vocabulary();
  const bool kept = !config.suffix_store_path.empty();
  state->suffix_store = std::make_unique<TenantSuffixStore>(
      SuffixStoreIdentity{config.name, kept ? VocabularyFingerprint(vocabulary) : 0,
                          vocabulary.size()},
      config.suffix_store_bytes);
  if (!kept) return state;
  const Status loaded = state->suffix_store->Load(config.suffix_store_path);
  // It only saves time: without it the tenant starts as a new one does.
  if (!loaded.ok() && loaded.code() != StatusCode::kNotFound) {
    Log(LogLevel::kWarning,
        "tenant '" + config.name + "' starts with an empty suffix store: " + loaded.message());
  }
  return state;
}

Result<std::shared_ptr<Engine>> Manager::EngineFor(const ModelConfig& config) {
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<LoadedModel> model, loader_->Load(config));
  std::shared_ptr<EngineSlot> slot;
  {
    MutexLock lock(mutex_);
    std::shared_ptr<EngineSlot>& entry =
        engines_[{model.get(), config.context_tokens, config.kv_cache_tokens, config.threads,
                  config.cache_type}];
    if (!entry) entry = std::make_shared<EngineSlot>();
    slot = entry;
  }
  MutexLock lock(slot->mutex);
  if (std::shared_ptr<Engine> engine = slot->engine.lock()) return engine;
  EngineOptions options;
  options.target_id = config.id.empty() ? config.path : config.id;
  options.backend = BackendOptionsFor(config);
  options.runtime = options_;
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<Engine> made,
                             Engine::Create(std::move(model), std::move(options)));
  std::shared_ptr<Engine> engine = std::move(made);
  slot->engine = engine;
  return engine;
}

Result<std::shared_ptr<DraftContext>> Manager::DraftFor(const ModelConfig& config, Engine& engine) {
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<LoadedModel> model, loader_->Load(config));
  // Unless told otherwise, the draft follows the target to the end of its context, with as much
  // cache.
  BackendOptions options = BackendOptionsFor(config);
  const BackendDescription& target = engine.target_description();
  if (options.context_tokens == 0) {
    options.context_tokens = target.context_tokens;
    if (const int32_t trained = model->trained_context_tokens(); trained > 0) {
      options.context_tokens = std::min(options.context_tokens, trained);
    }
  }
  if (options.kv_cache_tokens == 0) {
    options.kv_cache_tokens = std::max(target.cache_tokens, options.context_tokens);
  }
  return engine.DraftContextFor(config.id.empty() ? config.path : config.id, std::move(model),
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
  Status closed = tenant->Close();
  MutexLock lock(mutex_);
  suffix_store_owners_.erase(tenant->config().suffix_store_path);
  return closed;
}

std::vector<std::string> Manager::TenantNames() const {
  std::vector<std::string> names;
  MutexLock lock(mutex_);
  for (const auto& [name, tenant] : tenants_) {
    if (tenant) names.push_back(name);
  }
  return names;
}

std::vector<EngineMetrics> Manager::Metrics() const {
  // Outside the lock: the last owner of an engine waits for its thread.
  std::vector<std::shared_ptr<SharedTargetTenant>> tenants;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, tenant] : tenants_) {
      if (tenant) tenants.push_back(tenant);
    }
  }
  std::set<const Engine*> engines;
  std::vector<EngineMetrics> metrics;
  for (const auto& tenant : tenants) {
    if (engines.insert(&tenant->engine()).second) metrics.push_back(tenant->engine().Metrics());
  }
  return metrics;
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
