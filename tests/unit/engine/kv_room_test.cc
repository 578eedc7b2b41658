#include "engine/kv_room.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/finish_request.h"
#include "unit/engine/engine_fixture.h"

namespace foretoken {
namespace {

class KvRoomTest : public EngineStateTest {
 protected:
  KvRoomTest() {
    model_options_.context_tokens = 200;
    model_options_.max_batch_rows = 64;
    options_.backend.kv_cache_tokens = 400;
    options_.runtime.prefix_reuse = false;  // what is cached is put there by the tests
  }

  // Keeps a sequence of these tokens, as a finished request does.
  void Cache(const Tokens& tokens) {
    CachedSequence cache(state().sequences);
    std::vector<BatchRow> rows;
    ASSERT_TRUE(cache.Stage(tokens, 0, rows).ok());
    for (size_t begin = 0; begin < rows.size(); begin += 64) {
      const size_t count = std::min<size_t>(64, rows.size() - begin);
      ASSERT_TRUE(state().backend.Decode(std::span(rows).subspan(begin, count)).ok());
    }
    cache.Commit();
    state().prefixes.Insert({.sequence = cache.Release(),
                             .tokens = tokens,
                             .tenant = TenantKey{99},
                             .adapter = "",
                             .is_public = false});
  }
  bool IsCached(const Tokens& tokens) {
    const auto match = state().prefixes.Match(TenantKey{99}, "", tokens);
    return match && match->length == static_cast<int32_t>(tokens.size());
  }

