#include "engine/admit_requests.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/finish_request.h"
#include "engine/kv_room.h"
#include "unit/engine/engine_fixture.h"

namespace foretoken {
namespace {

class AdmitRequestsTest : public EngineStateTest {
 protected:
  AdmitRequestsTest() {
    model_options_.context_tokens = 200;
    model_options_.max_batch_rows = 64;
    model_options_.adapters = {{"formal", 11}};
    options_.backend.kv_cache_tokens = 4000;
  }

  // Runs a request to its end, which leaves what it cached behind.
  void Cache(EngineRequest request) {
    Add(std::move(request));
    RunToTheEnd();
  }
  std::vector<uint64_t> RunningTenants() {
    std::vector<uint64_t> tenants;
    for (const RequestPtr& request : state().running) {
      tenants.push_back(static_cast<uint64_t>(request->tenant()));
    }
    return tenants;
  }
  int64_t Reused(const Submitted& submitted) { return submitted.request->reused_prompt_tokens; }
};

TEST_F(AdmitRequestsTest, TheLeastServedTenantsOldestComesFirst) {
  const Submitted older = Add(1, {1});
  const Submitted younger = Add(1, {2});
  Add(2, {3});
  state().fairness.Charge(TenantKey{2}, 100);
  Add(3, {4});
  AdmitRequests(state());
  EXPECT_EQ(RunningTenants(), (std::vector<uint64_t>{1, 3, 1, 2}));
  EXPECT_EQ(state().running[0].get(), older.request);
  EXPECT_EQ(state().running[2].get(), younger.request);
}

TEST_F(AdmitRequestsTest, TenantsServedAlikeTakeTurns) {
  options_.runtime.max_running = 4;
  for (int i = 0; i < 3; ++i) {
    Add(1, {1});
    Add(2, {2});
  }
  AdmitRequests(state());
  EXPECT_EQ(RunningTenants(), (std::vector<uint64_t>{1, 2, 1, 2}));
}

TEST_F(AdmitRequestsTest, ALateTenantGetsItsShareOfTheSlotsAtOnce) {
  options_.runtime.max_running = 4;
  for (int i = 0; i < 10; ++i) Add(1, {1});
  AdmitRequests(state());
  EXPECT_EQ(state().running.size(), 4u);
  for (int i = 0; i < 10; ++i) Add(2, {2});
  AdmitRequests(state());
  // Half of the slots are its own, though all are taken; the other one gets no more.
  EXPECT_EQ(RunningTenants(), (std::vector<uint64_t>{1, 1, 1, 1, 2, 2}));
  EXPECT_EQ(WaitingCount(1), 6u);
  EXPECT_EQ(WaitingCount(2), 8u);
}

TEST_F(AdmitRequestsTest, ALateTenantsShareIsByWeight) {
  options_.runtime.max_running = 8;
  Tenant(2)->weight = 3;
  for (int i = 0; i < 10; ++i) Add(1, {1});
  AdmitRequests(state());
  EXPECT_EQ(state().running.size(), 8u);
  for (int i = 0; i < 10; ++i) Add(2, {2});
  AdmitRequests(state());
  EXPECT_EQ(state().tenants.at(TenantKey{1}).running, 8);
  EXPECT_EQ(state().tenants.at(TenantKey{2}).running, 6);
}

TEST_F(AdmitRequestsTest, ACachedBeginningIsForked) {
  Cache(NewRequest(1, Count(1, 30)));
  const int64_t rows = control_->rows;
  Tokens prompt = Count(1, 20);
  prompt.push_back(9);
  prompt.push_back(9);
  const EngineRequest request = NewRequest(1, prompt);
  const Submitted submitted = Admit(request);
  EXPECT_EQ(Reused(submitted), 20);
  EXPECT_EQ(submitted.request->cache().cached_tokens(), 20);
  EXPECT_EQ(control_->forks, 1);
  EXPECT_EQ(control_->cells_in_use, state().sequences.used_cells());
  RunToTheEnd();
  EXPECT_EQ(control_->rows - rows,
            2 + 7);  // what is new of the prompt, then all but the last token
  const GenerationResult result = Read(submitted);
  EXPECT_EQ(TokensOf(result), Alone(request));
  EXPECT_EQ(result.finish.usage.cached_prompt_tokens, 20);
}

TEST_F(AdmitRequestsTest, TheLastTokenOfAPromptIsAlwaysRun) {
  Cache(NewRequest(1, Count(1, 30)));
  const EngineRequest request = NewRequest(1, Count(1, 30));
  const Submitted submitted = Admit(request);
  EXPECT_EQ(Reused(submitted), 29);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(submitted)), Alone(request));
}

TEST_F(AdmitRequestsTest, TheBeginningThatARunningRequestHasComputedIsForked) {
  const EngineRequest first = NewRequest(1, Count(1, 30), 20);
  const Submitted running = Admit(first);
  RunSteps(3);
  EXPECT_TRUE(IsRunning(running));
  const EngineRequest second = NewRequest(1, Count(1, 25));
  const Submitted submitted = Admit(second);
  EXPECT_EQ(Reused(submitted), 24);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(running)), Alone(first));
  EXPECT_EQ(TokensOf(Read(submitted)), Alone(second));
}

