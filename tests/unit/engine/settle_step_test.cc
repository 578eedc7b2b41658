#include "engine/settle_step.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "unit/engine/engine_fixture.h"

namespace foretoken {
namespace {

class SettleStepTest : public EngineStateTest {
 protected:
  SettleStepTest() {
    options_.backend.kv_cache_tokens = 1000;
    options_.runtime.prefix_reuse = false;
  }

  // A request past its prompt, whose step is about to be settled. Its first token's event is out.
  Submitted Take(uint64_t tenant) {
    const Submitted submitted = Admit(NewRequest(tenant, Count(1, 5), 20));
    StartDecoding();
    submitted.request->sink.EndRound(Clock::now());
    state().metrics.AddTenant(TenantKey{tenant});
    plan_.requests.push_back({submitted.request, 1});
    entries_.push_back({.decoder = &*submitted.request->decoder, .sink = &submitted.request->sink});
    return submitted;
  }
  // What a round of these counts leaves behind.
  void Commit(size_t index, RoundEntry counts) {
    RoundEntry& entry = entries_[index];
    counts.decoder = entry.decoder;
    counts.sink = entry.sink;
    entry = counts;
    for (int32_t i = 0; i < entry.committed; ++i) entry.sink->Commit({.id = 1}, std::nullopt);
  }
  void Settle() {
    ++state().step;
    SettleStep(state(), plan_, entries_, report_, times_);
  }
  double Served(uint64_t tenant) { return state().fairness.Counter(TenantKey{tenant}); }