  // A running request that has generated some tokens of `max_tokens`.
  Submitted Start(const EngineRequest& request, int steps = 3) {
    // How much of a prompt a step runs is not to depend on this machine's speed.
    options_.runtime.prefill_slowdown = 1000;
    const Submitted submitted = Admit(request);
    EXPECT_TRUE(IsRunning(submitted));
    RunSteps(steps);
    return submitted;
  }
  void Pause(const Submitted& submitted) {
    for (size_t i = 0; i < state().running.size(); ++i) {
      if (state().running[i].get() == submitted.request) return PauseRequest(state(), i);
    }
    FAIL() << "not running";
  }
  // What the saved state of so many cached tokens takes.
  static int64_t StateBytes(int32_t tokens) { return int64_t{8} * (2 * tokens + 2); }
};

TEST_F(KvRoomTest, EvictsTheLeastRecentlyUsedUntilThereIsRoom) {
  Cache(Count(1, 100));
  Cache(Count(2, 100));
  Cache(Count(3, 100));
  state().prefixes.Touch(state().prefixes.Match(TenantKey{99}, "", Count(1, 100))->id);
  EXPECT_TRUE(EvictForCells(state(), 100));
  EXPECT_EQ(state().prefixes.size(), 3u);
  EXPECT_TRUE(EvictForCells(state(), 101));
  EXPECT_TRUE(IsCached(Count(1, 100)) && IsCached(Count(3, 100)));
  EXPECT_FALSE(IsCached(Count(2, 100)));
  EXPECT_TRUE(EvictForCells(state(), 400));
  EXPECT_EQ(control_->cells_in_use, 0);
}

TEST_F(KvRoomTest, NothingIsGivenUpForWhatDoesNotFitAllTheSame) {
  Start(NewRequest(1, Count(1, 150), 20));
  Cache(Count(2, 100));
  EXPECT_FALSE(EvictForCells(state(), 300));
  EXPECT_TRUE(IsCached(Count(2, 100)));
  EXPECT_EQ(AvailableCells(state()), 400 - state().running[0]->cache().cached_tokens());
  EXPECT_TRUE(EvictForCells(state(), AvailableCells(state())));
  RunToTheEnd();
}

TEST_F(KvRoomTest, EvictsForASequenceId) {
  options_.backend.max_sequences = 2;
  Cache({1});
  Cache({2});
  EXPECT_TRUE(EvictForSequence(state()));
  EXPECT_FALSE(IsCached({1}));
  EXPECT_TRUE(IsCached({2}));
  const Sequence first = state().sequences.Acquire().value();
  EXPECT_TRUE(EvictForSequence(state()));
  const Sequence second = state().sequences.Acquire().value();
  EXPECT_FALSE(EvictForSequence(state()));
}

TEST_F(KvRoomTest, PromisedCellsAreThoseOfPromptsNotYetRun) {
  const Submitted first = Admit(NewRequest(1, Count(1, 100)));
  EXPECT_EQ(PromisedCells(state()), 100);
  RunSteps(1);
  EXPECT_EQ(PromisedCells(state()), 36);
  RunSteps(1);
  EXPECT_EQ(PromisedCells(state()), 1) << "the token that was just chosen";
  Admit(NewRequest(1, Count(2, 50)));
  EXPECT_EQ(PromisedCells(state()), 51);
  RunToTheEnd();
}

TEST_F(KvRoomTest, CachedBeginningsGoBeforeAnyoneIsPaused) {
  const Submitted first = Start(NewRequest(1, Count(1, 50), 20));
  const Submitted second = Start(NewRequest(1, Count(2, 50), 20));
  Cache(Count(3, 150));
  EXPECT_TRUE(MakeRoomForRunning(state(), 200));
  EXPECT_TRUE(IsRunning(first) && IsRunning(second));
  EXPECT_EQ(state().prefixes.size(), 0u);
  RunToTheEnd();
}

TEST_F(KvRoomTest, TheYoungestArePausedAndTheOldestNever) {
  const Submitted oldest = Start(NewRequest(1, Count(1, 60), 20));
  const Submitted middle = Start(NewRequest(2, Count(2, 60), 20));
  const Submitted youngest = Start(NewRequest(1, Count(3, 60), 20));
  std::swap(state().running[0], state().running[2]);  // by arrival, not by place
  EXPECT_TRUE(MakeRoomForRunning(state(), 240));
  EXPECT_TRUE(IsRunning(oldest) && IsRunning(middle));
  EXPECT_TRUE(IsPaused(youngest));
  EXPECT_FALSE(MakeRoomForRunning(state(), 400));
  EXPECT_TRUE(IsRunning(oldest));
  EXPECT_TRUE(IsPaused(middle));
  EXPECT_EQ(state().paused[0].get(), middle.request) << "oldest arrival first";
  EXPECT_EQ(state().tenants.at(TenantKey{1}).running, 1);
  EXPECT_EQ(state().tenants.at(TenantKey{1}).paused, 1);
  EXPECT_EQ(state().tenants.at(TenantKey{2}).running, 0);
  EXPECT_EQ(state().tenants.at(TenantKey{2}).paused, 1);
  EXPECT_EQ(control_->cells_in_use, oldest.request->cache().cached_tokens());
  RunToTheEnd();
}

TEST_F(KvRoomTest, TheStalledArePausedFirst) {
  const Submitted stalled = Start(NewRequest(1, Count(1, 60), 20));
  const Submitted older = Start(NewRequest(1, Count(2, 60), 20));
  const Submitted younger = Start(NewRequest(1, Count(3, 60), 20));
  Stall(stalled);
  EXPECT_TRUE(MakeRoomForRunning(state(), 230));
  EXPECT_TRUE(IsPaused(stalled));
  EXPECT_TRUE(IsRunning(older) && IsRunning(younger));
  EXPECT_FALSE(MakeRoomForRunning(state(), 400));
  EXPECT_TRUE(IsRunning(older)) << "the oldest of those that can go on";
  EXPECT_TRUE(IsPaused(younger));
  Unstall(stalled);
  RunToTheEnd();
}

// A reader that has only just fallen behind costs its request nothing, unless nobody could go on
// otherwise.
TEST_F(KvRoomTest, ThoseWhoseReadersAreBehindArePausedLast) {
  const Submitted behind = Start(NewRequest(1, Count(1, 60), 20));
  const Submitted older = Start(NewRequest(1, Count(2, 60), 20));
  const Submitted younger = Start(NewRequest(1, Count(3, 60), 20));
  FallBehind(behind);
  EXPECT_TRUE(MakeRoomForRunning(state(), 230));
  EXPECT_TRUE(IsPaused(younger));
  EXPECT_TRUE(IsRunning(behind) && IsRunning(older));
  EXPECT_TRUE(MakeRoomForRunning(state(), 290));
  EXPECT_TRUE(IsPaused(behind));
  EXPECT_TRUE(IsRunning(older));
  Unstall(behind);
  RunToTheEnd();
}

TEST_F(KvRoomTest, APausedStateIsSavedAndHadBack) {
  const EngineRequest request = NewRequest(1, Count(1, 60), 20);
  const Submitted submitted = Start(request, 5);
  const int32_t cached = submitted.request->cache().cached_tokens();
  Pause(submitted);
  EXPECT_EQ(control_->cells_in_use, 0);
  EXPECT_EQ(state().sequences.used(), 0);
  ASSERT_TRUE(submitted.request->saved.has_value());
  EXPECT_EQ(submitted.request->saved->tokens, cached);
  EXPECT_EQ(state().saved_bytes.used(), StateBytes(cached));
  EXPECT_TRUE(ResumePaused(state()));
  EXPECT_EQ(state().saved_bytes.used(), 0);
  EXPECT_EQ(submitted.request->cache().cached_tokens(), cached);
  const int64_t rows = control_->rows;
  const auto left = 20 - submitted.request->sink.tokens();
  RunToTheEnd();
  EXPECT_EQ(control_->rows - rows, left) << "nothing was computed twice";
  EXPECT_EQ(TokensOf(Read(submitted)), Alone(request));
}

TEST_F(KvRoomTest, WhatTheBoundDoesNotAllowIsComputedAgain) {
  options_.runtime.paused_state_bytes = StateBytes(70);
  const EngineRequest first_request = NewRequest(1, Count(1, 60), 20);
  const EngineRequest second_request = NewRequest(1, Count(2, 60), 20);
  const Submitted first = Start(first_request);
  const Submitted second = Start(second_request);
  Pause(first);
  Pause(second);
  EXPECT_TRUE(first.request->saved.has_value());
  EXPECT_FALSE(second.request->saved.has_value());
  EXPECT_LE(state().saved_bytes.used(), StateBytes(70));
  EXPECT_TRUE(ResumePaused(state()));
  EXPECT_EQ(second.request->cache().cached_tokens(), 0);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(first)), Alone(first_request));
  EXPECT_EQ(TokensOf(Read(second)), Alone(second_request));
}

