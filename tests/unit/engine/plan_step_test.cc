#include "engine/plan_step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/adapter_turn.h"
#include "unit/engine/engine_fixture.h"

namespace foretoken {
namespace {

class PlanStepTest : public EngineStateTest {
 protected:
  PlanStepTest() {
    model_options_.context_tokens = 400;
    model_options_.max_batch_rows = 64;
    model_options_.max_logits_rows = 64;
    model_options_.adapters = {{"formal", 11}};
    options_.backend.kv_cache_tokens = 8000;
    options_.backend.max_sequences = 100;
    options_.runtime.prefix_reuse = false;
  }

  // Requests of a tenant that are past their prompts.
  std::vector<Submitted> Decoding(uint64_t tenant, int count) {
    std::vector<Submitted> requests;
    for (int i = 0; i < count; ++i) requests.push_back(Admit(NewRequest(tenant, {1}, 300)));
    StartDecoding();
    return requests;
  }
  // One that has all of its prompt still to run.
  Submitted Prefilling(uint64_t tenant, int32_t prompt_tokens, TokenId first = 2) {
    const Submitted submitted = Admit(NewRequest(tenant, Count(first, prompt_tokens), 300));
    EXPECT_TRUE(IsRunning(submitted));
    return submitted;
  }

  // Rows of committed tokens that the plan gives a request.
  static int32_t RowsOf(const StepPlan& plan, const Submitted& submitted) {
    int32_t rows = 0;
    for (const PlannedRequest& planned : plan.requests) {
      if (planned.request == submitted.request) rows += planned.committed_rows;
    }
    return rows;
  }
  static std::map<uint64_t, int> CountByTenant(const StepPlan& plan) {
    std::map<uint64_t, int> count;
    for (const PlannedRequest& planned : plan.requests) {
      ++count[static_cast<uint64_t>(planned.request->tenant())];
    }
    return count;
  }
  using Counts = std::map<uint64_t, int>;

