#include "engine/engine_metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <random>
#include <thread>
#include <vector>

namespace foretoken {
namespace {

constexpr TenantKey kA{1};
constexpr TenantKey kB{2};
constexpr TenantKey kStranger{7};

TEST(MetricsRecorderTest, CountsWhatARequestGoesThrough) {
  MetricsRecorder recorder;
  recorder.AddTenant(kA);
  recorder.RecordSubmitted(kA);
  recorder.RecordStarted(kA, {.queue_ms = 4, .prompt_tokens = 100, .cached_prompt_tokens = 60});
  recorder.RecordStarted(kA, {.queue_ms = 6, .prompt_tokens = 10});
  recorder.RecordFirstToken(kA, 50);
  recorder.RecordEventGap(kA, 20);
  recorder.RecordPreempted(kA);
  recorder.RecordResumed(kA, true);
  recorder.RecordResumed(kA, false);
  recorder.RecordResumed(kA, false);
  recorder.RecordNearTieFlip(kA);
  FinishedEvent finish;
  finish.reason = FinishReason::kCancelled;
  finish.status = DeadlineExceededError("too late");
  finish.usage.completion_tokens = 11;
  finish.timings.decode_ms = 300;
  recorder.RecordFinished(kA, finish);
  finish.usage.completion_tokens = 1;  // no token after the first: no time a token
  recorder.RecordFinished(kA, finish);

  const TenantMetrics metrics = recorder.TenantSnapshot(kA).value();
  EXPECT_EQ(metrics.submitted_requests, 1);
  EXPECT_DOUBLE_EQ(metrics.queue_ms.sum, 10);
  EXPECT_EQ(metrics.prompt_tokens, 110);
  EXPECT_EQ(metrics.cached_prompt_tokens, 60);
  EXPECT_EQ(metrics.prefix_hits, 1);
  EXPECT_DOUBLE_EQ(metrics.first_token_ms.sum, 50);
  EXPECT_DOUBLE_EQ(metrics.event_gap_ms.sum, 20);
  EXPECT_EQ(metrics.preemptions, 1);
  EXPECT_EQ(metrics.resumes_restored, 1);
  EXPECT_EQ(metrics.resumes_recomputed, 2);
  EXPECT_EQ(metrics.near_tie_flips, 1);
  EXPECT_EQ(metrics.finished_requests.at(FinishReason::kCancelled), 2);
  EXPECT_EQ(metrics.finished_by_status.at(StatusCode::kDeadlineExceeded), 2);
  EXPECT_EQ(metrics.output_token_ms.count, 1);
  EXPECT_DOUBLE_EQ(metrics.output_token_ms.sum, 30);
  EXPECT_EQ(recorder.Snapshot().total.preemptions, 1);
}

TEST(MetricsRecorderTest, CountsStepsForTheEngine) {
  MetricsRecorder recorder;
  recorder.RecordStep({.target_forwards = 1,
                       .target_rows = 12,
                       .draft_forwards = 3,
                       .draft_rows = 9,
                       .verified_positions = 8,
                       .expected_us = 900,
                       .phases = {.plan_us = 1,
                                  .draft_us = 200,
                                  .forward_us = 800,
                                  .judge_us = 2,
                                  .commit_us = 3,
                                  .emit_us = 4,
                                  .idle_us = 5},
                       .kv = {.capacity = 64, .used = 30, .cached = 10}});
  recorder.RecordStep({.target_forwards = 2,
                       .target_rows = 5,
                       .phases = {.plan_us = 10, .forward_us = 100},
                       .kv = {.capacity = 64, .used = 20}});
  const EngineMetrics metrics = recorder.Snapshot();
  EXPECT_EQ(metrics.steps, 2);
  EXPECT_EQ(metrics.target_forwards, 3);
  EXPECT_EQ(metrics.target_rows, 17);
  EXPECT_EQ(metrics.draft_forwards, 3);
  EXPECT_EQ(metrics.draft_rows, 9);
  EXPECT_EQ(metrics.verified_positions.count, 2);
  EXPECT_DOUBLE_EQ(metrics.verified_positions.sum, 8);
  EXPECT_EQ(metrics.step_us_forecast.count, 1);  // the second was not forecast
  EXPECT_DOUBLE_EQ(metrics.step_us_forecast.expected, 900);
  EXPECT_DOUBLE_EQ(metrics.step_us_forecast.actual, 1000);
  EXPECT_EQ(metrics.phases.plan_us, 11);
  EXPECT_EQ(metrics.phases.draft_us, 200);
  EXPECT_EQ(metrics.phases.forward_us, 900);
  EXPECT_EQ(metrics.phases.judge_us, 2);
  EXPECT_EQ(metrics.phases.commit_us, 3);
  EXPECT_EQ(metrics.phases.emit_us, 4);
  EXPECT_EQ(metrics.phases.idle_us, 5);
  EXPECT_EQ(metrics.kv.used, 20);
  EXPECT_EQ(metrics.kv.cached, 0);
}

TEST(MetricsRecorderTest, OccupancyIsSummedOverTheTenantsThatAreThere) {
  MetricsRecorder recorder;
  recorder.AddTenant(kA);
  recorder.AddTenant(kB);
  recorder.SetOccupancy(kA, {.queued = 3, .running = 2, .paused = 1});
  recorder.SetOccupancy(kB, {.queued = 5});
  recorder.SetOccupancy(kA, {.queued = 1, .running = 4});
  recorder.SetOccupancy(kStranger, {.queued = 100});
  EXPECT_EQ(recorder.Snapshot().total.requests.queued, 6);
  EXPECT_EQ(recorder.Snapshot().total.requests.running, 4);
  EXPECT_EQ(recorder.Snapshot().total.requests.paused, 0);
  EXPECT_EQ(recorder.TenantSnapshot(kA)->requests.running, 4);
  recorder.RemoveTenant(kB);
  recorder.RemoveTenant(kStranger);
  EXPECT_EQ(recorder.Snapshot().total.requests.queued, 1);
}

TEST(MetricsRecorderTest, TheSumKeepsRemovedTenantsAndStrangers) {
  MetricsRecorder recorder;
  recorder.AddTenant(kA);
  recorder.RecordSubmitted(kA);
  recorder.RecordSubmitted(kStranger);
  recorder.RemoveTenant(kA);
  EXPECT_EQ(recorder.Snapshot().total.submitted_requests, 2);
  EXPECT_FALSE(recorder.TenantSnapshot(kA).has_value());
  EXPECT_FALSE(recorder.TenantSnapshot(kStranger).has_value());
  recorder.AddTenant(kA);
  EXPECT_EQ(recorder.TenantSnapshot(kA)->submitted_requests, 0);
}

RoundRecord RandomRound(std::mt19937_64& random) {
  const auto uniform = [&random](int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random);
  };
  RoundRecord round;
  if (uniform(0, 3) == 0) {
    round.no_draft = static_cast<NoDraftReason>(uniform(0, 5));
    round.committed = 1;
    return round;
  }
  round.source = static_cast<DraftSourceKind>(uniform(0, 2));
  round.verified = uniform(1, 70);  // also beyond what is counted one by one
  round.drafted = uniform(0, round.verified);
  round.accepted = uniform(0, round.drafted);
  round.bonus = round.accepted == round.verified;
  round.committed = round.accepted + 1;
  round.expected_accepted = round.verified / 2.0;
  return round;
}

// Recounts the rounds of one source (all of them: absent) from what was recorded.
SourceMetrics Recount(const std::vector<RoundRecord>& rounds,
                      std::optional<DraftSourceKind> source) {
  SourceMetrics counts;
  counts.by_position.resize(kCountedDraftPositions);
  for (const RoundRecord& round : rounds) {
    if (!round.source || (source && round.source != source)) continue;
    ++counts.rounds;
    counts.drafted += round.drafted;
    counts.accepted += round.accepted;
    counts.rejected += round.drafted - round.accepted;
    counts.bonus += round.bonus ? 1 : 0;
    for (size_t i = 0; i < kCountedDraftPositions; ++i) {
      const bool is_last = i + 1 == kCountedDraftPositions;
      const auto place = static_cast<int32_t>(i);
      // The last position stands for all from there on.
      const auto reached = [&](int32_t length) {
        const int32_t behind = std::max(length - place, 0);
        return is_last ? behind : std::min(behind, 1);
      };
      counts.by_position[i].drafted += reached(round.drafted);
      counts.by_position[i].accepted += reached(round.accepted);
    }
  }
  return counts;
}

void ExpectRounds(const TenantMetrics& metrics, const std::vector<RoundRecord>& rounds) {
  const SourceMetrics all = Recount(rounds, std::nullopt);
  EXPECT_EQ(metrics.rounds, static_cast<int64_t>(rounds.size()));
  EXPECT_EQ(metrics.drafted, all.drafted);
  EXPECT_EQ(metrics.accepted, all.accepted);
  EXPECT_EQ(metrics.rejected, all.rejected);
  EXPECT_EQ(metrics.bonus, all.bonus);
  for (const auto& [source, counts] : metrics.by_source) {
    const SourceMetrics expected = Recount(rounds, source);
    EXPECT_EQ(counts.rounds, expected.rounds);
    EXPECT_EQ(counts.drafted, expected.drafted);
    EXPECT_EQ(counts.accepted, expected.accepted);
    EXPECT_EQ(counts.rejected, expected.rejected);
    EXPECT_EQ(counts.bonus, expected.bonus);
    ASSERT_EQ(counts.by_position.size(), kCountedDraftPositions);
    for (size_t i = 0; i < kCountedDraftPositions; ++i) {
      EXPECT_EQ(counts.by_position[i].drafted, expected.by_position[i].drafted) << i;
      EXPECT_EQ(counts.by_position[i].accepted, expected.by_position[i].accepted) << i;
    }
  }
  int64_t tokens = 0;
  int64_t wasted = 0;
  double expected_accepted = 0;
  std::vector<int64_t> lengths(kCountedDraftPositions);
  std::map<NoDraftReason, int64_t> no_draft;
  for (const RoundRecord& round : rounds) {
    tokens += round.committed;
    wasted += round.verified - round.accepted;
    expected_accepted += round.expected_accepted;
    ++lengths[std::min(static_cast<size_t>(round.verified), kCountedDraftPositions - 1)];
    if (!round.source) ++no_draft[round.no_draft];
  }
  EXPECT_EQ(metrics.completion_tokens, tokens);
  EXPECT_EQ(metrics.wasted_positions, wasted);
  EXPECT_EQ(metrics.rounds_by_draft_length, lengths);
  EXPECT_EQ(metrics.no_draft, no_draft);
  EXPECT_EQ(metrics.accepted_forecast.count, all.rounds);
  EXPECT_DOUBLE_EQ(metrics.accepted_forecast.expected, expected_accepted);
  EXPECT_DOUBLE_EQ(metrics.accepted_forecast.actual, static_cast<double>(all.accepted));
}

TEST(MetricsRecorderTest, RoundsAddUpBySourcePositionAndTenant) {
  MetricsRecorder recorder;
  recorder.AddTenant(kA);
  recorder.AddTenant(kB);
  std::mt19937_64 random(8);
  std::vector<RoundRecord> all;
  std::vector<RoundRecord> of_a;
  for (int i = 0; i < 3000; ++i) {
    const RoundRecord round = RandomRound(random);
    const TenantKey tenant = random() % 3 == 0 ? kA : kB;
    recorder.RecordRound(tenant, round);
    all.push_back(round);
    if (tenant == kA) of_a.push_back(round);
  }
  ExpectRounds(recorder.Snapshot().total, all);
  ExpectRounds(recorder.TenantSnapshot(kA).value(), of_a);
}

TEST(MetricsRecorderTest, SnapshotsBesideAWriterAreWhole) {
  MetricsRecorder recorder;
  recorder.AddTenant(kA);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    std::mt19937_64 random(9);
    for (int i = 0; i < 5000; ++i) {
      recorder.RecordRound(kA, RandomRound(random));
      recorder.RecordEventGap(kA, 1);
      recorder.RecordStep({.target_forwards = 1, .target_rows = 2});
    }
    done = true;
  });
  int64_t rounds_before = 0;
  while (!done) {
    const EngineMetrics engine = recorder.Snapshot();
    const TenantMetrics tenant = recorder.TenantSnapshot(kA).value();
    EXPECT_EQ(engine.target_rows, 2 * engine.steps);
    EXPECT_LE(engine.total.rounds, tenant.rounds);  // taken before
    EXPECT_GE(engine.total.rounds, rounds_before);
    rounds_before = engine.total.rounds;
    for (const TenantMetrics* metrics : {&engine.total, &tenant}) {
      EXPECT_EQ(metrics->drafted, metrics->accepted + metrics->rejected);
      int64_t drafted = 0;
      int64_t rounds = 0;
      for (const auto& [source, counts] : metrics->by_source) {
        drafted += counts.drafted;
        rounds += counts.rounds;
      }
      for (const auto& [reason, count] : metrics->no_draft) rounds += count;
      EXPECT_EQ(metrics->drafted, drafted);
      EXPECT_EQ(metrics->rounds, rounds);
    }
  }
  writer.join();
  EXPECT_EQ(recorder.Snapshot().total.rounds, 5000);
  EXPECT_EQ(recorder.TenantSnapshot(kA)->event_gap_ms.count, 5000);
}

}  // namespace
}  // namespace foretoken