TEST_F(AdmitRequestsTest, TheLongerOfWhatIsCachedAndWhatRunsIsForked) {
  Cache(NewRequest(1, Count(1, 20), 1));
  Tokens longer = Count(1, 18);
  longer.resize(40, 9);
  const Submitted running = Admit(NewRequest(1, longer, 20));
  EXPECT_EQ(Reused(running), 18);
  RunSteps(2);
  Tokens like_cached = Count(1, 20);
  like_cached.push_back(5);
  EXPECT_EQ(Reused(Admit(NewRequest(1, like_cached))), 20);
  Tokens like_running = longer;
  like_running.resize(35);
  EXPECT_EQ(Reused(Admit(NewRequest(1, like_running))), 34);
  RunToTheEnd();
}

TEST_F(AdmitRequestsTest, ABeginningThatIsBeingComputedIsWaitedFor) {
  const Submitted first = Add(1, Count(1, 40), 20);
  const EngineRequest second = NewRequest(1, Count(1, 38));
  const Submitted same = Add(second);
  const Submitted different = Add(1, Count(5, 40));
  AdmitRequests(state());
  EXPECT_TRUE(IsRunning(first));
  EXPECT_TRUE(IsWaiting(same));
  EXPECT_TRUE(IsRunning(different)) << "it shares nothing, so it need not wait";
  RunSteps(2);
  ASSERT_TRUE(IsRunning(same));
  EXPECT_EQ(Reused(same), 37);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(same)), Alone(second));
}

TEST_F(AdmitRequestsTest, ABeginningIsNoLongerWaitedForWhenItsRequestEnds) {
  const Submitted first = Add(1, Count(1, 40));
  const Submitted same = Add(1, Count(1, 38));
  AdmitRequests(state());
  EXPECT_TRUE(IsWaiting(same));
  first.channel->Cancel();
  EndOverdueRequests(state(), Clock::now());
  AdmitRequests(state());
  EXPECT_TRUE(IsRunning(same));
}

TEST_F(AdmitRequestsTest, AShortBeginningIsNotWaitedFor) {
  Add(1, Count(1, 40));
  const Submitted submitted = Admit(NewRequest(1, Count(1, 15)));
  EXPECT_TRUE(IsRunning(submitted));
  EXPECT_EQ(Reused(submitted), 0);
}

TEST_F(AdmitRequestsTest, AnotherTenantsBeginningIsNeverUsed) {
  Cache(NewRequest(1, Count(1, 30)));
  const Submitted running = Admit(NewRequest(1, Count(3, 40), 20));
  const EngineRequest cached_by_other = NewRequest(2, Count(1, 30));
  const EngineRequest run_by_other = NewRequest(2, Count(3, 40));
  const Submitted a = Add(cached_by_other);
  const Submitted b = Add(run_by_other);
  AdmitRequests(state());
  EXPECT_TRUE(IsRunning(a) && IsRunning(b)) << "nor waited for";
  EXPECT_EQ(Reused(a), 0);
  EXPECT_EQ(Reused(b), 0);
  EXPECT_EQ(control_->forks, 0);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(a)), Alone(cached_by_other));
}

TEST_F(AdmitRequestsTest, AnotherAdaptersBeginningIsNeverUsed) {
  Cache(NewRequest(1, Count(1, 30)));
  const auto formal = NewAdapter("formal");
  EngineRequest request = NewRequest(1, Count(1, 30));
  request.adapter = formal;
  const Submitted first = Admit(request);
  EXPECT_EQ(Reused(first), 0);
  const Submitted base = Admit(NewRequest(1, Count(1, 30)));
  EXPECT_EQ(Reused(base), 29) << "the model's own, not the running one's";
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(first)), Alone(request));
  const Submitted second = Admit(request);
  EXPECT_EQ(Reused(second), 29);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(second)), Alone(request));
}

TEST_F(AdmitRequestsTest, NothingIsReusedWhereItIsSwitchedOff) {
  options_.runtime.prefix_reuse = false;
  Cache(NewRequest(1, Count(1, 30)));
  EXPECT_EQ(state().prefixes.size(), 0u);
  EXPECT_EQ(Reused(Admit(NewRequest(1, Count(1, 30)))), 0);
}

TEST_F(AdmitRequestsTest, NothingIsReusedWhereAMemoryCannotBeCut) {
  model_options_.can_truncate = false;
  Cache(NewRequest(1, Count(1, 30)));
  const EngineRequest request = NewRequest(1, Count(1, 30));
  const Submitted submitted = Admit(request);
  EXPECT_EQ(Reused(submitted), 0);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(submitted)), Alone(request));
}

TEST_F(AdmitRequestsTest, AForkThatFailsCostsTheReuseOnly) {
  Cache(NewRequest(1, Count(1, 30)));
  control_->before_call = [](FakeCall call) {
    return call == FakeCall::kFork ? InternalError("broken") : OkStatus();
  };
  const EngineRequest request = NewRequest(1, Count(1, 30));
  const Submitted submitted = Admit(request);
  EXPECT_EQ(Reused(submitted), 0);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(submitted)), Alone(request));
}