  // As the step would leave it, without running it.
  void Serve(const StepPlan& plan) {
    ++state().step;
    for (const PlannedRequest& planned : plan.requests) {
      planned.request->last_step = state().step;
      state().fairness.Charge(planned.request->tenant(), 1);
    }
  }
};

TEST_F(PlanStepTest, WithNothingThatRunsThereIsNoStep) {
  EXPECT_TRUE(PlanStep(state()).requests.empty());
}

TEST_F(PlanStepTest, AllThatDecodeTakePartTogether) {
  const auto first = Decoding(1, 3);
  const auto second = Decoding(2, 2);
  const StepPlan plan = PlanStep(state());
  EXPECT_EQ(plan.requests.size(), 5u);
  EXPECT_EQ(plan.decoding, 5);
  for (const PlannedRequest& planned : plan.requests) EXPECT_EQ(planned.committed_rows, 1);
}

TEST_F(PlanStepTest, OneWhoseReaderIsBehindSitsOut) {
  const auto requests = Decoding(1, 3);
  Stall(requests[1]);
  EXPECT_EQ(PlanStep(state()).requests.size(), 2u);
  EXPECT_EQ(RowsOf(PlanStep(state()), requests[1]), 0);
  Stall(requests[0]);
  Stall(requests[2]);
  EXPECT_TRUE(PlanStep(state()).requests.empty());
  Unstall(requests[1]);
  EXPECT_EQ(RowsOf(PlanStep(state()), requests[1]), 1);
}

TEST_F(PlanStepTest, APromptTakesWhatTheBatchHoldsWhileCostsAreUnknown) {
  const auto requests = Decoding(1, 3);
  const Submitted prompt = Prefilling(1, 200);
  EXPECT_EQ(RowsOf(PlanStep(state()), prompt), 61);
}

TEST_F(PlanStepTest, APromptTakesWhatKeepsTheStepWithinTheSlowdown) {
  Decoding(1, 2);
  const Submitted prompt = Prefilling(1, 200);
  LearnCosts([](int32_t rows) { return 1000.0 + 100.0 * rows; });
  options_.runtime.prefill_slowdown = 3.05;  // of 1,200: 3,660
  EXPECT_EQ(RowsOf(PlanStep(state()), prompt), 24);
  options_.runtime.prefill_slowdown = 1.55;  // 1,860
  EXPECT_EQ(RowsOf(PlanStep(state()), prompt), 6);
  options_.runtime.prefill_slowdown = 1000;
  EXPECT_EQ(RowsOf(PlanStep(state()), prompt), 62);
}

TEST_F(PlanStepTest, APromptGetsOnHoweverDearItIs) {
  Decoding(1, 2);
  const Submitted prompt = Prefilling(1, 200);
  LearnCosts([](int32_t rows) { return 10000.0 * rows; });
  options_.runtime.prefill_slowdown = 1.5;
  EXPECT_EQ(RowsOf(PlanStep(state()), prompt), 4);
}

TEST_F(PlanStepTest, WithNobodyToHoldUpAPromptTakesMore) {
  model_options_.max_batch_rows = 256;
  const Submitted prompt = Prefilling(1, 300);
  LearnCosts([](int32_t rows) { return 4000.0 * rows; });  // 400 ms: 100 rows
  const int32_t rows = RowsOf(PlanStep(state()), prompt);
  EXPECT_GT(rows, 80);
  EXPECT_LE(rows, 120);  // beyond 64 rows costs are known in ranges
}

TEST_F(PlanStepTest, WithNobodyToHoldUpASlowModelsPromptTakesABatchThatIsWorthIt) {
  model_options_.max_batch_rows = 256;
  const Submitted prompt = Prefilling(1, 300);
  LearnCosts([](int32_t rows) { return 100000.0 * rows; });
  EXPECT_EQ(RowsOf(PlanStep(state()), prompt), 64);
}

TEST_F(PlanStepTest, PromptsShareTheirRowsTheLeastServedTenantFirst) {
  Decoding(1, 2);
  const Submitted served = Prefilling(2, 100);
  const Submitted young = Prefilling(3, 20);
  const Submitted old = Prefilling(3, 30);
  std::swap(young.request->arrival, old.request->arrival);
  state().fairness.Charge(TenantKey{2}, 50);
  const StepPlan plan = PlanStep(state());  // 62 rows for prompts
  EXPECT_EQ(RowsOf(plan, old), 30);
  EXPECT_EQ(RowsOf(plan, young), 20);
  EXPECT_EQ(RowsOf(plan, served), 12);
  EXPECT_EQ(plan.decoding, 2);
}

TEST_F(PlanStepTest, MoreThanTheBatchHoldsTakeTurns) {
  model_options_.max_batch_rows = 16;
  model_options_.max_logits_rows = 4;
  options_.runtime.max_running = 10;
  const auto requests = Decoding(1, 10);
  for (int step = 0; step < 20; ++step) {
    const StepPlan plan = PlanStep(state());
    ASSERT_EQ(plan.requests.size(), 4u);
    Serve(plan);
    for (const Submitted& submitted : requests) {
      EXPECT_GE(submitted.request->last_step, state().step - 3) << "10 of them, 4 a step";
    }
  }
}

TEST_F(PlanStepTest, DraftsTakeWhatIsLeftOfBatchLogitsAndCells) {
  model_options_.max_batch_rows = 32;
  model_options_.max_logits_rows = 20;
  options_.backend.kv_cache_tokens = 400;
  Decoding(1, 3);
  EXPECT_EQ(PlanStep(state()).max_draft_rows, 17);
  model_options_.max_logits_rows = 20;
  const Submitted prompt = Prefilling(1, 10);  // its last row wants logits
  EXPECT_EQ(RowsOf(PlanStep(state()), prompt), 10);
  EXPECT_EQ(PlanStep(state()).max_draft_rows, 16);
  Prefilling(1, 30);
  EXPECT_EQ(PlanStep(state()).max_draft_rows, 0) << "the batch is full";
}

TEST_F(PlanStepTest, DraftsTakeNoMoreThanTheFreeCells) {
  options_.backend.kv_cache_tokens = 400;
  Decoding(1, 1);
  Sequence others = state().sequences.Acquire().value();
  ASSERT_TRUE(others.Grow(state().sequences.free_cells() - 6).ok());
  EXPECT_EQ(PlanStep(state()).max_draft_rows, 5);
}

TEST_F(PlanStepTest, WithoutRowsForItsLogitsAPromptWaits) {
  model_options_.max_logits_rows = 2;
  Decoding(1, 2);
  const Submitted prompt = Prefilling(1, 10);
  EXPECT_EQ(RowsOf(PlanStep(state()), prompt), 0);
  EXPECT_EQ(PlanStep(state()).requests.size(), 2u);
}

TEST_F(PlanStepTest, ATenantThatIsAheadGetsItsFairShareOnly) {
  Decoding(1, 6);
  Decoding(2, 1);
  LearnCosts([](int32_t rows) { return 100.0 + 500.0 * rows; });
  EXPECT_EQ(CountByTenant(PlanStep(state())), (Counts{{1, 6}, {2, 1}})) << "nobody is ahead";
  state().fairness.Charge(TenantKey{1}, 100);
  EXPECT_EQ(CountByTenant(PlanStep(state())), (Counts{{1, 1}, {2, 1}}));
}

TEST_F(PlanStepTest, FairSharesAreByWeight) {
  Tenant(1)->weight = 3;
  Decoding(1, 9);
  Decoding(2, 2);
  LearnCosts([](int32_t rows) { return 100.0 + 500.0 * rows; });
  state().fairness.Charge(TenantKey{1}, 100);
  EXPECT_EQ(CountByTenant(PlanStep(state())), (Counts{{1, 6}, {2, 2}}));
}

TEST_F(PlanStepTest, WhatCostsTheOthersNothingIsNotDeniedToOneThatIsAhead) {
  Decoding(1, 6);
  const auto quiet = Decoding(2, 1);
  LearnCosts([](int32_t) { return 1000.0; });
  state().fairness.Charge(TenantKey{1}, 100);
  EXPECT_EQ(CountByTenant(PlanStep(state())), (Counts{{1, 6}, {2, 1}}));
  // Unless those that are behind have something that waits for a slot.
  Add(2, {1});
  EXPECT_EQ(CountByTenant(PlanStep(state())), (Counts{{1, 1}, {2, 1}}));
}

TEST_F(PlanStepTest, WithinAShareEveryRequestHasItsTurn) {
  const auto flood = Decoding(1, 6);
  Decoding(2, 1);
  LearnCosts([](int32_t rows) { return 100.0 + 500.0 * rows; });
  state().fairness.Charge(TenantKey{1}, 1000);
  std::set<const ActiveRequest*> served;
  for (int step = 0; step < 6; ++step) {
    const StepPlan plan = PlanStep(state());
    for (const PlannedRequest& planned : plan.requests) served.insert(planned.request);
    Serve(plan);
  }
  for (const Submitted& request : flood) EXPECT_EQ(served.count(request.request), 1u);
}

// Over many steps, backlogged tenants are served by their weights, whatever they have running.
TEST_F(PlanStepTest, BackloggedTenantsAreServedByWeight) {
  const std::vector<double> weights = {1, 3, 0.5};
  const std::vector<int> running = {12, 10, 6};
  for (size_t i = 0; i < weights.size(); ++i) {
    Tenant(i + 1)->weight = weights[i];
    Decoding(i + 1, running[i]);
    Add(i + 1, {1});  // and one that waits
  }
  LearnCosts([](int32_t rows) { return 100.0 + 500.0 * rows; });
  std::map<uint64_t, int> served;
  for (int step = 0; step < 3000; ++step) {
    const StepPlan plan = PlanStep(state());
    ASSERT_FALSE(plan.requests.empty());
    for (const auto& [tenant, count] : CountByTenant(plan)) served[tenant] += count;
    Serve(plan);
  }
  EXPECT_NEAR(1.0 * served[2] / served[1], 3.0, 0.05);
  EXPECT_NEAR(1.0 * served[3] / served[1], 0.5, 0.02);
}

TEST_F(PlanStepTest, AStepServesOneAdapter) {
  const auto base = Decoding(1, 2);
  const auto formal = NewAdapter("formal");
  EngineRequest request = NewRequest(1, Count(1, 10), 20);
  request.adapter = formal;
  const Submitted adapted = Admit(std::move(request));
  ASSERT_TRUE(UseAdapter(state(), nullptr).ok());
  state().adapter_turn.since = Clock::now() + std::chrono::hours(1);
  StepPlan plan = PlanStep(state());
  EXPECT_EQ(plan.adapter, nullptr);
  EXPECT_EQ(plan.requests.size(), 2u);
  state().adapter_turn.since = Clock::now() - std::chrono::hours(1);
  for (const Submitted& submitted : base) submitted.request->last_step = 1;
  plan = PlanStep(state());
  EXPECT_EQ(plan.adapter, formal);
  EXPECT_EQ(plan.requests.size(), 1u);
  EXPECT_EQ(RowsOf(plan, adapted), 10);
}

TEST_F(PlanStepTest, OneThatMayHaveMadeAForwardFailRunsAlone) {
  const auto first = Decoding(1, 2);
  Decoding(2, 1);
  state().fairness.Charge(TenantKey{1}, 100);
  first[1].request->is_suspect = true;
  const StepPlan plan = PlanStep(state());
  EXPECT_EQ(plan.requests.size(), 1u);
  EXPECT_EQ(RowsOf(plan, first[1]), 1);
  EXPECT_EQ(state().fairness.Counter(TenantKey{2}), 0) << "who sits out for it loses nothing";
}

TEST_F(PlanStepTest, WithoutACellForEachTheYoungestArePaused) {
  const auto requests = Decoding(1, 3);
  Sequence others = state().sequences.Acquire().value();
  ASSERT_TRUE(others.Grow(state().sequences.free_cells() - 2).ok());
  const StepPlan plan = PlanStep(state());
  EXPECT_TRUE(IsPaused(requests[2]));
  EXPECT_EQ(plan.requests.size(), 2u);
  EXPECT_EQ(RowsOf(plan, requests[0]), 1);
}

TEST_F(PlanStepTest, CachedBeginningsGiveWayToPromptsAndDrafts) {
  options_.runtime.prefix_reuse = true;
  options_.backend.kv_cache_tokens = 400;
  Add(2, Count(5, 300), 1);
  RunToTheEnd();
  ASSERT_EQ(state().prefixes.size(), 1u);
  const Submitted prompt = Prefilling(1, 60);
  EXPECT_EQ(RowsOf(PlanStep(state()), prompt), 60);
  EXPECT_EQ(state().prefixes.size(), 1u) << "there is room for both";
  const Submitted longer = Prefilling(1, 90, 3);
  EXPECT_EQ(RowsOf(PlanStep(state()), longer), 4);
  EXPECT_EQ(state().prefixes.size(), 0u);
}

}  // namespace
}  // namespace foretoken