TEST_F(KvRoomTest, AStateThatCannotBeSavedOrHadBackIsComputedAgain) {
  for (const FakeCall failing : {FakeCall::kSaveSequence, FakeCall::kRestoreSequence}) {
    const EngineRequest request = NewRequest(1, Count(1, 60), 20);
    const Submitted submitted = Start(request);
    control_->before_call = [failing](FakeCall call) {
      return call == failing ? InternalError("broken") : OkStatus();
    };
    Pause(submitted);
    EXPECT_EQ(submitted.request->saved.has_value(), failing == FakeCall::kRestoreSequence);
    EXPECT_TRUE(ResumePaused(state()));
    EXPECT_EQ(state().saved_bytes.used(), 0);
    EXPECT_EQ(control_->cells_in_use, 0);
    control_->before_call = nullptr;
    RunToTheEnd();
    EXPECT_EQ(TokensOf(Read(submitted)), Alone(request));
  }
}

TEST_F(KvRoomTest, APromptMayBePausedInTheMiddle) {
  const EngineRequest request = NewRequest(1, Count(1, 150), 5);
  const Submitted submitted = Start(request, 1);
  EXPECT_EQ(submitted.request->cache().cached_tokens(), 64);
  Pause(submitted);
  EXPECT_TRUE(ResumePaused(state()));
  EXPECT_EQ(submitted.request->cache().cached_tokens(), 64);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(submitted)), Alone(request));
}

