#include "engine/engine.h"

#include <utility>

#include <fmt/format.h>

#include "base/macros.h"

namespace foretoken {

Result<std::unique_ptr<Engine>> Engine::Create(std::shared_ptr<LoadedModel> target,
                                               EngineOptions options) {
  AbortFlag running = std::make_shared<std::atomic<const std::atomic<bool>*>>(nullptr);
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<ModelBackend> backend,
                             target->NewBackend(WithAbort(options.backend, running)));
  return std::unique_ptr<Engine>(
      new Engine(std::move(target), std::move(backend), std::move(running), std::move(options)));
}

Engine::Engine(std::shared_ptr<LoadedModel> target, std::unique_ptr<ModelBackend> backend,
               AbortFlag running, EngineOptions options)
    : options_(std::move(options)),
      target_(std::move(target)),
      backend_(std::move(backend)),
      sequences_(*backend_),
      running_(std::move(running)),
      thread_([this] { Run(); }) {}

Engine::~Engine() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (current_) current_->Cancel();
    changed_.NotifyAll();
  }
  thread_.join();
}

BackendOptions Engine::WithAbort(BackendOptions options, AbortFlag running) {
  options.should_abort = [running = std::move(running)] {
    const std::atomic<bool>* cancelled = running->load();
    return cancelled != nullptr && cancelled->load();
  };
  return options;
}

Result<std::shared_ptr<DraftContext>> Engine::NewDraftContext(std::string id,
                                                              std::shared_ptr<LoadedModel> model,
                                                              BackendOptions options) {
  FORETOKEN_RETURN_IF_ERROR(CheckVocabularyMatch(target_->vocabulary(), model->vocabulary()));
  if (!target_description().can_truncate) {
    return FailedPreconditionError(
        "the target's memory cannot be rolled back, so nothing can be drafted for it");
  }
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<ModelBackend> backend,
                             model->NewBackend(WithAbort(std::move(options), running_)));
  if (!backend->description().can_truncate) {
    return FailedPreconditionError(
        fmt::format("draft model {}: its memory cannot be rolled back", id));
  }
  return std::make_shared<DraftContext>(std::move(id), std::move(model), std::move(backend));
}

Result<std::shared_ptr<StreamChannel>> Engine::Submit(EngineRequest request) {
  if (request.prompt.empty()) return InvalidArgumentError("the prompt has no tokens");
  const auto context = static_cast<size_t>(target_description().context_tokens);
  if (request.prompt.size() >= context) {
    return InvalidArgumentError(fmt::format(
        "the prompt has {} tokens and the context {}: shorten the prompt or raise the context",
        request.prompt.size(), context));
  }
  auto channel = std::make_shared<StreamChannel>(static_cast<size_t>(options_.stream_capacity));
  MutexLock lock(mutex_);
  queue_.push_back({std::move(request), channel});
  changed_.NotifyAll();
  return channel;
}

void Engine::Run() {
  const TargetContext target{options_.target_id, &target_->vocabulary(), &sequences_};
  while (true) {
    Pending pending;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) changed_.Wait(mutex_);
      if (queue_.empty()) return;
      pending = std::move(queue_.front());
      queue_.pop_front();
      if (stopping_) pending.channel->Cancel();
      current_ = pending.channel;
    }
    if (pending.channel->Start()) {
      running_->store(&pending.channel->cancelled());
      FinishedEvent finished = RunGeneration(pending.request, target, *pending.channel);
      running_->store(nullptr);
      pending.request = EngineRequest();
      pending.channel->Finish(std::move(finished));
    }
    MutexLock lock(mutex_);
    current_.reset();
  }
}

}  // namespace foretoken
