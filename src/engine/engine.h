#ifndef FORETOKEN_ENGINE_ENGINE_H_
#define FORETOKEN_ENGINE_ENGINE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "engine/abort_watch.h"
#include "engine/draft_context.h"
#include "engine/engine_request.h"
#include "engine/engine_state.h"
#include "engine/mailbox.h"
#include "engine/stream_channel.h"
#include "foretoken/generation.h"
#include "foretoken/metrics.h"
#include "model/loaded_model.h"

namespace foretoken {

// Runs the generations of one loaded target, many at a time, on a thread of its own, which owns the
// target's context and uses the draft contexts made here. What a step does is in run_step.h.
// Any thread may call it. Destroying it cancels what runs and what waits; their streams stay
// readable.
class Engine {
 public:
  // RESOURCE_EXHAUSTED when the context does not fit into memory, or there is no thread to be had.
  static Result<std::unique_ptr<Engine>> Create(std::shared_ptr<LoadedModel> target,
                                                EngineOptions options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // The context for a draft model, the same for all that ask with the same model and context size
  // while one of them holds it; or why the model cannot draft for this target
  // (FAILED_PRECONDITION: other tokenizer, memory that cannot be rolled back).
  Result<std::shared_ptr<DraftContext>> DraftContextFor(std::string id,
                                                        std::shared_ptr<LoadedModel> model,
                                                        BackendOptions options)
      FORETOKEN_EXCLUDES(draft_mutex_);

  // Queues a request. INVALID_ARGUMENT for a prompt that leaves no room in the context, before
  // anything runs.
  Result<std::shared_ptr<StreamChannel>> Submit(EngineRequest request);

  // Counts for a tenant of its own from here on.
  void AddTenant(TenantKey tenant) { state_.metrics.AddTenant(tenant); }
  // Ends a tenant's requests as cancelled and forgets what is cached of its prompts. Returns when
  // it is done.
  void ForgetTenant(TenantKey tenant);
  // Lets prompts of all tenants that begin with these tokens share the cells of that beginning.
  void AddPublicPrefix(std::vector<TokenId> tokens);

  EngineMetrics Metrics() const {
    EngineMetrics metrics = state_.metrics.Snapshot();
    metrics.target_id = options_.target_id;
    return metrics;
  }
  // All zero for a tenant that is not, or no longer, here.
  TenantMetrics MetricsOf(TenantKey tenant) const {
    return state_.metrics.TenantSnapshot(tenant).value_or(TenantMetrics());
  }
  const BackendDescription& target_description() const { return backend_->description(); }
  const LoadedModel& target() const { return *target_; }

 private:
  Engine(std::shared_ptr<LoadedModel> target, std::unique_ptr<ModelBackend> backend,
         std::shared_ptr<AbortWatch> watch, EngineOptions options);
  static BackendOptions WithAbort(BackendOptions options, std::shared_ptr<AbortWatch> watch);
  Status Start();
  void Run();

  const EngineOptions options_;
  const std::shared_ptr<LoadedModel> target_;  // shared with other tenants' engines by content
  const std::unique_ptr<ModelBackend> backend_;
  const std::shared_ptr<AbortWatch> watch_;  // second owners: the back ends
  const std::shared_ptr<Mailbox> mailbox_;
  EngineState state_;  // the engine thread's, but for the metrics

  Mutex draft_mutex_;
  std::map<std::pair<const LoadedModel*, int32_t>, std::weak_ptr<DraftContext>> draft_contexts_
      FORETOKEN_GUARDED_BY(draft_mutex_);
  int32_t next_cost_id_ FORETOKEN_GUARDED_BY(draft_mutex_) = 0;
  std::thread thread_;
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_ENGINE_H_
