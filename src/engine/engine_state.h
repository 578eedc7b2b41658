#ifndef FORETOKEN_ENGINE_ENGINE_STATE_H_
#define FORETOKEN_ENGINE_ENGINE_STATE_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/ledger.h"
#include "base/worker_pool.h"
#include "engine/abort_watch.h"
#include "engine/active_request.h"
#include "engine/engine_metrics.h"
#include "engine/fair_counters.h"
#include "engine/prefix_cache.h"
#include "model/loaded_model.h"
#include "model/sequence_pool.h"
#include "speculative/draft_budget.h"

namespace foretoken {

struct EngineOptions {
  std::string target_id;  // for messages
  BackendOptions backend;
  RuntimeOptions runtime;
};

using RequestPtr = std::unique_ptr<ActiveRequest>;

// A tenant's requests that wait, and how many of the others are its own.
struct TenantQueue {
  std::shared_ptr<TenantState> tenant;
  std::deque<RequestPtr> waiting;  // oldest first
  int32_t running = 0;
  int32_t paused = 0;

  bool has_work() const { return !waiting.empty() || running > 0 || paused > 0; }
};

// Which adapter the steps of now serve: llama.cpp applies adapters to a whole context.
struct AdapterTurn {
  const EngineAdapter* adapter = nullptr;  // null: the base model
  std::chrono::steady_clock::time_point since;
  double switch_us = 0;  // what the last switch cost
  int64_t switches = 0;
};

// All that an engine is between two steps, for the actions that make up a step; each of them is a
// function over it in a file of its own. Plain data; engine's thread.
struct EngineState {
  using Clock = std::chrono::steady_clock;

  EngineState(const EngineOptions& engine_options, ModelBackend& target_backend,
              const Vocabulary& target_vocabulary, AbortWatch& abort_watch)
      : options(engine_options),
        backend(target_backend),
        vocabulary(target_vocabulary),
        watch(abort_watch),
        sequences(target_backend),
        saved_bytes("host memory for paused generations",
                    engine_options.runtime.paused_state_bytes),
        workers(engine_options.backend.threads),
        prefixes(sequences) {}

  const EngineOptions& options;
  ModelBackend& backend;
  const Vocabulary& vocabulary;
  AbortWatch& watch;
  SequencePool sequences;
  Ledger saved_bytes;
  WorkerPool workers;

  std::map<TenantKey, TenantQueue> tenants;
  std::vector<RequestPtr> running;  // in order of admission
  std::vector<RequestPtr> paused;   // oldest arrival first
  PrefixCache prefixes;
  // Beginnings of prompts that every tenant may share, since an operator said so.
  std::vector<std::vector<TokenId>> public_prefixes;
  FairCounters fairness;
  DraftBudget budget;
  MetricsRecorder metrics;
  AdapterTurn adapter_turn;
  uint64_t next_arrival = 0;
  int64_t step = 0;
  Clock::time_point last_step_end;
};

}  // namespace foretoken

#endif  // FORETOKEN_ENGINE_ENGINE_STATE_H_
