#include "engine/finish_request.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/kv_room.h"
#include "unit/engine/engine_fixture.h"

namespace foretoken {
namespace {

using std::chrono::milliseconds;

class FinishRequestTest : public EngineStateTest {
 protected:
  FinishRequestTest() {
    options_.backend.kv_cache_tokens = 1000;
    options_.runtime.slow_reader_ms = 500;
  }

  // One request of tenant 1 in each place a request can be.
  struct Three {
    Submitted running;
    Submitted paused;
    Submitted waiting;
  };
  Three NewThree() {
    Three three;
    three.running = Admit(NewRequest(1, {1, 2}, 20));
    three.paused = Admit(NewRequest(1, {2, 3}, 20));
    RunSteps(2);
    PauseRequest(state(), 1);
    three.waiting = Add(1, {3, 4}, 20);
    return three;
  }
  void ExpectEnded(const Submitted& submitted, const Status& status) {
    EXPECT_TRUE(IsOver(submitted));
    const GenerationResult result = Read(submitted);
    EXPECT_EQ(result.finish.reason, FinishReason::kCancelled);
    EXPECT_EQ(result.finish.status, status);
  }
  Clock::time_point EndOverdue(Clock::time_point now) { return EndOverdueRequests(state(), now); }
};

TEST_F(FinishRequestTest, ReportsUsageTimingsSeedAndWarnings) {
  EngineRequest request = NewRequest(1, Count(1, 5), 10);
  request.seed = 99;
  request.warnings = {"from before"};
  Add(NewRequest(1, Count(1, 5), 1));
  RunToTheEnd();
  const Submitted submitted = Add(request);
  RunToTheEnd();
  const GenerationResult result = Read(submitted);
  EXPECT_TRUE(result.finish.status.ok());
  EXPECT_EQ(result.finish.usage.prompt_tokens, 5);
  EXPECT_EQ(result.finish.usage.cached_prompt_tokens, 4);
  EXPECT_EQ(result.finish.usage.completion_tokens, 10);
  EXPECT_EQ(result.finish.seed, 99u);
  EXPECT_EQ(result.finish.warnings, request.warnings);
  EXPECT_EQ(result.finish.speculation.rounds, 10);
  const Timings& timings = result.finish.timings;
  EXPECT_GE(timings.queue_ms, 0);
  EXPECT_GE(timings.first_token_ms, timings.queue_ms);
  EXPECT_GT(timings.decode_ms, 0);
  EXPECT_DOUBLE_EQ(timings.decode_tokens_per_second, 9000 / timings.decode_ms);
}

TEST_F(FinishRequestTest, OneThatNeverBeganHasWaitedAllTheTime) {
  const Submitted submitted = Add(1, {1});
  submitted.request->submitted -= std::chrono::seconds(5);
  submitted.channel->Cancel();
  EndOverdue(Clock::now());
  const GenerationResult result = Read(submitted);
  EXPECT_GE(result.finish.timings.queue_ms, 5000);
  EXPECT_EQ(result.finish.timings.first_token_ms, 0);
  EXPECT_EQ(result.finish.usage.completion_tokens, 0);
  EXPECT_EQ(result.finish.speculation.rounds, 0);
}

TEST_F(FinishRequestTest, WhatItCachedIsKeptForItsTenant) {
  const Submitted submitted = Admit(NewRequest(1, Count(1, 5), 10));
  RunSteps(3);
  const CachedSequence& cache = submitted.request->cache();
  const Tokens cached(cache.tokens().begin(), cache.tokens().end());
  submitted.channel->Cancel();
  EndOverdue(Clock::now());
  EXPECT_EQ(state().prefixes.size(), 1u);
  const auto match = state().prefixes.Match(TenantKey{1}, "", cached);
  ASSERT_TRUE(match.has_value());
  EXPECT_EQ(match->length, static_cast<int32_t>(cached.size()));
  EXPECT_EQ(state().sequences.used_cells(), static_cast<int32_t>(cached.size()));
  EXPECT_FALSE(state().prefixes.Match(TenantKey{2}, "", cached).has_value());
}

TEST_F(FinishRequestTest, NothingIsKeptOfOneThatFailed) {
  Tenant(1)->suffix_store = std::make_unique<TenantSuffixStore>(SuffixStoreIdentity{}, 1 << 20);
  const Submitted submitted = Admit(NewRequest(1, Count(1, 5), 20));
  RunSteps(10);
  control_->before_decode = [](int64_t, std::span<const BatchRow>) {
    return InternalError("broken");
  };
  RunSteps(1);
  EXPECT_EQ(state().prefixes.size(), 0u);
  EXPECT_EQ(state().sequences.used(), 0);
  EXPECT_EQ(Tenant(1)->suffix_store->text_count(), 0u);
  EXPECT_EQ(Read(submitted).finish.status, InternalError("model target: broken"));
}

TEST_F(FinishRequestTest, TheAnswerIsLearnedByItsTenantOnly) {
  for (const uint64_t tenant : {1, 2}) {
    Tenant(tenant)->suffix_store =
        std::make_unique<TenantSuffixStore>(SuffixStoreIdentity{}, 1 << 20);
  }
  const Submitted submitted = Add(1, Count(1, 5), 20);
  RunToTheEnd();
  EXPECT_GT(Tenant(1)->suffix_store->token_count(), 0u);
  EXPECT_EQ(Tenant(2)->suffix_store->token_count(), 0u);
  Tokens answer = TokensOf(Read(submitted));
  // After the same prompt it is known from its first token on.
  EXPECT_EQ(Tenant(1)->suffix_store->Propose(Count(1, 5), 2).tokens,
            (Tokens{answer[0], answer[1]}));
  EXPECT_EQ(Tenant(1)->suffix_store->token_count(), answer.size());  // and nothing of the prompt
  const TokenId next = answer[12];
  answer.resize(12);
  const SuffixProposal proposal = Tenant(1)->suffix_store->Propose(answer, 1);
  EXPECT_EQ(proposal.tokens, Tokens{next});
}

TEST_F(FinishRequestTest, ACancelEndsARequestWhereverItIs) {
  const Three three = NewThree();
  for (const Submitted& submitted : {three.running, three.paused, three.waiting}) {
    submitted.channel->Cancel();
  }
  EndOverdue(Clock::now());
  EXPECT_EQ(state().saved_bytes.used(), 0);
  EXPECT_FALSE(state().tenants.at(TenantKey{1}).has_work());
  const Status status = CancelledError("the generation was cancelled");
  ExpectEnded(three.running, status);
  ExpectEnded(three.paused, status);
  ExpectEnded(three.waiting, status);
}

TEST_F(FinishRequestTest, ADeadlineEndsARequestWhereverItIs) {
  const Three three = NewThree();
  const Clock::time_point deadline = Clock::now() + std::chrono::hours(1);
  for (const Submitted& submitted : {three.running, three.paused, three.waiting}) {
    submitted.request->deadline = deadline;
  }
  EXPECT_EQ(EndOverdue(deadline - milliseconds(1)), deadline);
  EXPECT_TRUE(IsRunning(three.running) && IsPaused(three.paused) && IsWaiting(three.waiting));
  EXPECT_EQ(EndOverdue(deadline), Clock::time_point::max());
  EXPECT_EQ(state().saved_bytes.used(), 0);
  for (const Submitted& submitted : {three.running, three.paused, three.waiting}) {
    ExpectEnded(submitted, DeadlineExceededError("the request's deadline of 0 ms is over"));
  }
}

TEST_F(FinishRequestTest, AReaderThatDoesNotReadIsCancelledInTheEnd) {
  const Submitted slow = Admit(NewRequest(1, {1, 2}, 20));
  const Submitted other = Admit(NewRequest(1, {2, 3}, 20));
  FallBehind(slow);
  const Clock::time_point start = Clock::now();
  EXPECT_EQ(EndOverdue(start), start + milliseconds(500));
  EXPECT_EQ(EndOverdue(start + milliseconds(499)), start + milliseconds(500));
  EXPECT_TRUE(IsRunning(slow));
  // One event taken is enough to start anew.
  slow.channel->Next();
  EXPECT_EQ(EndOverdue(start + milliseconds(499)), Clock::time_point::max());
  FallBehind(slow);
  EXPECT_EQ(EndOverdue(start + milliseconds(600)), start + milliseconds(1100));
  EXPECT_TRUE(IsRunning(slow));
  EndOverdue(start + milliseconds(1100));
  EXPECT_TRUE(IsOver(slow));
  EXPECT_TRUE(IsRunning(other));
  const FinishedEvent finish = Read(slow).finish;
  EXPECT_EQ(finish.reason, FinishReason::kCancelled);
  EXPECT_EQ(finish.status.code(), StatusCode::kCancelled);
  EXPECT_NE(finish.status.message().find("took no event for 500 ms"), std::string::npos);
}

TEST_F(FinishRequestTest, APausedRequestsReaderIsNotWaitedForLongerThanAnother) {
  const Three three = NewThree();
  FallBehind(three.paused);
  const Clock::time_point start = Clock::now();
  EndOverdue(start);
  EndOverdue(start + milliseconds(500));
  EXPECT_TRUE(IsOver(three.paused));
  EXPECT_TRUE(IsRunning(three.running) && IsWaiting(three.waiting));
}

TEST_F(FinishRequestTest, TheNextTimeIsTheEarliestOfAll) {
  const Three three = NewThree();
  const Clock::time_point start = Clock::now();
  three.running.request->deadline = start + milliseconds(700);
  three.waiting.request->deadline = start + milliseconds(600);
  EXPECT_EQ(EndOverdue(start), start + milliseconds(600));
  FallBehind(three.running);
  EXPECT_EQ(EndOverdue(start), start + milliseconds(500));
}

TEST_F(FinishRequestTest, PatienceWithoutEndIsWithoutEnd) {
  options_.runtime.slow_reader_ms = std::numeric_limits<int64_t>::max();
  const Submitted submitted = Admit(NewRequest(1, {1, 2}, 20));
  FallBehind(submitted);
  const Clock::time_point start = Clock::now();
  // When others may have what it holds.
  EXPECT_EQ(EndOverdue(start), start + ActiveRequest::kLongStall);
  EXPECT_EQ(EndOverdue(start + ActiveRequest::kLongStall), Clock::time_point::max());
  EXPECT_TRUE(submitted.request->IsStalled(start + ActiveRequest::kLongStall));
  EXPECT_TRUE(IsRunning(submitted));
}

TEST_F(FinishRequestTest, ATenantsRequestsEndAndNobodyElses) {
  const Three three = NewThree();
  const Submitted other = Admit(NewRequest(2, {1, 2}, 20));
  EndTenantRequests(state(), TenantKey{1}, CancelledError("removed"));
  EXPECT_EQ(state().tenants.count(TenantKey{1}), 0u);
  ExpectEnded(three.running, CancelledError("removed"));
  ExpectEnded(three.paused, CancelledError("removed"));
  ExpectEnded(three.waiting, CancelledError("removed"));
  EXPECT_TRUE(IsRunning(other));
  EXPECT_EQ(state().saved_bytes.used(), 0);
  EndTenantRequests(state(), TenantKey{7}, CancelledError("nobody"));
  RunToTheEnd();
  EXPECT_EQ(Read(other).finish.reason, FinishReason::kLength);
}

TEST_F(FinishRequestTest, AllRequestsEnd) {
  const Three three = NewThree();
  const Submitted other = Admit(NewRequest(2, {1, 2}, 20));
  EndAllRequests(state(), CancelledError("over"));
  EXPECT_TRUE(state().tenants.empty() && state().running.empty() && state().paused.empty());
  for (const Submitted& submitted : {three.running, three.paused, three.waiting, other}) {
    ExpectEnded(submitted, CancelledError("over"));
  }
}

TEST_F(FinishRequestTest, EveryEndIsCounted) {
  state().metrics.AddTenant(TenantKey{1});
  const Three three = NewThree();
  three.running.channel->Cancel();
  three.waiting.request->deadline = Clock::now() - milliseconds(1);
  RunToTheEnd();
  const TenantMetrics metrics = *state().metrics.TenantSnapshot(TenantKey{1});
  EXPECT_EQ(metrics.finished_requests.at(FinishReason::kCancelled), 2);
  EXPECT_EQ(metrics.finished_requests.at(FinishReason::kLength), 1);
  EXPECT_EQ(metrics.finished_by_status.at(StatusCode::kDeadlineExceeded), 1);
}

}  // namespace
}  // namespace foretoken
