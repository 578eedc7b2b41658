#ifndef FORETOKEN_UNIT_ENGINE_ENGINE_FIXTURE_H_
#define FORETOKEN_UNIT_ENGINE_ENGINE_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/admit_requests.h"
#include "engine/engine_state.h"
#include "engine/run_step.h"
#include "speculative/decode_round.h"
#include "testing/fake_model.h"

namespace foretoken {

using Tokens = std::vector<TokenId>;
using Clock = ActiveRequest::Clock;

// The tokens first, first + 1, ... within a vocabulary of 16, the end of text left out: beginnings
// of such prompts agree exactly where they start with the same token.
inline Tokens Count(TokenId first, int32_t size) {
  Tokens tokens;
  for (int32_t i = 0; i < size; ++i) tokens.push_back(1 + (first - 1 + i) % 15);
  return tokens;
}

// A request and its reader's end. The pointer is good until the request ends.
struct Submitted {
  ActiveRequest* request = nullptr;
  std::shared_ptr<StreamChannel> channel;
};

// What a stream brought. Waits for its end.
inline GenerationResult Read(const Submitted& submitted) {
  return Collect(*NewChannelStream(submitted.channel));
}

// The state of an engine over a fake back end, without its thread: a test calls the actions one by
// one, or RunStep. A test that derives from it sets the options before the first state().
class EngineStateTest : public testing::Test {
 protected:
  EngineStateTest() {
    model_options_.end_of_text_logit = -100;
    options_.target_id = "target";
    options_.backend.max_sequences = 32;
    options_.backend.threads = 1;
  }

  ~EngineStateTest() override { DropState(); }

  // Ends the engine, whatever it is at; nothing may be left of what ran. The next state() is a new
  // one, of the options as they are then.
  void DropState() {
    if (!state_) return;
    EXPECT_EQ(state_->saved_bytes.used(), SavedBytes());
    state_->running.clear();
    state_->paused.clear();
    state_->tenants.clear();
    while (state_->prefixes.EvictLeastRecentlyUsed()) {
    }
    EXPECT_EQ(state_->sequences.used(), 0);
    EXPECT_EQ(state_->sequences.used_cells(), 0);
    EXPECT_EQ(state_->saved_bytes.used(), 0);
    EXPECT_EQ(control_->cells_in_use, 0);
    state_.reset();
    backend_.reset();
  }

  EngineState& state() {
    if (!state_) {
      model_ = NewFakeModel(model_options_, control_);
      backend_ = model_->NewBackend(options_.backend).value();
      state_.emplace(options_, *backend_, model_->vocabulary(), watch_);
    }
    return *state_;
  }

  const std::shared_ptr<TenantState>& Tenant(uint64_t key) {
    std::shared_ptr<TenantState>& tenant = tenants_[key];
    if (!tenant) {
      tenant = std::make_shared<TenantState>();
      tenant->key = TenantKey{key};
    }
    return tenant;
  }

  EngineRequest NewRequest(uint64_t tenant, Tokens prompt, int32_t max_tokens = 8) {
    EngineRequest request;
    request.tenant = Tenant(tenant);
    request.prompt = std::move(prompt);
    request.options.max_tokens = max_tokens;
    request.speculation.mode = SpeculationMode::kOff;
    request.seed = 7;
    return request;
  }

  // Queues a request, as Engine::Submit does.
  Submitted Add(EngineRequest request) {
    auto channel = std::make_shared<StreamChannel>(
        static_cast<size_t>(options_.runtime.stream_capacity), mailbox_);
    auto active = std::make_unique<ActiveRequest>(std::move(request), state().vocabulary, channel);
    active->submitted = Clock::now();
    const Submitted submitted{active.get(), std::move(channel)};
    AddRequest(state(), std::move(active));
    return submitted;
  }
  Submitted Add(uint64_t tenant, Tokens prompt, int32_t max_tokens = 8) {
    return Add(NewRequest(tenant, std::move(prompt), max_tokens));
  }
  Submitted Admit(EngineRequest request) {
    const Submitted submitted = Add(std::move(request));
    AdmitRequests(state());
    return submitted;
  }

  bool IsRunning(const Submitted& submitted) { return IsIn(state().running, submitted); }
  bool IsPaused(const Submitted& submitted) { return IsIn(state().paused, submitted); }
  bool IsWaiting(const Submitted& submitted) {
    for (const auto& [key, queue] : state().tenants) {
      if (IsIn(queue.waiting, submitted)) return true;
    }
    return false;
  }
  bool IsOver(const Submitted& submitted) {
    return !IsRunning(submitted) && !IsPaused(submitted) && !IsWaiting(submitted);
  }
  size_t WaitingCount(uint64_t tenant) {
    const auto found = state().tenants.find(TenantKey{tenant});
    return found == state().tenants.end() ? 0 : found->second.waiting.size();
  }

