#include "engine/run_step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "engine/kv_room.h"
#include "integration/slowness.h"
#include "unit/engine/engine_fixture.h"

namespace foretoken {
namespace {

class RunStepTest : public EngineStateTest {
 protected:
  RunStepTest() {
    model_options_.max_batch_rows = 64;
    model_options_.max_logits_rows = 64;
    model_options_.adapters = {{"formal", 11}};
    options_.backend.kv_cache_tokens = 2000;
  }

  // A draft model that is right about as often as `quality` says.
  std::shared_ptr<DraftContext> NewDraft(double quality, int32_t cost_id = 0) {
    FakeModelOptions options = model_options_;
    options.imitated_seed = options.seed;
    options.seed += 1000;
    options.quality = quality;
    const auto model = NewFakeModel(options, draft_control_);
    return std::make_shared<DraftContext>("draft", cost_id, model,
                                          model->NewBackend(options_.backend).value());
  }
  GenerationResult Run(const EngineRequest& request) {
    const Submitted submitted = Add(request);
    RunToTheEnd();
    return Read(submitted);
  }

  std::shared_ptr<FakeControl> draft_control_ = std::make_shared<FakeControl>();
};

TEST_F(RunStepTest, RequestsRunTogetherAndIndependently) {
  std::vector<EngineRequest> requests;
  std::vector<Submitted> submitted;
  for (TokenId first = 1; first <= 6; ++first) {
    requests.push_back(NewRequest(static_cast<uint64_t>(first % 3), Count(first, 4), 4 + first));
    requests.back().seed = static_cast<uint64_t>(first);
    submitted.push_back(Add(requests.back()));
  }
  RunToTheEnd();
  for (size_t i = 0; i < requests.size(); ++i) {
    const GenerationResult result = Read(submitted[i]);
    EXPECT_EQ(TokensOf(result), Alone(requests[i]));
    EXPECT_EQ(result.finish.reason, FinishReason::kLength);
  }
  EXPECT_EQ(control_->decodes, 10) << "as many forwards as the longest answer has tokens";
}

TEST_F(RunStepTest, ChoicesOfOneSeedDiffer) {
  EngineRequest request = NewRequest(1, {1, 2}, 20);
  const Tokens first = TokensOf(Run(request));
  request.options.choice = 1;
  const Tokens second = TokensOf(Run(request));
  EXPECT_NE(first, second);
  EXPECT_EQ(second, Alone(request));
}

TEST_F(RunStepTest, EverySourceDraftsAndChangesNoToken) {
  model_options_.context_order = 1;  // text that repeats
  EngineRequest request = NewRequest(1, Count(1, 6), 50);
  request.options.sampling.temperature = 0;
  const Tokens expected = Alone(request);
  request.speculation.mode = SpeculationMode::kFixed;
  request.draft = NewDraft(0.8);
  request.prediction = expected;
  for (const DraftSourceKind kind :
       {DraftSourceKind::kSuffix, DraftSourceKind::kPrediction, DraftSourceKind::kDraftModel}) {
    request.speculation.sources = {kind};
    const GenerationResult result = Run(request);
    EXPECT_EQ(TokensOf(result), expected);
    EXPECT_GT(result.finish.speculation.by_source.at(kind).accepted, 0);
    EXPECT_LT(result.finish.speculation.rounds, 50);
  }
  EXPECT_EQ(draft_control_->cells_in_use, 0);
}

TEST_F(RunStepTest, TextIsTheTokensTextAndStopsAreCutOut) {
  EngineRequest request = NewRequest(1, Count(1, 3), 30);
  request.speculation.mode = SpeculationMode::kFixed;
  const std::string whole = Run(request).text;
  ASSERT_GT(whole.size(), 6u);
  // A stop inside the text: everything before it, nothing of it.
  const size_t letter = whole.find_first_of("abcdefgh", 6);
  ASSERT_NE(letter, std::string::npos);
  const std::string stop = whole.substr(letter, 1);
  request.options.stop = {stop};
  const GenerationResult stopped = Run(request);
  EXPECT_EQ(stopped.text, whole.substr(0, whole.find(stop)));
  EXPECT_EQ(stopped.finish.reason, FinishReason::kStop);
  std::string visible;
  for (const GeneratedToken& token : stopped.tokens) visible += token.text;
  EXPECT_EQ(visible, stopped.text);
}

TEST_F(RunStepTest, HeldBackTextIsReleasedAtTheEnd) {
  EngineRequest request = NewRequest(1, Count(1, 3), 30);
  const std::string whole = Run(request).text;
  // The text ends with what might be the start of this stop string.
  request.options.stop = {whole.substr(whole.size() - 1) + "never"};
  const GenerationResult result = Run(request);
  EXPECT_EQ(result.text, whole);
  EXPECT_EQ(result.finish.reason, FinishReason::kLength);
}

TEST_F(RunStepTest, TheEndOfTextEndsAnAnswerUnlessItIsIgnored) {
  model_options_.end_of_text_logit = 2;
  EngineRequest request = NewRequest(1, Count(1, 3), 60);
  const GenerationResult result = Run(request);
  EXPECT_EQ(result.finish.reason, FinishReason::kStop);
  EXPECT_EQ(result.tokens.back().id, 0);
  request.options.ignore_end_of_text = true;
  const GenerationResult ignored = Run(request);
  EXPECT_EQ(ignored.finish.reason, FinishReason::kLength);
  EXPECT_EQ(ignored.tokens.size(), 60u);
}

TEST_F(RunStepTest, LogprobsComeWithEveryToken) {
  EngineRequest request = NewRequest(1, Count(1, 3), 30);
  request.options.logprobs = 2;
  for (const GeneratedToken& token : Run(request).tokens) {
    ASSERT_TRUE(token.logprob.has_value());
    EXPECT_LE(*token.logprob, 0.0f);
    ASSERT_EQ(token.top_logprobs.size(), 2u);
    EXPECT_GE(token.top_logprobs[0].logprob, token.top_logprobs[1].logprob);
  }
}

TEST_F(RunStepTest, AFailureEndsTheRequestThatCausesItAfterWhatItHad) {
  const EngineRequest request = NewRequest(1, {1, 2, 3}, 20);
  const EngineRequest causing_request = NewRequest(1, {15, 2, 3}, 20);
  const Submitted other = Add(request);
  const Submitted causing = Add(causing_request);
  RunSteps(4);
  const SequenceId poisoned = causing.request->cache().sequence()->id();
  control_->before_decode = [poisoned](int64_t, std::span<const BatchRow> rows) {
    const bool is_in = std::any_of(rows.begin(), rows.end(), [&](const BatchRow& row) {
      return row.sequences[0] == poisoned;
    });
    return is_in ? InternalError("broken") : OkStatus();
  };
  RunSteps(1);
  control_->before_decode = nullptr;
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(other)), Alone(request));
  const GenerationResult result = Read(causing);
  EXPECT_EQ(result.finish.reason, FinishReason::kError);
  EXPECT_EQ(result.finish.status, InternalError("model target: broken"));
  Tokens expected = Alone(causing_request);
  expected.resize(4);
  EXPECT_EQ(TokensOf(result), expected);
}