  StepPlan plan_;
  std::vector<RoundEntry> entries_;
  RoundReport report_;
  StepTimes times_;
};

TEST_F(SettleStepTest, ChargesCommittedAndRejectedTokens) {
  Tenant(2)->weight = 4;
  Take(1);
  Take(2);
  Take(3);
  Commit(0, {.committed_rows = 1, .committed = 1});
  Commit(1, {.committed_rows = 1, .drafted = 6, .counted = 6, .accepted = 2, .committed = 3});
  Commit(2, {.committed_rows = 1, .drafted = 3, .counted = 3, .accepted = 3, .committed = 4});
  Settle();
  EXPECT_EQ(Served(1), 1);
  EXPECT_EQ(Served(2), (3.0 + 4) / 4);
  EXPECT_EQ(Served(3), 4);
}

TEST_F(SettleStepTest, APositionOfAPromptIsChargedHalf) {
  Take(1);
  Take(2);
  Take(3);
  Commit(0, {.committed_rows = 10});
  Commit(1, {.committed_rows = 11, .committed = 1});  // the last part, with the first token
  Commit(2, {.committed_rows = 1});
  Settle();
  EXPECT_EQ(Served(1), 5);
  EXPECT_EQ(Served(2), 5);
  EXPECT_EQ(Served(3), 1) << "nothing is free";
}

TEST_F(SettleStepTest, ARoundIsAnEventForItsReader) {
  const Submitted submitted = Take(1);
  const Submitted other = Take(2);
  Commit(0, {.committed_rows = 1, .committed = 3});
  Commit(1, {.committed_rows = 4});  // in the middle of a prompt
  Settle();
  submitted.channel->Finish({});
  other.channel->Finish({});
  EXPECT_EQ(std::get<TokensEvent>(*submitted.channel->Next()).tokens.size(), 1u);
  EXPECT_EQ(std::get<TokensEvent>(*submitted.channel->Next()).tokens.size(), 3u);
  other.channel->Next();
  EXPECT_TRUE(std::holds_alternative<FinishedEvent>(*other.channel->Next()));
  EXPECT_EQ(submitted.request->last_step, state().step);
}

TEST_F(SettleStepTest, AFailureEndsItsOwnRequestOnly) {
  const Submitted failed = Take(1);
  const Submitted other = Take(1);
  Commit(0, {.status = InternalError("broken")});
  Commit(1, {.committed_rows = 1, .committed = 1});
  Settle();
  EXPECT_TRUE(IsOver(failed));
  EXPECT_TRUE(IsRunning(other));
  EXPECT_EQ(state().tenants.at(TenantKey{1}).running, 1);
  EXPECT_EQ(state().sequences.used(), 1);
  EXPECT_EQ(Served(1), 1) << "what failed is not charged";
  const GenerationResult result = Read(failed);
  EXPECT_EQ(result.finish.reason, FinishReason::kError);
  EXPECT_EQ(result.finish.status, InternalError("broken"));
  EXPECT_EQ(result.tokens.size(), 1u);
}

TEST_F(SettleStepTest, AnAbortedForwardEndsNobody) {
  const Submitted first = Take(1);
  Take(1);
  for (size_t i : {0, 1}) Commit(i, {.status = CancelledError("aborted")});
  Settle();
  EXPECT_EQ(state().running.size(), 2u);
  EXPECT_EQ(Served(1), 0);
  RunToTheEnd();
  EXPECT_EQ(Read(first).finish.reason, FinishReason::kLength);
}

TEST_F(SettleStepTest, OneThatMayHaveMadeASharedForwardFailRunsAloneNext) {
  const Submitted suspect = Take(1);
  Take(1);
  Commit(0, {.status = UnavailableError("whose fault?")});
  Commit(1, {.committed_rows = 1, .committed = 1});
  Settle();
  EXPECT_TRUE(IsRunning(suspect));
  EXPECT_TRUE(suspect.request->is_suspect);
  Commit(0, {.committed_rows = 1});
  Commit(1, {});
  Settle();
  EXPECT_TRUE(suspect.request->is_suspect) << "a part of a prompt proves nothing";
  Commit(0, {.committed_rows = 1, .committed = 1});
  Settle();
  EXPECT_FALSE(suspect.request->is_suspect);
}

TEST_F(SettleStepTest, OneWithoutRoomIsTriedAgainButNotForEver) {
  options_.runtime.prefix_reuse = true;
  Add(2, Count(9, 20), 1);
  RunToTheEnd();
  EXPECT_EQ(state().prefixes.size(), 1u);
  const Submitted starving = Take(1);
  const auto starve = [&] {
    Commit(0, {.status = ResourceExhaustedError("full")});
    Settle();
  };
  starve();
  EXPECT_EQ(state().prefixes.size(), 0u) << "all that can be given up is";
  for (int step = 1; step < 7; ++step) starve();
  EXPECT_TRUE(IsRunning(starving));
  Commit(0, {.committed_rows = 1, .committed = 1});
  Settle();
  for (int step = 0; step < 7; ++step) starve();
  EXPECT_TRUE(IsRunning(starving)) << "in a row, that is";
  starve();
  EXPECT_TRUE(IsOver(starving));
  EXPECT_EQ(Read(starving).finish.status, ResourceExhaustedError("full"));
}

TEST_F(SettleStepTest, ThoseThatAreThroughEndAndTheOthersGoOn) {
  const Submitted first = Take(1);
  const Submitted second = Take(2);
  const Submitted third = Take(1);
  Commit(0, {.finished = true, .committed_rows = 1, .committed = 2});
  Commit(1, {.finished = true, .committed_rows = 1, .committed = 1});
  Commit(2, {.committed_rows = 1, .committed = 1});
  Settle();
  EXPECT_TRUE(IsOver(first) && IsOver(second) && IsRunning(third));
  EXPECT_EQ(state().tenants.at(TenantKey{1}).running, 1);
  EXPECT_EQ(state().tenants.at(TenantKey{2}).running, 0);
  const GenerationResult result = Read(first);
  EXPECT_EQ(result.tokens.size(), 3u);
  EXPECT_TRUE(result.finish.status.ok());
  EXPECT_EQ(result.finish.reason, FinishReason::kLength);  // what the decoder says
  EXPECT_EQ(result.finish.usage.completion_tokens, 3);
}

TEST_F(SettleStepTest, RoundsAreCountedWithTheirSource) {
  Take(1);
  Take(2);
  Commit(0, {.committed_rows = 1,
             .drafted = 5,
             .counted = 4,
             .accepted = 3,
             .committed = 4,
             .source = DraftSourceKind::kSuffix,
             .expected_accepted = 2.5});
  Commit(1, {.committed_rows = 1, .committed = 1, .no_draft = NoDraftReason::kDoesNotPay});
  Settle();
  const TenantMetrics first = *state().metrics.TenantSnapshot(TenantKey{1});
  EXPECT_EQ(first.rounds, 1);
  EXPECT_EQ(first.drafted, 4);
  EXPECT_EQ(first.accepted, 3);
  EXPECT_EQ(first.wasted_positions, 2);
  EXPECT_EQ(first.by_source.at(DraftSourceKind::kSuffix).rounds, 1);
  EXPECT_EQ(first.accepted_forecast.expected, 2.5);
  const TenantMetrics second = *state().metrics.TenantSnapshot(TenantKey{2});
  EXPECT_EQ(second.no_draft.at(NoDraftReason::kDoesNotPay), 1);
  EXPECT_EQ(state().metrics.Snapshot().total.completion_tokens, 5);
}

TEST_F(SettleStepTest, TimesToTheFirstTokenAndBetweenEventsAreCounted) {
  const Submitted submitted = Admit(NewRequest(1, Count(1, 5), 20));
  state().metrics.AddTenant(TenantKey{1});
  plan_.requests.push_back({submitted.request, 5});
  entries_.push_back({.decoder = &*submitted.request->decoder, .sink = &submitted.request->sink});
  const Clock::time_point start = submitted.request->submitted;
  for (const int milliseconds : {100, 130}) {
    Commit(0, {.committed_rows = 1, .committed = 1});
    times_.round_end = start + std::chrono::milliseconds(milliseconds);
    Settle();
  }
  const TenantMetrics metrics = *state().metrics.TenantSnapshot(TenantKey{1});
  EXPECT_EQ(metrics.first_token_ms.count, 1);
  EXPECT_DOUBLE_EQ(metrics.first_token_ms.sum, 100);
  EXPECT_EQ(metrics.event_gap_ms.count, 1);
  EXPECT_DOUBLE_EQ(metrics.event_gap_ms.sum, 30);
}

TEST_F(SettleStepTest, TheStepsFiguresAreRecorded) {
  Take(1);
  Take(1);
  Commit(0, {.committed_rows = 1, .drafted = 3, .committed = 1});
  Commit(1, {.committed_rows = 1, .drafted = 2, .committed = 1});
  report_.target = {.forwards = 2, .rows = 7, .forward_us = 500};
  report_.draft_forwards = 4;
  report_.draft_rows = 6;
  report_.draft_us = 60;
  report_.choose_us = 11;
  report_.judge_us = 20;
  report_.commit_us = 30;
  report_.expected_us = 550;
  const Clock::time_point start = Clock::now();
  times_ = {.plan_start = start,
            .round_start = start + std::chrono::microseconds(40),
            .round_end = start + std::chrono::microseconds(700)};
  Settle();
  const EngineMetrics metrics = state().metrics.Snapshot();
  EXPECT_EQ(metrics.steps, 1);
  EXPECT_EQ(metrics.target_forwards, 2);
  EXPECT_EQ(metrics.target_rows, 7);
  EXPECT_EQ(metrics.draft_forwards, 4);
  EXPECT_EQ(metrics.draft_rows, 6);
  EXPECT_EQ(metrics.verified_positions.sum, 5);
  EXPECT_EQ(metrics.step_us_forecast.expected, 550);
  EXPECT_EQ(metrics.step_us_forecast.actual, 560);
  EXPECT_EQ(metrics.phases.plan_us, 51);
  EXPECT_EQ(metrics.phases.draft_us, 60);
  EXPECT_EQ(metrics.phases.forward_us, 500);
  EXPECT_EQ(metrics.phases.judge_us, 20);
  EXPECT_EQ(metrics.phases.commit_us, 30);
  EXPECT_EQ(metrics.phases.idle_us, 0) << "there was no step before";
  EXPECT_EQ(metrics.kv.capacity, 1000);
  EXPECT_EQ(metrics.kv.used, state().sequences.used_cells());
  EXPECT_EQ(metrics.kv.cached, 0);
}

TEST_F(SettleStepTest, TheTimeBetweenStepsIsIdle) {
  Take(1);
  Commit(0, {.committed_rows = 1, .committed = 1});
  Settle();
  times_.plan_start = state().last_step_end + std::chrono::microseconds(250);
  times_.round_start = times_.plan_start;
  Commit(0, {.committed_rows = 1, .committed = 1});
  Settle();
  EXPECT_EQ(state().metrics.Snapshot().phases.idle_us, 250);
}

class PublicPrefixTest : public SettleStepTest {
 protected:
  PublicPrefixTest() {
    model_options_.adapters = {{"formal", 11}};
    options_.runtime.prefix_reuse = true;
    state().public_prefixes = {Count(1, 20)};
  }
  // How much of a prompt a tenant without any of its own finds in the cache.
  int32_t Found(const Tokens& prompt) {
    const auto match = state().prefixes.Match(TenantKey{99}, "", prompt);
    return match ? match->length : 0;
  }
};

TEST_F(PublicPrefixTest, IsKeptForAllOnceAPromptHasBeenRunPastIt) {
  EXPECT_EQ(Found(Count(1, 30)), 0);
  Add(1, Count(1, 30), 3);
  RunToTheEnd();
  EXPECT_EQ(Found(Count(1, 30)), 20) << "and nothing of what is the tenant's own";
  const size_t kept = state().prefixes.size();
  const EngineRequest request = NewRequest(2, Count(1, 35), 3);
  const Submitted other = Admit(request);
  EXPECT_EQ(other.request->reused_prompt_tokens, 20);
  RunToTheEnd();
  EXPECT_EQ(TokensOf(Read(other)), Alone(request));
  EXPECT_EQ(state().prefixes.size(), kept + 1) << "the request's own, not a second public one";
  state().prefixes.EvictTenant(TenantKey{1});
  EXPECT_EQ(Found(Count(1, 30)), 20);
}

TEST_F(PublicPrefixTest, IsNotKeptOfWhatOnlyBeginsSoOrWasRunOtherwise) {
  Add(1, Count(1, 15), 30);  // an answer is no prompt, whatever it says
  EngineRequest adapted = NewRequest(1, Count(1, 30), 3);
  adapted.adapter = NewAdapter("formal");
  Add(std::move(adapted));
  RunToTheEnd();
  EXPECT_EQ(Found(Count(1, 30)), 0);
}

TEST_F(PublicPrefixTest, WhereItIsKeptNobodyMakesRoomForIt) {
  DropState();
  options_.backend.max_sequences = 4;
  state().public_prefixes = {Count(1, 20)};
  const Tokens others = Count(9, 20);
  Add(2, others, 3);
  Add(1, Count(1, 20), 3);
  RunToTheEnd();
  EXPECT_EQ(state().prefixes.size(), 3u);
  const Submitted again = Admit(NewRequest(1, Count(1, 20), 3));  // the last token is run again
  ASSERT_TRUE(IsRunning(again));
  EXPECT_EQ(state().sequences.free_ids(), 0);
  RunToTheEnd();
  const auto match = state().prefixes.Match(TenantKey{2}, "", others);
  EXPECT_TRUE(match && match->length == 20);
  EXPECT_EQ(Found(Count(1, 30)), 20);
}

TEST_F(PublicPrefixTest, IsKeptOfAPromptThatIsNothingElse) {
  Add(1, Count(1, 20), 3);
  RunToTheEnd();
  EXPECT_EQ(Found(Count(1, 30)), 20);
}

}  // namespace
}  // namespace foretoken