  // Fills a request's stream, as when nobody reads it.
  static void FallBehind(const Submitted& submitted) {
    while (submitted.channel->HasRoom()) submitted.channel->Push(TokensEvent());
  }
  // The same, and long ago.
  static void Stall(const Submitted& submitted) {
    FallBehind(submitted);
    submitted.request->stalled_since = Clock::now() - 2 * ActiveRequest::kLongStall;
  }
  void Unstall(const Submitted& submitted) {
    for (int32_t i = 0; i < options_.runtime.stream_capacity; ++i) submitted.channel->Next();
  }

  // Steps until nothing is left to do.
  void RunToTheEnd() {
    for (int step = 0; step < 10000; ++step) {
      if (RunStep(state())) break;
    }
    EXPECT_TRUE(state().tenants.empty()) << "the engine waits with requests unfinished";
  }
  void RunSteps(int count) {
    for (int step = 0; step < count; ++step) {
      ASSERT_FALSE(RunStep(state()).has_value()) << "the engine waits";
    }
  }

  // Runs the prompts of all that run and gives each its first token, without the engine's budget
  // learning from what that takes.
  void StartDecoding() {
    DraftBudget budget;
    for (const RequestPtr& request : state().running) {
      while (request->sink.tokens() == 0) {
        RoundEntry entry{.decoder = &*request->decoder,
                         .sink = &request->sink,
                         .acceptance = &request->request.tenant->acceptance,
                         .max_committed_rows = state().backend.description().max_batch_rows};
        DecodeRound({&entry, 1}, {.budget = budget, .workers = state().workers});
        ASSERT_TRUE(entry.status.ok()) << entry.status.ToString();
      }
    }
  }

  // What a request must generate: its tokens alone on a fresh context, plainly.
  Tokens Alone(const EngineRequest& request) {
    FakeModelOptions options = model_options_;
    options.max_batch_rows = 1000;
    const auto model = NewFakeModel(options);
    const auto backend = model->NewBackend({.max_batch_rows = 1000}).value();
    std::shared_ptr<LoadedAdapter> adapter;
    if (request.adapter) {
      adapter = model->LoadAdapter(request.adapter->id).value();
      EXPECT_TRUE(backend->UseAdapter(adapter.get(), request.adapter->scale).ok());
    }
    SequencePool pool(*backend);
    DecoderOptions decoding;
    decoding.speculation.mode = SpeculationMode::kOff;
    decoding.sampling = request.options.sampling;
    decoding.seed = request.seed;
    decoding.noise_stream = request.options.choice;
    decoding.vocabulary_size = model_options_.vocabulary_size;
    SpeculativeDecoder decoder(TargetModelWrapper("alone", pool, std::nullopt), {}, decoding);
    return decoder.Generate(request.prompt, request.options.max_tokens).value();
  }
  static Tokens TokensOf(const GenerationResult& result) {
    Tokens tokens;
    for (const GeneratedToken& token : result.tokens) tokens.push_back(token.id);
    return tokens;
  }

  // An adapter of the model whose id is its path; `model_options_.adapters` names it.
  AdapterPtr NewAdapter(const std::string& id) {
    state();
    return std::make_shared<const EngineAdapter>(
        EngineAdapter{.id = id, .weights = model_->LoadAdapter(id).value()});
  }

  // Makes the budget know what forwards of 1 to 128 rows cost.
  void LearnCosts(const std::function<double(int32_t rows)>& us) {
    AcceptanceModel acceptance;
    RequestAcceptance request;
    const BudgetSequence plain{
        .mode = SpeculationMode::kOff, .acceptance = &acceptance, .request = &request};
    const DraftOutcome nothing;
    for (int repeat = 0; repeat < 4; ++repeat) {
      for (int32_t rows = 1; rows <= 128; ++rows) {
        state().budget.Choose({&plain, 1}, rows - 1, rows);
        state().budget.Observe({&plain, 1}, {.target_rows = rows,
                                             .target_us = us(rows),
                                             .draft_forwards = {},
                                             .sequences = {&nothing, 1}});
      }
    }
  }

  FakeModelOptions model_options_;
  EngineOptions options_;
  std::shared_ptr<FakeControl> control_ = std::make_shared<FakeControl>();
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  AbortWatch watch_;
  std::shared_ptr<LoadedModel> model_;

 private:
  template <typename List>
  static bool IsIn(const List& list, const Submitted& submitted) {
    for (const RequestPtr& request : list) {
      if (request.get() == submitted.request) return true;
    }
    return false;
  }

  int64_t SavedBytes() const {
    int64_t bytes = 0;
    for (const RequestPtr& request : state_->paused) {
      if (request->saved) bytes += request->saved->reservation.amount();
    }
    return bytes;
  }

  std::unique_ptr<ModelBackend> backend_;
  std::map<uint64_t, std::shared_ptr<TenantState>> tenants_;
  std::optional<EngineState> state_;
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_ENGINE_ENGINE_FIXTURE_H_
