#ifndef FORETOKEN_ENGINE_ENGINE_H_
#define FORETOKEN_ENGINE_ENGINE_H_

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "engine/draft_context.h"
#include "engine/generation_run.h"
#include "engine/stream_channel.h"
#include "foretoken/generation.h"
#include "model/loaded_model.h"
#include "model/sequence_pool.h"

namespace foretoken {

struct EngineOptions {
  std::string target_id;  // for messages
  BackendOptions backend;
  int32_t stream_capacity = 256;
};

// Runs the generations of one loaded target on a thread of its own, which owns the target's
// context and uses the draft contexts made here. Requests run one after the other, first come
// first served.
// Any thread may call it. Destroying it cancels what runs and what waits; their streams stay
// readable.
class Engine {
 public:
  // RESOURCE_EXHAUSTED when the context does not fit into memory.
  static Result<std::unique_ptr<Engine>> Create(std::shared_ptr<LoadedModel> target,
                                                EngineOptions options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Makes a context for a draft model, or says why it cannot draft for this target
  // (FAILED_PRECONDITION: other tokenizer, memory that cannot be rolled back).
  Result<std::shared_ptr<DraftContext>> NewDraftContext(std::string id,
                                                        std::shared_ptr<LoadedModel> model,
                                                        BackendOptions options);

  // Queues a request. INVALID_ARGUMENT for a prompt that leaves no room in the context, before
  // anything runs.
  Result<std::shared_ptr<StreamChannel>> Submit(EngineRequest request);

  const BackendDescription& target_description() const { return backend_->description(); }
  const LoadedModel& target() const { return *target_; }

 private:
  struct Pending {
    EngineRequest request;
    std::shared_ptr<StreamChannel> channel;
  };
  // Read by the back ends during a forward: the running request's cancel flag, null between.
  // Shared with them, since a draft context may be freed after the engine.
  using AbortFlag = std::shared_ptr<std::atomic<const std::atomic<bool>*>>;

  Engine(std::shared_ptr<LoadedModel> target, std::unique_ptr<ModelBackend> backend,
         AbortFlag running, EngineOptions options);
  static BackendOptions WithAbort(BackendOptions options, AbortFlag running);
  void Run() FORETOKEN_EXCLUDES(mutex_);

  const EngineOptions options_;
  const std::shared_ptr<LoadedModel> target_;  // shared with other tenants' engines by content
  const std::unique_ptr<ModelBackend> backend_;
  SequencePool sequences_;
  const AbortFlag running_;

  Mutex mutex_;
  CondVar changed_;
  std::deque<Pending> queue_ FORETOKEN_GUARDED_BY(mutex_);
  std::shared_ptr<StreamChannel> current_ FORETOKEN_GUARDED_BY(mutex_);
  bool stopping_ FORETOKEN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_ENGINE_H_