TEST_F(RunStepTest, AnAdapterThatCannotBeSetEndsItsOwnRequestsOnly) {
  const EngineRequest request = NewRequest(1, {1, 2}, 20);
  const Submitted base = Add(request);
  EngineRequest adapted_request = NewRequest(1, {1, 2}, 20);
  adapted_request.adapter = NewAdapter("formal");
  const Submitted adapted = Add(std::move(adapted_request));
  control_->before_call = [](FakeCall call) {
    return call == FakeCall::kUseAdapter ? InternalError("no memory") : OkStatus();
  };
  RunToTheEnd();
  EXPECT_EQ(Read(adapted).finish.status, InternalError("no memory"));
  EXPECT_EQ(TokensOf(Read(base)), Alone(request));
}

TEST_F(RunStepTest, AdaptersShareTheTargetByTurns) {
  const EngineRequest base_request = NewRequest(1, Count(1, 5), 20);
  EngineRequest adapted_request = base_request;
  adapted_request.adapter = NewAdapter("formal");
  ASSERT_NE(Alone(base_request), Alone(adapted_request));
  const Submitted base = Add(base_request);
  const Submitted adapted = Add(adapted_request);
  for (int step = 0; !state().tenants.empty() || step == 0; ++step) {
    state().adapter_turn.since = Clock::now() - std::chrono::hours(1);
    RunStep(state());
  }
  EXPECT_EQ(TokensOf(Read(base)), Alone(base_request));
  EXPECT_EQ(TokensOf(Read(adapted)), Alone(adapted_request));
  EXPECT_GT(state().adapter_turn.switches, 10);
}