TEST_F(AdmitRequestsTest, ARequestWithoutRoomWaitsAndHoldsNothing) {
  options_.backend.kv_cache_tokens = 200;
  const Submitted first = Admit(NewRequest(1, Count(1, 120)));
  const Submitted second = Admit(NewRequest(1, Count(5, 100)));
  EXPECT_TRUE(IsRunning(first));
  EXPECT_TRUE(IsWaiting(second));
  EXPECT_EQ(state().sequences.used(), 1);
  RunToTheEnd();
  EXPECT_EQ(Read(second).finish.reason, FinishReason::kLength);
}

TEST_F(AdmitRequestsTest, OneWithoutRoomIsNotPassedByOthers) {
  options_.backend.kv_cache_tokens = 200;
  Admit(NewRequest(1, Count(1, 100)));
  Add(1, Count(5, 100));
  const Submitted small = Admit(NewRequest(2, {1}));
  // The first in order has no room, and small ones could keep it waiting for ever.
  state().fairness.Charge(TenantKey{2}, 1000);
  AdmitRequests(state());
  EXPECT_TRUE(IsRunning(small)) << "it was the least served one's turn";
  const Submitted another = Admit(NewRequest(2, {1}));
  EXPECT_TRUE(IsWaiting(another));
  RunToTheEnd();
}

TEST_F(AdmitRequestsTest, CachedBeginningsMakeRoom) {
  options_.backend.kv_cache_tokens = 200;
  Cache(NewRequest(1, Count(1, 120)));
  EXPECT_EQ(state().prefixes.size(), 1u);
  const EngineRequest request = NewRequest(2, Count(5, 150));
  const Submitted submitted = Admit(request);
  EXPECT_TRUE(IsRunning(submitted));
  EXPECT_EQ(state().prefixes.size(), 0u);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(submitted)), Alone(request));
}

TEST_F(AdmitRequestsTest, WhatItMatchesIsKeptWhileItMakesRoomForTheRest) {
  options_.backend.kv_cache_tokens = 200;
  Cache(NewRequest(1, Count(1, 60), 1));
  Cache(NewRequest(1, Count(5, 100), 1));
  Tokens prompt = Count(1, 60);
  prompt.resize(150, 9);
  const EngineRequest request = NewRequest(1, prompt);
  const Submitted submitted = Admit(request);
  ASSERT_TRUE(IsRunning(submitted));
  EXPECT_EQ(Reused(submitted), 60);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(submitted)), Alone(request));
}

TEST_F(AdmitRequestsTest, AloneARequestBeginsWhateverRoomThereIs) {
  options_.backend.kv_cache_tokens = 200;
  const EngineRequest request = NewRequest(1, Count(1, 199), 5);
  const Submitted submitted = Admit(request);
  EXPECT_TRUE(IsRunning(submitted));
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(submitted)), Alone(request));  // one token: the context ends
}

TEST_F(AdmitRequestsTest, CachedSequenceIdsMakeRoom) {
  options_.backend.max_sequences = 2;
  Cache(NewRequest(1, Count(1, 10)));
  Cache(NewRequest(1, Count(5, 10)));
  EXPECT_EQ(state().sequences.free_ids(), 0);
  EXPECT_TRUE(IsRunning(Admit(NewRequest(2, {1}))));
  EXPECT_TRUE(IsRunning(Admit(NewRequest(2, {2}))));
  EXPECT_TRUE(IsWaiting(Admit(NewRequest(2, {3}))));
  RunToTheEnd();
}

TEST_F(AdmitRequestsTest, ARequestThatCannotBeginEndsWithItsErrorAndLeavesNothing) {
  EngineRequest broken = NewRequest(1, {1, 2});
  broken.options.sampling.temperature = -1;
  const Submitted first = Add(std::move(broken));
  const Submitted second = Add(1, {1, 2});
  AdmitRequests(state());
  EXPECT_TRUE(IsRunning(second));
  EXPECT_EQ(state().tenants.at(TenantKey{1}).running, 1);
  EXPECT_EQ(state().sequences.used(), 1);
  const GenerationResult result = Read(first);
  EXPECT_EQ(result.finish.reason, FinishReason::kError);
  EXPECT_EQ(result.finish.status.code(), StatusCode::kInvalidArgument);
}

TEST_F(AdmitRequestsTest, CountsWhatBegan) {
  state().metrics.AddTenant(TenantKey{1});
  Cache(NewRequest(1, Count(1, 30)));
  Admit(NewRequest(1, Count(1, 30)));
  const TenantMetrics metrics = *state().metrics.TenantSnapshot(TenantKey{1});
  EXPECT_EQ(metrics.prompt_tokens, 60);
  EXPECT_EQ(metrics.cached_prompt_tokens, 29);
  EXPECT_EQ(metrics.prefix_hits, 1);
  EXPECT_EQ(metrics.queue_ms.count, 2);
}

}  // namespace
}  // namespace foretoken
