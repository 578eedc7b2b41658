#ifndef FORETOKEN_SERVER_MODEL_POOL_H_
#define FORETOKEN_SERVER_MODEL_POOL_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "foretoken/runtime_manager.h"
#include "server/server_config.h"

namespace foretoken {

// What a tenant's requests to a model run under.
struct PoolTenant {
  std::string name;
  double weight = 1.0;
  SpeculativeConfig speculation;
  // The model that drafts; absent: the served model's own; an empty id: none.
  std::optional<ModelConfig> draft_model;
};

struct ModelPoolOptions {
  int64_t memory_budget_bytes = 0;  // of loaded models; 0: no bound
  int64_t unload_idle_ms = 0;       // 0: never
  // What a model takes, weights and caches.
  std::function<Result<int64_t>(const ServedModel&)> memory_of;
};

class ModelPool;

// A tenant's runtime on a loaded model, for one request. While it lives, the model stays loaded.
// Move-only; any thread may drop it. It must not outlive its pool.
class ModelLease {
 public:
  ModelLease() = default;
  ModelLease(ModelLease&& other) noexcept { *this = std::move(other); }
  ModelLease& operator=(ModelLease&& other) noexcept;
  ~ModelLease() { Release(); }

  TenantRuntime& runtime() const { return *runtime_; }
  const ServedModel& model() const { return *model_; }

 private:
  friend class ModelPool;
  void Release();

  ModelPool* pool_ = nullptr;
  const ServedModel* model_ = nullptr;
  std::string runtime_name_;
  std::shared_ptr<TenantRuntime> runtime_;  // second owner: the manager
};

// One line about a served model, for operators.
struct PoolModelState {
  std::string name;
  bool loaded = false;
  int64_t bytes = 0;  // while it is loaded
  int64_t leases = 0;
};

// The served models: loaded when first asked for, within a memory budget, and unloaded when nobody
// used them for a while. Tenants of a model share its weights and its engine, nothing else.
// Any thread may call it; models load on a thread of the pool's own, one at a time. The manager
// must outlive it; a model that cannot be loaded fails the requests that wait for it.
class ModelPool {
 public:
  using Done = std::function<void(Result<ModelLease>)>;

  ModelPool(RuntimeManager& manager, std::vector<ServedModel> models, ModelPoolOptions options);
  // Those who wait are told CANCELLED. Precondition: no lease is left.
  ~ModelPool();
  ModelPool(const ModelPool&) = delete;
  ModelPool& operator=(const ModelPool&) = delete;

  const std::vector<ServedModel>& models() const { return models_; }
  // By name or alias; null when there is none.
  const ServedModel* Find(std::string_view name) const;

  // Calls `done` with the tenant's runtime: at once, on this thread, when it is there; otherwise
  // later, on the pool's, which it must not hold up. RESOURCE_EXHAUSTED when the budget has no room
  // and no idle model to unload. Precondition: `model` is one of this pool's.
  void Acquire(const PoolTenant& tenant, const ServedModel& model, Done done)
      FORETOKEN_EXCLUDES(mutex_);
  // Loads what is to be preloaded. Waits for it.
  Status Preload() FORETOKEN_EXCLUDES(mutex_);
  // Ends a tenant's requests and forgets all that is kept for it, on every model.
  void ForgetTenant(std::string_view tenant) FORETOKEN_EXCLUDES(mutex_);
  std::vector<PoolModelState> States() const FORETOKEN_EXCLUDES(mutex_);

 private:
  friend class ModelLease;
  using Clock = std::chrono::steady_clock;

  struct Slot {  // a tenant on a model
    std::string tenant;
    std::shared_ptr<TenantRuntime> runtime;
    int64_t leases = 0;
    bool is_retired = false;  // closed when its last lease ends
  };
  struct Entry {  // a model
    const ServedModel* model = nullptr;
    std::shared_ptr<TenantRuntime> anchor;  // keeps the model loaded; set: it is
    int64_t bytes = 0;
    std::map<std::string, Slot> slots;  // by the runtime's name
    Clock::time_point last_used;
  };
  struct Job {
    PoolTenant tenant;  // without a name: to load the model only
    const ServedModel* model = nullptr;
    Done done;
  };

  static int64_t LeasesOf(const Entry& entry);
  Entry& EntryOf(const ServedModel& model) FORETOKEN_REQUIRES(mutex_);
  // The tenant's slot if its policy is still that; one with another policy is retired.
  std::pair<const std::string, Slot>* FindSlot(Entry& entry, const PoolTenant& tenant)
      FORETOKEN_REQUIRES(mutex_);
  ModelLease Lease(Entry& entry, const std::string& name, Slot& slot) FORETOKEN_REQUIRES(mutex_);
  void Release(const ModelLease& lease) FORETOKEN_EXCLUDES(mutex_);
  TenantConfig ConfigOf(const PoolTenant& tenant, const ServedModel& model) const;

  // The pool's thread.
  void Run();
  Result<ModelLease> Serve(const Job& job) FORETOKEN_EXCLUDES(mutex_);
  Status EnsureLoaded(const ServedModel& model) FORETOKEN_EXCLUDES(mutex_);
  Status MakeRoom(const ServedModel& model, int64_t bytes) FORETOKEN_EXCLUDES(mutex_);
  void Unload(const ServedModel& model) FORETOKEN_EXCLUDES(mutex_);
  void UnloadIdle() FORETOKEN_EXCLUDES(mutex_);
  void CloseRetired() FORETOKEN_EXCLUDES(mutex_);

  RuntimeManager& manager_;
  const std::vector<ServedModel> models_;
  const ModelPoolOptions options_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<const ServedModel*, Entry> entries_ FORETOKEN_GUARDED_BY(mutex_);
  std::deque<Job> jobs_ FORETOKEN_GUARDED_BY(mutex_);
  std::vector<std::string> retired_ FORETOKEN_GUARDED_BY(mutex_);  // runtimes to close
  uint64_t next_runtime_ FORETOKEN_GUARDED_BY(mutex_) = 1;
  bool is_stopping_ FORETOKEN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Weights as large as their files, and a cache of as many tokens as the model is served with.
Result<int64_t> ServedModelMemory(const ServedModel& model);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_MODEL_POOL_H_