TEST_F(RunStepTest, WithoutWorkItWaitsForWhatComes) {
  EXPECT_EQ(RunStep(state()), Clock::time_point::max());
  const Submitted submitted = Add(1, {1}, 5);
  RunSteps(5);
  EXPECT_TRUE(IsOver(submitted));
  EXPECT_EQ(RunStep(state()), Clock::time_point::max());
  EXPECT_TRUE(state().tenants.empty());
}

TEST_F(RunStepTest, WithReadersBehindItWaitsNoLongerThanTheirPatience) {
  const Submitted submitted = Add(1, {1}, 20);
  RunSteps(2);
  Stall(submitted);
  const std::chrono::milliseconds patience(options_.runtime.slow_reader_ms);
  EXPECT_EQ(RunStep(state()), *submitted.request->stalled_since + patience);
  submitted.request->deadline = Clock::now() + std::chrono::seconds(10);
  EXPECT_EQ(RunStep(state()), *submitted.request->deadline);
  submitted.channel->Cancel();
  EXPECT_EQ(RunStep(state()), Clock::time_point::max());
  EXPECT_TRUE(IsOver(submitted));
}

TEST_F(RunStepTest, TheMetricsSeeEveryChangeOfOccupancy) {
  options_.runtime.max_running = 2;
  for (const uint64_t tenant : {1, 2}) state().metrics.AddTenant(TenantKey{tenant});
  const auto expect = [&](int32_t running, int32_t queued) {
    const Occupancy requests = state().metrics.Snapshot().total.requests;
    EXPECT_EQ(requests.running, running);
    EXPECT_EQ(requests.queued, queued);
    EXPECT_EQ(requests.paused, 0);
  };
  const Submitted first = Add(1, {1}, 20);
  const Submitted second = Add(2, {2}, 20);
  const Submitted third = Add(1, {3}, 20);
  RunSteps(2);
  expect(2, 1);
  PauseRequest(state(), 1);
  RunSteps(1);
  expect(2, 1);
  // From here on nothing runs, and requests come to an end all the same.
  FallBehind(first);
  FallBehind(second);
  second.channel->Cancel();
  third.channel->Cancel();
  EXPECT_TRUE(RunStep(state()).has_value());
  expect(1, 0);
  first.channel->Cancel();
  EXPECT_TRUE(RunStep(state()).has_value());
  expect(0, 0);
  EXPECT_EQ(state().metrics.TenantSnapshot(TenantKey{1})->submitted_requests, 2);
}

// A tenant whose readers are all behind is not ahead of anyone, but cannot go on: the others must
// not hold back for it.
TEST_F(RunStepTest, ATenantThatCannotGoOnHoldsNobodyBack) {
  std::vector<Submitted> busy;
  const Submitted stalled = Add(1, {1}, 50);
  for (int i = 0; i < 4; ++i) busy.push_back(Add(2, {1}, 50));
  busy.push_back(Add(3, {1}, 50));
  AdmitRequests(state());
  StartDecoding();
  LearnCosts([](int32_t rows) { return 1000.0 + 500.0 * rows; });
  Stall(stalled);
  state().fairness.Charge(TenantKey{2}, 1000);
  state().fairness.Charge(TenantKey{3}, 1000);
  RunSteps(1);
  for (const Submitted& submitted : busy) {
    EXPECT_EQ(submitted.request->sink.tokens(), 2) << "they are level with each other";
  }
  // It has saved nothing up meanwhile.
  Unstall(stalled);
  RunSteps(1);
  EXPECT_GE(state().fairness.Counter(TenantKey{1}), 1000);
  RunToTheEnd();
}

