#include "server/model_pool.h"

#include <algorithm>
#include <chrono>
#include <future>

#include <fmt/format.h>

#include "base/log.h"
#include "base/macros.h"
#include "model/gguf_reader.h"
#include "model/model_facts.h"
#include "server/config_reader.h"

namespace foretoken {
namespace {

// No tenant's name: those have no parentheses.
constexpr const char* kAnchorName = "(server)";

bool SamePolicy(TenantConfig a, const TenantConfig& b) {
  a.name = b.name;
  return a == b;
}

Result<int64_t> WeightsAndCache(const ModelConfig& config) {
  FORETOKEN_ASSIGN_OR_RETURN(const GgufFile file, ReadGgufFile(config.path));
  const ModelFacts facts = CollectModelFacts(file);
  int64_t tokens = std::max(config.kv_cache_tokens, config.context_tokens);
  if (tokens == 0) tokens = std::min<int64_t>(std::max<int64_t>(facts.context_tokens, 1), 8192);
  const int64_t head = facts.heads > 0 ? facts.embedding_length / facts.heads : 0;
  const int64_t element_bytes = config.cache_type == CacheType::kF16 ? 2 : 1;
  return static_cast<int64_t>(facts.file_bytes) +
         tokens * facts.layers * facts.kv_heads * head * 2 * element_bytes;
}

}  // namespace

Result<int64_t> ServedModelMemory(const ServedModel& model) {
  FORETOKEN_ASSIGN_OR_RETURN(int64_t bytes, WeightsAndCache(model.target));
  if (!model.draft_model) return bytes;
  // A draft model that cannot be read is left out when the model is loaded, too.
  const Result<int64_t> draft = WeightsAndCache(*model.draft_model);
  return bytes + (draft.ok() ? *draft : 0);
}

ModelLease& ModelLease::operator=(ModelLease&& other) noexcept {
  if (this == &other) return *this;
  Release();
  pool_ = std::exchange(other.pool_, nullptr);
  model_ = other.model_;
  runtime_name_ = std::move(other.runtime_name_);
  runtime_ = std::move(other.runtime_);
  return *this;
}

void ModelLease::Release() {
  if (pool_ == nullptr) return;
  std::exchange(pool_, nullptr)->Release(*this);
  runtime_.reset();
}

ModelPool::ModelPool(RuntimeManager& manager, std::vector<ServedModel> models,
                     ModelPoolOptions options)
    : manager_(manager), models_(std::move(models)), options_(std::move(options)) {
  {
    MutexLock lock(mutex_);
    for (const ServedModel& model : models_) entries_[&model].model = &model;
  }
  thread_ = std::thread([this] { Run(); });
}

ModelPool::~ModelPool() {
  {
    MutexLock lock(mutex_);
    is_stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
  for (const ServedModel& model : models_) Unload(model);
}

const ServedModel* ModelPool::Find(std::string_view name) const {
  for (const ServedModel& model : models_) {
    if (model.name == name ||
        std::find(model.aliases.begin(), model.aliases.end(), name) != model.aliases.end()) {
      return &model;
    }
  }
  return nullptr;
}

ModelPool::Entry& ModelPool::EntryOf(const ServedModel& model) {
  return entries_.at(&model);
}

int64_t ModelPool::LeasesOf(const Entry& entry) {
  int64_t leases = 0;
  for (const auto& [name, slot] : entry.slots) leases += slot.leases;
  return leases;
}

TenantConfig ModelPool::ConfigOf(const PoolTenant& tenant, const ServedModel& model) const {
  TenantConfig config;
  config.target = model.target;
  config.draft_model = tenant.draft_model ? tenant.draft_model : model.draft_model;
  if (config.draft_model && config.draft_model->id.empty()) config.draft_model.reset();
  config.weight = tenant.weight;
  config.speculation = tenant.speculation;
  return config;
}

std::pair<const std::string, ModelPool::Slot>* ModelPool::FindSlot(Entry& entry,
                                                                   const PoolTenant& tenant) {
  const TenantConfig wanted = ConfigOf(tenant, *entry.model);
  for (auto& named : entry.slots) {
    Slot& slot = named.second;
    if (slot.tenant != tenant.name || slot.is_retired) continue;
    if (SamePolicy(wanted, slot.runtime->config())) return &named;
    slot.is_retired = true;
    if (slot.leases == 0) {
      retired_.push_back(named.first);
      changed_.NotifyAll();
    }
  }
  return nullptr;
}

ModelLease ModelPool::Lease(Entry& entry, const std::string& name, Slot& slot) {
  ModelLease lease;
  lease.pool_ = this;
  lease.model_ = entry.model;
  lease.runtime_name_ = name;
  lease.runtime_ = slot.runtime;
  ++slot.leases;
  return lease;
}

void ModelPool::Release(const ModelLease& lease) {
  MutexLock lock(mutex_);
  Entry& entry = EntryOf(*lease.model_);
  entry.last_used = Clock::now();
  Slot& slot = entry.slots.at(lease.runtime_name_);
  if (--slot.leases > 0 || !slot.is_retired) return;
  retired_.push_back(lease.runtime_name_);
  changed_.NotifyAll();
}

void ModelPool::Acquire(const PoolTenant& tenant, const ServedModel& model, Done done) {
  ModelLease lease;
  {
    MutexLock lock(mutex_);
    Entry& entry = EntryOf(model);
    auto* const named = FindSlot(entry, tenant);
    if (named == nullptr) {
      jobs_.push_back({tenant, &model, std::move(done)});
      changed_.NotifyAll();
      return;
    }
    lease = Lease(entry, named->first, named->second);
  }
  done(std::move(lease));
}

Status ModelPool::Preload() {
  for (const ServedModel& model : models_) {
    if (!model.preload) continue;
    std::promise<Status> loaded;
    {
      MutexLock lock(mutex_);
      jobs_.push_back({PoolTenant(), &model,
                       [&](const Result<ModelLease>& done) { loaded.set_value(done.status()); }});
      changed_.NotifyAll();
    }
    const Status status = loaded.get_future().get();
    if (!status.ok()) {
      return Status(status.code(), fmt::format("model '{}': {}", model.name, status.message()));
    }
  }
  return OkStatus();
}

void ModelPool::ForgetTenant(std::string_view tenant) {
  std::vector<std::string> names;
  {
    MutexLock lock(mutex_);
    for (auto& [model, entry] : entries_) {
      for (auto& [name, slot] : entry.slots) {
        if (slot.tenant != tenant) continue;
        slot.is_retired = true;
        names.push_back(name);
        if (slot.leases == 0) retired_.push_back(name);
      }
    }
    changed_.NotifyAll();
  }
  // Now, also for those that are in use: what is cached goes, what runs ends as cancelled.
  for (const std::string& name : names) {
    const Status removed = manager_.RemoveTenant(name);
    if (!removed.ok() && removed.code() != StatusCode::kNotFound) {
      Log(LogLevel::kError, fmt::format("{}: {}", name, removed.message()));
    }
  }
}

std::vector<PoolModelState> ModelPool::States() const {
  std::vector<PoolModelState> states;
  MutexLock lock(mutex_);
  for (const ServedModel& model : models_) {
    const Entry& entry = entries_.at(&model);
    states.push_back({model.name, entry.anchor != nullptr, entry.bytes, LeasesOf(entry)});
  }
  return states;
}

void ModelPool::Run() {
  constexpr auto kLook = std::chrono::seconds(1);
  for (;;) {
    std::deque<Job> jobs;
    {
      MutexLock lock(mutex_);
      const auto deadline = Clock::now() + kLook;
      while (jobs_.empty() && retired_.empty() && !is_stopping_ && Clock::now() < deadline) {
        changed_.WaitUntil(mutex_, deadline);
      }
      jobs.swap(jobs_);
      if (is_stopping_ && jobs.empty()) return;
      if (is_stopping_) {
        for (Job& job : jobs) job.done(CancelledError("the server is stopping"));
        continue;
      }
    }
    for (Job& job : jobs) job.done(Serve(job));
    CloseRetired();
    UnloadIdle();
  }
}

Result<ModelLease> ModelPool::Serve(const Job& job) {
  FORETOKEN_RETURN_IF_ERROR(EnsureLoaded(*job.model));
  if (job.tenant.name.empty()) return ModelLease();
  TenantConfig config = ConfigOf(job.tenant, *job.model);
  {
    MutexLock lock(mutex_);
    Entry& entry = EntryOf(*job.model);
    // Someone asked for the same before and was served.
    if (auto* const named = FindSlot(entry, job.tenant)) {
      return Lease(entry, named->first, named->second);
    }
    config.name = fmt::format("{}@{}#{}", job.tenant.name, job.model->name, next_runtime_++);
  }
  const std::string name = config.name;
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<TenantRuntime> runtime,
                             manager_.AddTenant(std::move(config)));
  MutexLock lock(mutex_);
  Entry& entry = EntryOf(*job.model);
  Slot& slot = entry.slots[name];
  slot.tenant = job.tenant.name;
  slot.runtime = std::move(runtime);
  return Lease(entry, name, slot);
}

Status ModelPool::EnsureLoaded(const ServedModel& model) {
  {
    MutexLock lock(mutex_);
    if (EntryOf(model).anchor != nullptr) return OkStatus();
  }
  int64_t bytes = 0;
  if (options_.memory_of) {
    FORETOKEN_ASSIGN_OR_RETURN(bytes, options_.memory_of(model));
  }
  FORETOKEN_RETURN_IF_ERROR(MakeRoom(model, bytes));
  PoolTenant anchor;
  anchor.name = kAnchorName;
  TenantConfig config = ConfigOf(anchor, model);
  config.name = fmt::format("{}@{}", kAnchorName, model.name);
  FORETOKEN_ASSIGN_OR_RETURN(std::shared_ptr<TenantRuntime> runtime,
                             manager_.AddTenant(std::move(config)));
  Log(LogLevel::kInfo, fmt::format("model '{}' is loaded", model.name));
  MutexLock lock(mutex_);
  Entry& entry = EntryOf(model);
  entry.anchor = std::move(runtime);
  entry.bytes = bytes;
  entry.last_used = Clock::now();
  return OkStatus();
}

Status ModelPool::MakeRoom(const ServedModel& model, int64_t bytes) {
  if (options_.memory_budget_bytes == 0) return OkStatus();
  if (bytes > options_.memory_budget_bytes) {
    return FailedPreconditionError(
        fmt::format("model '{}' takes {} with its cache, more than memory_budget ({})", model.name,
                    BytesText(bytes), BytesText(options_.memory_budget_bytes)));
  }
  for (;;) {
    const ServedModel* idlest = nullptr;
    {
      MutexLock lock(mutex_);
      int64_t loaded = 0;
      for (const auto& [key, entry] : entries_) {
        loaded += entry.bytes;
        if (entry.anchor == nullptr || key->preload || LeasesOf(entry) > 0) continue;
        if (idlest == nullptr || entry.last_used < EntryOf(*idlest).last_used) idlest = key;
      }
      if (loaded + bytes <= options_.memory_budget_bytes) return OkStatus();
    }
    if (idlest == nullptr) {
      return ResourceExhaustedError(
          fmt::format("there is no memory for model '{}' while the loaded ones are in use; try "
                      "again later",
                      model.name));
    }
    Unload(*idlest);
  }
}

void ModelPool::Unload(const ServedModel& model) {
  std::vector<std::string> names;
  std::shared_ptr<TenantRuntime> anchor;
  std::map<std::string, Slot> slots;
  {
    MutexLock lock(mutex_);
    Entry& entry = EntryOf(model);
    // A lease may have been taken since the model was found idle.
    if (entry.anchor == nullptr || LeasesOf(entry) > 0) return;
    anchor = std::move(entry.anchor);
    entry.anchor.reset();
    entry.bytes = 0;
    slots.swap(entry.slots);
    names.push_back(anchor->config().name);
    for (const auto& [name, slot] : slots) {
      names.push_back(name);
      std::erase(retired_, name);
    }
  }
  for (const std::string& name : names) {
    const Status removed = manager_.RemoveTenant(name);
    if (!removed.ok() && removed.code() != StatusCode::kNotFound) {
      Log(LogLevel::kError, fmt::format("{}: {}", name, removed.message()));
    }
  }
  Log(LogLevel::kInfo, fmt::format("model '{}' is unloaded", model.name));
}

void ModelPool::UnloadIdle() {
  if (options_.unload_idle_ms == 0) return;
  std::vector<const ServedModel*> idle;
  {
    MutexLock lock(mutex_);
    const auto since = Clock::now() - std::chrono::milliseconds(options_.unload_idle_ms);
    for (const auto& [model, entry] : entries_) {
      if (entry.anchor != nullptr && !model->preload && LeasesOf(entry) == 0 &&
          entry.last_used < since) {
        idle.push_back(model);
      }
    }
  }
  for (const ServedModel* model : idle) Unload(*model);
}

void ModelPool::CloseRetired() {
  std::vector<std::string> names;
  {
    MutexLock lock(mutex_);
    names.swap(retired_);
    for (auto& [model, entry] : entries_) {
      for (const std::string& name : names) entry.slots.erase(name);
    }
  }
  for (const std::string& name : names) {
    const Status removed = manager_.RemoveTenant(name);
    // ForgetTenant removes at once what it retires.
    if (!removed.ok() && removed.code() != StatusCode::kNotFound) {
      Log(LogLevel::kError, fmt::format("{}: {}", name, removed.message()));
    }
  }
}

}  // namespace foretoken