TEST_F(KvRoomTest, PausingGivesUpTheDraftModelsCells) {
  const auto draft_control = std::make_shared<FakeControl>();
  const auto model = NewFakeModel(model_options_, draft_control);
  const auto draft = std::make_shared<DraftContext>(
      "draft", 0, model, model->NewBackend({.max_sequences = 4}).value());
  EngineRequest request = NewRequest(1, Count(1, 20), 30);
  request.speculation = {.mode = SpeculationMode::kFixed,
                         .sources = {DraftSourceKind::kDraftModel}};
  request.draft = draft;
  const EngineRequest reference = request;
  const Submitted submitted = Start(request);
  EXPECT_GT(draft_control->cells_in_use, 0);
  Pause(submitted);
  EXPECT_EQ(draft_control->cells_in_use, 0);
  EXPECT_EQ(draft->sequences().used(), 0);
  EXPECT_TRUE(ResumePaused(state()));
  RunToTheEnd();
  const GenerationResult result = Read(submitted);
  EXPECT_EQ(TokensOf(result), Alone(reference));
  EXPECT_TRUE(result.finish.warnings.empty());
}

TEST_F(KvRoomTest, TheOldestComesBackFirstAndOnlyWithRoom) {
  const Submitted oldest = Start(NewRequest(1, Count(1, 100), 20));
  const Submitted middle = Start(NewRequest(1, Count(2, 30), 20));
  const Submitted youngest = Start(NewRequest(1, Count(3, 30), 20));
  Pause(youngest);
  Pause(oldest);
  Cache(Count(4, 50));  // gives way
  Sequence others = state().sequences.Acquire().value();
  ASSERT_TRUE(others.Grow(AvailableCells(state()) - 120).ok());
  EXPECT_FALSE(ResumePaused(state()));
  EXPECT_TRUE(IsPaused(oldest));
  EXPECT_TRUE(IsPaused(youngest)) << "which there would be room for, but it is not its turn";
  EXPECT_TRUE(IsRunning(middle));
  ASSERT_TRUE(others.Truncate(others.length() - 30).ok());
  EXPECT_FALSE(ResumePaused(state()));
  EXPECT_TRUE(IsRunning(oldest));
  EXPECT_TRUE(IsPaused(youngest));
  EXPECT_EQ(state().prefixes.size(), 0u);
  others.Reset();
  EXPECT_TRUE(ResumePaused(state()));
  RunToTheEnd();
  EXPECT_EQ(Read(youngest).finish.reason, FinishReason::kLength);
}

TEST_F(KvRoomTest, AloneAPausedRequestComesBackWhateverRoomThereIs) {
  options_.backend.kv_cache_tokens = 200;
  const EngineRequest request = NewRequest(1, Count(1, 180), 20);
  const Submitted submitted = Start(request, 15);
  Pause(submitted);
  Cache(Count(2, 150));
  EXPECT_TRUE(ResumePaused(state()));
  EXPECT_TRUE(IsRunning(submitted));
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(submitted)), Alone(request));
}

TEST_F(KvRoomTest, NoMoreComeBackThanMayRun) {
  options_.runtime.max_running = 2;
  const Submitted first = Start(NewRequest(1, {1}, 20));
  const Submitted second = Start(NewRequest(1, {2}, 20));
  Pause(second);
  const Submitted third = Admit(NewRequest(1, {3}, 20));
  EXPECT_TRUE(IsRunning(second)) << "before the new one";
  EXPECT_TRUE(IsWaiting(third));
  RunToTheEnd();
}

TEST_F(KvRoomTest, AReaderThatIsBehindDoesNotBringItsRequestBack) {
  const Submitted behind = Start(NewRequest(1, Count(1, 60), 20));
  const Submitted other = Start(NewRequest(1, Count(2, 60), 20));
  Pause(behind);
  Pause(other);
  FallBehind(behind);
  EXPECT_TRUE(ResumePaused(state())) << "nobody has to wait for it";
  EXPECT_TRUE(IsPaused(behind));
  EXPECT_TRUE(IsRunning(other));
  Unstall(behind);
  EXPECT_TRUE(ResumePaused(state()));
  EXPECT_TRUE(IsRunning(behind));
  RunToTheEnd();
}

