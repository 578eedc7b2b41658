#include "bench_load_figures.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace foretoken {
namespace {

LoadAnswer Answer(size_t tenant, double due_ms, std::vector<TokenArrival> arrivals) {
  LoadAnswer answer;
  answer.tenant = tenant;
  answer.due_ms = due_ms;
  for (const TokenArrival& arrival : arrivals) {
    answer.tokens.resize(answer.tokens.size() + static_cast<size_t>(arrival.tokens));
  }
  answer.arrivals = std::move(arrivals);
  answer.finish.reason = FinishReason::kLength;
  answer.finish.usage = {.prompt_tokens = 100, .cached_prompt_tokens = 40, .completion_tokens = 0};
  return answer;
}

TEST(BenchLoadFiguresTest, CountsWhatHappenedInTheWindow) {
  LoadRecord record;
  record.window_end_ms = 2000;
  record.answers = {
      Answer(0, 0, {{100, 1}, {400, 3}, {700, 1}}),
      Answer(1, 0, {{200, 1}, {1900, 1}, {2500, 2}}),  // half of it in the window
      Answer(0, 800, {{1800, 1}, {2100, 9}}),          // hardly begun
      Answer(1, 1900, {{2050, 4}}),                    // not begun
  };
  const LoadFigures figures = FiguresOf(record, 2);
  EXPECT_EQ(figures.window_ms, 2000);
  EXPECT_EQ(figures.answers, 4);
  EXPECT_EQ(figures.window_tokens, 5 + 2 + 1);
  EXPECT_EQ(figures.completion_tokens, 5 + 4 + 10 + 4);
  EXPECT_EQ(figures.tokens_per_second, 4);
  EXPECT_EQ(figures.tenant_tokens_per_second, (std::vector<double>{3, 1}));
  EXPECT_EQ(figures.prompt_tokens, 400);
  EXPECT_EQ(figures.cached_prompt_tokens, 160);
  EXPECT_EQ(figures.prompt_tokens_per_second, 3 * 60 / 2) << "computed ones, in the window";
  EXPECT_EQ(figures.latency.ttft_ms, (std::vector<double>{100, 200, 1000}));
  EXPECT_EQ(figures.latency.tpot_ms, (std::vector<double>{600.0 / 4, 1700}));
  EXPECT_EQ(figures.latency.itl_ms, (std::vector<double>{300, 300, 1700}));
}

TEST(BenchLoadFiguresTest, WhatCameBeforeTheWindowCountsOnlyInIt) {
  LoadRecord record;
  record.window_begin_ms = 1000;
  record.window_end_ms = 2000;
  LoadAnswer flood = Answer(1, 0, {{500, 1}, {1500, 2}, {3000, 1}});
  flood.finish.reason = FinishReason::kCancelled;
  record.answers = {Answer(0, 1000, {{1100, 1}, {1200, 1}}), flood};
  const LoadFigures figures = FiguresOf(record, 2);
  EXPECT_EQ(figures.answers, 1) << "the other was cut off";
  EXPECT_EQ(figures.tenant_tokens_per_second, (std::vector<double>{2, 2}));
  EXPECT_EQ(figures.latency.ttft_ms, (std::vector<double>{100}));
  EXPECT_EQ(figures.prompt_tokens_per_second, 60);

  const LoadFigures quiet = FiguresOf(OnlyTenant(record, 0), 2);
  EXPECT_EQ(quiet.window_ms, 1000);
  EXPECT_EQ(quiet.tenant_tokens_per_second, (std::vector<double>{2, 0}));
}

TEST(BenchLoadFiguresTest, AddsUpSpeculationAndNamesEachWarningOnce) {
  LoadRecord record;
  record.window_end_ms = 10;
  for (int i = 0; i < 2; ++i) {
    LoadAnswer answer = Answer(0, 0, {{5, 1}});
    answer.finish.warnings = {"slow", "slow"};
    answer.finish.speculation.rounds = 2 + 2 * i;
    answer.finish.speculation.tau = 3;
    answer.finish.speculation.drafted = 4;
    record.answers.push_back(answer);
  }
  const LoadFigures figures = FiguresOf(record, 1);
  EXPECT_EQ(figures.warnings, (std::vector<std::string>{"slow"}));
  EXPECT_EQ(figures.speculation.rounds, 6);
  EXPECT_EQ(figures.speculation.drafted, 8);
  EXPECT_EQ(figures.speculation.tau, 3);
}

TEST(BenchLoadFiguresTest, NothingIsZero) {
  const LoadFigures figures = FiguresOf(LoadRecord(), 1);
  EXPECT_EQ(figures.tokens_per_second, 0);
  EXPECT_EQ(figures.prompt_tokens_per_second, 0);
  EXPECT_EQ(Percentile({}, 0.5), 0);
  EXPECT_EQ(FairnessIndex(std::vector<double>{0, 0}, std::vector<double>{1, 1}), 0);
}

// By definition: the smallest sample with at least that share at or below it.
double PercentileByCounting(std::vector<double> samples, double share) {
  std::sort(samples.begin(), samples.end());
  for (const double sample : samples) {
    const auto below = std::count_if(samples.begin(), samples.end(),
                                     [&](double other) { return other <= sample; });
    if (static_cast<double>(below) >= share * static_cast<double>(samples.size())) return sample;
  }
  return samples.back();
}

TEST(BenchLoadFiguresTest, PercentilesAreThoseOfCounting) {
  std::vector<double> samples;
  for (int i = 0; i < 250; ++i) {
    samples.push_back(static_cast<double>((i * 7919) % 101));
    for (const double share : {0.0, 0.01, 0.5, 0.9, 0.99, 1.0}) {
      ASSERT_EQ(Percentile(samples, share), PercentileByCounting(samples, share))
          << i << " " << share;
    }
  }
}

TEST(BenchLoadFiguresTest, FairnessIsOfSharesAndWeights) {
  const auto index = [](std::vector<double> rates, std::vector<double> weights) {
    return FairnessIndex(rates, weights);
  };
  EXPECT_DOUBLE_EQ(index({5, 5, 5}, {1, 1, 1}), 1);
  EXPECT_DOUBLE_EQ(index({5, 15}, {1, 3}), 1);
  EXPECT_DOUBLE_EQ(index({9, 0, 0}, {1, 1, 1}), 1.0 / 3);
  EXPECT_DOUBLE_EQ(index({1, 3}, {1, 1}), 16.0 / 20);
}

}  // namespace
}  // namespace foretoken