TEST_F(RunStepTest, AMomentsWaitForAReaderLosesNoStanding) {
  const Submitted quiet = Add(1, {1}, 50);
  std::vector<Submitted> busy;
  for (int i = 0; i < 4; ++i) busy.push_back(Add(2, {1}, 50));
  AdmitRequests(state());
  StartDecoding();
  LearnCosts([](int32_t rows) { return 1000.0 + 500.0 * rows; });
  state().fairness.Charge(TenantKey{2}, 1000);
  const auto busy_tokens = [&] {
    int32_t tokens = 0;
    for (const Submitted& submitted : busy) tokens += submitted.request->sink.tokens();
    return tokens;
  };
  for (int round = 0; round < 3; ++round) {
    const int32_t before = busy_tokens();
    FallBehind(quiet);
    RunSteps(1);
    EXPECT_EQ(busy_tokens() - before, 4) << "nobody waits for a reader";
    Unstall(quiet);
    RunSteps(1);
    EXPECT_EQ(busy_tokens() - before, 5) << "the busy tenant is ahead still";
    const double ahead =
        state().fairness.Counter(TenantKey{2}) - state().fairness.Counter(TenantKey{1});
    EXPECT_EQ(ahead, 1000) << "and no more than it was";
  }
  RunToTheEnd();
}

TEST_F(RunStepTest, AdmissionCountsAsPlanning) {
  Add(1, Count(1, 20), 1);
  RunToTheEnd();
  control_->before_call = [](FakeCall call) {
    if (call == FakeCall::kFork) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return OkStatus();
  };
  Add(1, Count(1, 20), 1);
  RunSteps(1);
  EXPECT_EQ(control_->forks, 1);
  EXPECT_GE(state().metrics.Snapshot().phases.plan_us, 20000);
}

// Random arrivals, slow readers, cancels, pauses and failures in tight caches: what a request
// brings is what it brings alone, to its end or to where it was cut, and the engine never waits
// while someone could go on.
class RandomStepsTest : public RunStepTest {
 protected:
  struct Client {
    EngineRequest request;
    Submitted submitted;
    GenerationResult result;
    bool over = false;
  };

  int Int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool Chance(double p) { return std::bernoulli_distribution(p)(random_); }

  void Reset(uint64_t seed) {
    random_.seed(seed);
    clients_.clear();
    model_options_.seed = seed + 1;
    model_options_.context_tokens = Int(30, 120);
    model_options_.max_batch_rows = Int(2, 40);
    model_options_.max_logits_rows = Int(1, model_options_.max_batch_rows);
    model_options_.context_order = Int(0, 2);
    model_options_.can_truncate = !Chance(0.05);
    const int32_t context = model_options_.context_tokens;
    options_.backend.kv_cache_tokens = Int(context, 3 * context);
    options_.backend.max_sequences = Int(13, 20);
    options_.runtime.max_running = Int(1, 6);
    options_.runtime.stream_capacity = Int(1, 5);
    options_.runtime.prefix_reuse = Chance(0.8);
    options_.runtime.paused_state_bytes = Chance(0.3) ? 0 : Int(1, 20000);
    drafts_ = {nullptr, NewDraft(0.9, 0), NewDraft(0.5, 1)};
    adapter_ = NewAdapter("formal");
    const double failures = Chance(0.5) ? 0 : 0.05;
    control_->before_decode = [this, failures](int64_t, std::span<const BatchRow>) {
      return Chance(failures) ? ResourceExhaustedError("full") : OkStatus();
    };
    control_->before_call = [this, failures](FakeCall call) {
      return call != FakeCall::kUseAdapter && Chance(failures) ? InternalError("broken")
                                                               : OkStatus();
    };
  }

  void Arrive() {
    Tokens prompt =
        Count(static_cast<TokenId>(Int(1, 3)), Int(1, model_options_.context_tokens / 2));
    if (Chance(0.5)) prompt.push_back(static_cast<TokenId>(Int(1, 15)));
    Client client;
    client.request = NewRequest(static_cast<uint64_t>(Int(1, 3)), prompt, Int(1, 40));
    EngineRequest& request = client.request;
    request.seed = static_cast<uint64_t>(Int(0, 1000));
    request.options.sampling.temperature = Chance(0.3) ? 0.0f : 1.0f;
    request.speculation.mode = static_cast<SpeculationMode>(Int(0, 2));
    request.draft = drafts_[static_cast<size_t>(Int(0, 2))];
    if (!model_options_.can_truncate) request.draft = nullptr;
    if (Chance(0.3)) request.adapter = adapter_;
    if (Chance(0.3)) request.prediction = Count(static_cast<TokenId>(Int(1, 15)), 20);
    client.submitted = Add(request);
    clients_.push_back(std::move(client));
  }