// Readers that have just read again, before the engine has looked.
TEST_F(KvRoomTest, OneWhoseReaderReadsAgainIsNotStalled) {
  const Submitted first = Start(NewRequest(1, Count(1, 120), 20));
  const Submitted second = Start(NewRequest(1, Count(2, 120), 20));
  Pause(second);
  Sequence others = state().sequences.Acquire().value();
  ASSERT_TRUE(others.Grow(AvailableCells(state()) - 100).ok());
  for (const Submitted& submitted : {first, second}) {
    submitted.request->stalled_since = Clock::now() - 2 * ActiveRequest::kLongStall;
  }
  EXPECT_FALSE(ResumePaused(state()));
  EXPECT_TRUE(IsRunning(first) && IsPaused(second));
  others.Reset();
  RunToTheEnd();
}

TEST_F(KvRoomTest, TheStalledMakeRoomForThoseThatWait) {
  options_.backend.kv_cache_tokens = 200;
  const EngineRequest request = NewRequest(2, Count(2, 120), 20);
  const Submitted holding = Start(NewRequest(1, Count(1, 120), 60));
  const Submitted waiting = Add(request);
  FallBehind(holding);
  AdmitRequests(state());
  EXPECT_TRUE(IsRunning(holding) && IsWaiting(waiting)) << "a moment is no reason";
  Stall(holding);
  AdmitRequests(state());
  EXPECT_TRUE(IsPaused(holding) && IsRunning(waiting));
  while (!IsOver(waiting)) RunSteps(1);
  EXPECT_EQ(TokensOf(Read(waiting)), Alone(request));
  Unstall(holding);
  RunToTheEnd();
}

// An older request whose reader never reads must not keep younger ones from the cells.
TEST_F(KvRoomTest, AStalledRequestHoldsNobodyUp) {
  options_.backend.kv_cache_tokens = 200;
  const EngineRequest request = NewRequest(2, Count(2, 20), 60);
  const EngineRequest long_request = NewRequest(3, Count(3, 120), 20);
  const Submitted stalled = Start(NewRequest(1, Count(1, 120), 60));
  const Submitted running = Admit(request);
  ASSERT_TRUE(IsRunning(running));
  Stall(stalled);
  const Submitted waiting = Add(long_request);
  while (!(IsOver(running) && IsOver(waiting))) RunSteps(1);
  EXPECT_EQ(TokensOf(Read(running)), Alone(request));
  EXPECT_EQ(TokensOf(Read(waiting)), Alone(long_request));
  Unstall(stalled);
  RunToTheEnd();
}

// One sequence id is free for a request that comes back to compute its tokens again; another that
// begins in the same step must not take it.
TEST_F(KvRoomTest, OneThatComesBackHasItsSequenceId) {
  options_.backend.max_sequences = 2;
  options_.runtime.paused_state_bytes = 0;
  const EngineRequest request = NewRequest(1, {1, 2}, 20);
  const EngineRequest late_request = NewRequest(1, {3, 4}, 20);
  const Submitted first = Start(request);
  const Submitted second = Start(NewRequest(1, {2, 3}, 20));
  Pause(first);
  const Submitted late = Admit(late_request);
  EXPECT_TRUE(IsRunning(first));
  EXPECT_TRUE(IsWaiting(late));
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(first)), Alone(request));
  EXPECT_EQ(TokensOf(Read(late)), Alone(late_request));
  EXPECT_EQ(Read(second).finish.status, OkStatus());
}

TEST_F(KvRoomTest, CountsPausesAndHowTheyEnded) {
  state().metrics.AddTenant(TenantKey{1});
  const Submitted submitted = Start(NewRequest(1, {1, 2}, 20));
  Pause(submitted);
  ResumePaused(state());
  Pause(submitted);
  submitted.request->saved.reset();
  ResumePaused(state());
  const TenantMetrics metrics = *state().metrics.TenantSnapshot(TenantKey{1});
  EXPECT_EQ(metrics.preemptions, 2);
  EXPECT_EQ(metrics.resumes_restored, 1);
  EXPECT_EQ(metrics.resumes_recomputed, 1);
  RunToTheEnd();
}

}  // namespace
}  // namespace foretoken
