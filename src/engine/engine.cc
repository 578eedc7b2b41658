#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/log.h"
#include "base/macros.h"
#include "engine/adapter_turn.h"
#include "engine/finish_request.h"
#include "engine/run_step.h"
#include "model/cache_files.h"
#include "model/device_arbiter.h"
#include "model/forward_calibration.h"

namespace foretoken {
namespace {

// llama.cpp's own limit.
constexpr int32_t kMostSequences = 256;
// Sequences for cached prefixes, beyond those that may run.
constexpr int32_t kCachedSequences = 64;
// Rows with logits for each request that runs, on average: a row takes a vocabulary of floats.
constexpr int32_t kLogitsRowsPerRequest = 4;
constexpr int32_t kMinLogitsRows = 64;

void SizeBackend(const RuntimeOptions& runtime, BackendOptions& backend) {
  if (backend.threads == 0) {
    const ThreadCount count = DefaultThreadCount();
    Log(LogLevel::kInfo, fmt::format("{} threads compute: {}", count.threads, count.reason));
    backend.threads = count.threads;
  }
  backend.device = DeviceArbiter::Cpu().NewClient();
  // Tenants that come late get slots of their own beyond max_running: see HasSlot.
  backend.max_sequences = std::min(2 * runtime.max_running + kCachedSequences, kMostSequences);
  backend.max_logits_rows =
      std::min(std::max(kLogitsRowsPerRequest * runtime.max_running, kMinLogitsRows),
               backend.max_batch_rows);
}

// What the budget begins with instead of trying; nothing where the cost cannot be known.
std::vector<ForwardTime> TimesOf(ModelBackend& backend, const std::string& id) {
  const auto directory = CacheDirectory();
  auto times = CalibrateForwards(backend, directory.ok() ? *directory + "/forwards" : "");
  if (times.ok()) return std::move(times).value();
  Log(LogLevel::kWarning,
      fmt::format("{}: its forwards could not be timed: {}", id, times.status().message()));
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Create(std::shared_ptr<LoadedModel> target,
                                               EngineOptions options) {
  auto watch = std::make_shared<AbortWatch>();
  SizeBackend(options.runtime, options.backend);
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<ModelBackend> backend,
                             target->NewBackend(WithAbort(options.backend, watch)));
  std::unique_ptr<Engine> engine(
      new Engine(std::move(target), std::move(backend), std::move(watch), std::move(options)));
  for (const ForwardTime& time : TimesOf(*engine->backend_, engine->options_.target_id)) {
    engine->state_.budget.ObserveForward(time.rows, time.us);
  }
  FORETOKEN_RETURN_IF_ERROR(engine->Start());
  return engine;
}

Engine::Engine(std::shared_ptr<LoadedModel> target, std::unique_ptr<ModelBackend> backend,
               std::shared_ptr<AbortWatch> watch, EngineOptions options)
    : options_(std::move(options)),
      target_(std::move(target)),
      backend_(std::move(backend)),
      watch_(std::move(watch)),
      mailbox_(std::make_shared<Mailbox>()),
      state_(options_, *backend_, target_->vocabulary(), *watch_) {}

Status Engine::Start() {
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error& error) {
    return ResourceExhaustedError(fmt::format("no thread for the engine of {}: {}",
                                              options_.target_id, error.code().message()));
  }
  return OkStatus();
}

Engine::~Engine() {
  watch_->Stop();
  mailbox_->Close();
  if (thread_.joinable()) thread_.join();
}

BackendOptions Engine::WithAbort(BackendOptions options, std::shared_ptr<AbortWatch> watch) {
  options.should_abort = [watch = std::move(watch)] { return watch->ShouldAbort(); };
  return options;
}

Result<std::shared_ptr<DraftContext>> Engine::DraftContextFor(std::string id,
                                                              std::shared_ptr<LoadedModel> model,
                                                              BackendOptions options) {
  FORETOKEN_RETURN_IF_ERROR(CheckVocabularyMatch(target_->vocabulary(), model->vocabulary()));
  if (!target_description().can_truncate) {
    return FailedPreconditionError(
        "the target's memory cannot be rolled back, so nothing can be drafted for it");
  }
  MutexLock lock(draft_mutex_);
  std::weak_ptr<DraftContext>& shared = draft_contexts_[{model.get(), options.context_tokens}];
  if (std::shared_ptr<DraftContext> context = shared.lock()) return context;
  // One engine's forwards wait for each other anyway; the cache is for the same sequences.
  options.device = options_.backend.device;
  options.max_sequences = options_.backend.max_sequences;
  options.max_logits_rows = options_.backend.max_sequences;
  FORETOKEN_ASSIGN_OR_RETURN(std::unique_ptr<ModelBackend> backend,
                             model->NewBackend(WithAbort(std::move(options), watch_)));
  if (!backend->description().can_truncate) {
    return FailedPreconditionError(
        fmt::format("draft model {}: its memory cannot be rolled back", id));
  }
  std::vector<ForwardTime> times = TimesOf(*backend, id);
  const int32_t cost_id = next_cost_id_++;
  mailbox_->Post([cost_id, times = std::move(times)](EngineState& state) {
    for (const ForwardTime& time : times) {
      state.budget.ObserveDraftForward({cost_id, time.rows, time.us});
    }
  });
  auto context =
      std::make_shared<DraftContext>(std::move(id), cost_id, std::move(model), std::move(backend));
  shared = context;
  return context;
}

Result<std::shared_ptr<StreamChannel>> Engine::Submit(EngineRequest request) {
  if (request.prompt.empty()) return InvalidArgumentError("the prompt has no tokens");
  const auto context = static_cast<size_t>(target_description().context_tokens);
  if (request.prompt.size() >= context) {
    return InvalidArgumentError(fmt::format(
        "the prompt has {} tokens and the context {}: shorten the prompt or raise the context",
        request.prompt.size(), context));
  }
  auto channel = std::make_shared<StreamChannel>(
      static_cast<size_t>(options_.runtime.stream_capacity), mailbox_);
  auto active = std::make_shared<RequestPtr>(
      std::make_unique<ActiveRequest>(std::move(request), target_->vocabulary(), channel));
  (*active)->submitted = ActiveRequest::Clock::now();
  if (const int64_t deadline_ms = (*active)->request.options.deadline_ms; deadline_ms > 0) {
    (*active)->deadline = AddMilliseconds((*active)->submitted, deadline_ms);
  }
  // std::function wants what it holds to be copyable.
  if (!mailbox_->Post([active](EngineState& state) { AddRequest(state, std::move(*active)); })) {
    return FailedPreconditionError("the engine is being destroyed");
  }
  return channel;
}

void Engine::ForgetTenant(TenantKey tenant) {
  auto done = std::make_shared<std::promise<void>>();
  std::future<void> forgotten = done->get_future();
  const bool posted = mailbox_->Post([tenant, done](EngineState& state) {
    EndTenantRequests(state, tenant, CancelledError("the tenant was removed"));
    state.prefixes.EvictTenant(tenant);
    state.fairness.Forget(tenant);
    state.metrics.RemoveTenant(tenant);
    // Its adapters go with it. One that cannot be taken out stays until another is put in.
    if (const Status base = UseAdapter(state, nullptr); !base.ok()) {
      Log(LogLevel::kWarning, "an adapter stays in use: " + base.ToString());
    }
    done->set_value();
  });
  if (posted) forgotten.wait();
}

void Engine::AddPublicPrefix(std::vector<TokenId> tokens) {
  mailbox_->Post([tokens = std::move(tokens)](EngineState& state) {
    state.public_prefixes.push_back(tokens);
  });
}

void Engine::Run() {
  std::optional<Mailbox::Clock::time_point> wait_until;
  while (!mailbox_->closed()) {
    for (const EngineCommand& command : mailbox_->Take(wait_until)) command(state_);
    wait_until = RunStep(state_);
  }
  for (const EngineCommand& command : mailbox_->Take(std::nullopt)) command(state_);
  EndAllRequests(state_, CancelledError("the engine is being destroyed"));
}

}  // namespace foretoken