  void TakeEvent(Client& client) {
    const auto event = client.submitted.channel->Next();
    ASSERT_TRUE(event.has_value());
    if (const auto* tokens = std::get_if<TokensEvent>(&*event)) {
      client.result.tokens.insert(client.result.tokens.end(), tokens->tokens.begin(),
                                  tokens->tokens.end());
    } else {
      client.result.finish = std::get<FinishedEvent>(*event);
      client.over = true;
    }
  }
  // A stream that has ended, or one that is full, can be read without waiting.
  void ReadSome(Client& client, double eagerness) {
    if (client.over) return;
    if (IsOver(client.submitted)) {
      while (!client.over) TakeEvent(client);
    } else if (!client.submitted.channel->HasRoom() && Chance(eagerness)) {
      TakeEvent(client);
    }
  }

  void Step(double eagerness) {
    const bool waits = RunStep(state()).has_value();
    bool someone_is_behind = false;
    for (const auto* list : {&state().running, &state().paused}) {
      for (const RequestPtr& request : *list) {
        someone_is_behind |= !request->sink.channel().HasRoom();
      }
    }
    EXPECT_TRUE(!waits || someone_is_behind || state().tenants.empty());
    for (Client& client : clients_) ReadSome(client, eagerness);
  }

  template <typename List>
  size_t IndexIn(const List& list) {
    return static_cast<size_t>(Int(0, static_cast<int>(list.size()) - 1));
  }
  void Play() {
    for (int arrivals = Int(3, 15); arrivals > 0 || Chance(0.95);) {
      if (arrivals > 0 && (clients_.empty() || Chance(0.3))) {
        Arrive();
        --arrivals;
      }
      if (Chance(0.02)) clients_[IndexIn(clients_)].submitted.channel->Cancel();
      if (Chance(0.05) && !state().running.empty()) {
        PauseRequest(state(), IndexIn(state().running));
      }
      if (Chance(0.1) && !state().running.empty()) {
        ActiveRequest& request = *state().running[IndexIn(state().running)];
        request.stalled_since = Clock::now() - 2 * ActiveRequest::kLongStall;
      }
      Step(0.6);
    }
    for (int step = 0; !state().tenants.empty(); ++step) {
      ASSERT_LT(step, 5000) << "it does not come to an end";
      Step(1);
    }
    for (Client& client : clients_) ReadSome(client, 1);
  }

  void Check() {
    for (const Client& client : clients_) {
      ASSERT_TRUE(client.over);
      Tokens expected = Alone(client.request);
      const Tokens tokens = TokensOf(client.result);
      ASSERT_LE(tokens.size(), expected.size());
      if (client.result.finish.reason != FinishReason::kLength) expected.resize(tokens.size());
      ASSERT_EQ(tokens, expected);
      ++ends_[client.result.finish.reason];
    }
  }

  std::mt19937_64 random_;
  std::vector<std::shared_ptr<DraftContext>> drafts_;
  AdapterPtr adapter_;
  std::vector<Client> clients_;
  std::map<FinishReason, int> ends_;
};

TEST_F(RandomStepsTest, EveryRequestBringsWhatItBringsAlone) {
  constexpr uint64_t kSeeds = 6000 / kSlowness;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Reset(seed);
    Play();
    control_->before_decode = nullptr;
    control_->before_call = nullptr;
    if (!HasFatalFailure()) Check();
    drafts_.clear();
    clients_.clear();
    DropState();
    EXPECT_EQ(draft_control_->cells_in_use, 0);
    if (HasFailure()) return;
  }
  EXPECT_GT(ends_[FinishReason::kLength], 200);
  EXPECT_GT(ends_[FinishReason::kCancelled], 10);
}

}  // namespace
}  // namespace foretoken
