// Times one row of a 151,936-token vocabulary, after checking on the same rows that Select takes
// the token that working out every score takes.
//   sampling_bench --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "sampling/gumbel_noise.h"
#include "sampling/logprobs.h"
#include "sampling/sampler.h"

namespace foretoken {
namespace {

constexpr int32_t kVocabulary = 151936;
constexpr uint64_t kSeed = 7;

// Like a language model's: a wide bell and a few tokens far above it.
std::vector<float> PeakedRow() {
  std::mt19937_64 random(1);
  std::normal_distribution<float> bell(0, 2.5f);
  std::vector<float> row(kVocabulary);
  for (float& logit : row) logit = bell(random);
  for (int i = 0; i < 8; ++i) {
    row[random() % kVocabulary] = 18.0f - static_cast<float>(i) * 0.75f;
  }
  return row;
}

// All tokens nearly alike: nothing can be passed over.
std::vector<float> FlatRow() {
  std::mt19937_64 random(2);
  std::normal_distribution<float> bell(0, 0.01f);
  std::vector<float> row(kVocabulary);
  for (float& logit : row) logit = bell(random);
  return row;
}

struct Case {
  std::string name;
  SamplingOptions options;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  const auto add = [&](std::string name) -> SamplingOptions& {
    cases.push_back({std::move(name), SamplingOptions()});
    cases.back().options.temperature = 0.8f;
    return cases.back().options;
  };
  add("greedy").temperature = 0;
  add("temperature");
  SamplingOptions& both = add("top_k_40_top_p");
  both.top_k = 40;
  both.top_p = 0.95f;
  add("top_k_1000").top_k = 1000;
  add("top_p").top_p = 0.95f;
  add("min_p").min_p = 0.05f;
  SamplingOptions& penalties = add("penalties_500");
  penalties.repetition_penalty = 1.1f;
  penalties.frequency_penalty = 0.1f;
  penalties.presence_penalty = 0.1f;
  return cases;
}

TokenHistory History() {
  std::mt19937_64 random(3);
  TokenHistory history;
  for (int i = 0; i < 500; ++i) {
    history.AppendOutput(static_cast<TokenId>(random() % kVocabulary));
  }
  return history;
}

// The largest log-probability + noise over the law's support: the same up to a constant.
bool AgreesWithBruteForce(const Case& test, const std::vector<float>& row, int64_t position) {
  const TokenHistory history = History();
  Result<Sampler> sampler = Sampler::Create(test.options, kSeed, kVocabulary);
  Distribution law;
  if (!sampler.ok() || !sampler->ComputeDistribution(row, history, law).ok()) return false;
  const Result<TokenId> selected = sampler->Select(row, history, 0, position);
  if (!selected.ok()) return false;
  const RowNoise noise(kSeed, 0, position);
  const double noise_scale = test.options.temperature > 0 ? 1 : 0;
  const auto score = [&](TokenId token) {
    return std::log(law[token]) + noise_scale * noise.Gumbel(token);
  };
  for (TokenId token = 0; token < kVocabulary; ++token) {
    if (law[token] > 0 && score(token) > score(*selected) + 1e-9) return false;
  }
  return law[*selected] > 0;
}

void Run(benchmark::State& state, const Case& test, const std::vector<float>& row) {
  const TokenHistory history = History();
  Result<Sampler> sampler = Sampler::Create(test.options, kSeed, kVocabulary);
  int64_t position = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(sampler->Select(row, history, 0, ++position));
  }
}

void RunDistribution(benchmark::State& state, const Case& test, const std::vector<float>& row) {
  const TokenHistory history = History();
  Result<Sampler> sampler = Sampler::Create(test.options, kSeed, kVocabulary);
  Distribution law;
  for (auto _ : state) {
    benchmark::DoNotOptimize(sampler->ComputeDistribution(row, history, law));
  }
}

void RunLogprobs(benchmark::State& state, const std::vector<float>& row) {
  for (auto _ : state) benchmark::DoNotOptimize(ComputeLogprobs(row, 17, 20));
}

int Main(int argc, char** argv) {
  const std::vector<std::pair<std::string, std::vector<float>>> rows = {{"peaked", PeakedRow()},
                                                                        {"flat", FlatRow()}};
  for (const auto& named_row : rows) {
    for (const Case& test : Cases()) {
      for (int64_t position = 0; position < 5; ++position) {
        if (!AgreesWithBruteForce(test, named_row.second, position)) {
          std::fprintf(stderr, "%s/%s: the selected token is not the best\n", test.name.c_str(),
                       named_row.first.c_str());
          return 1;
        }
      }
      const std::string suffix = test.name + "/" + named_row.first;
      const std::vector<float>& row = named_row.second;
      benchmark::RegisterBenchmark(("select/" + suffix).c_str(), [=, &row](benchmark::State& s) {
        Run(s, test, row);
      })->Unit(benchmark::kMicrosecond);
      if (test.name == "temperature" || test.name == "top_k_40_top_p") {
        benchmark::RegisterBenchmark(("distribution/" + suffix).c_str(), [=, &row](
                                                                             benchmark::State& s) {
          RunDistribution(s, test, row);
        })->Unit(benchmark::kMicrosecond);
      }
    }
    const std::vector<float>& row = named_row.second;
    benchmark::RegisterBenchmark(("logprobs_20/" + named_row.first).c_str(),
                                 [&row](benchmark::State& s) { RunLogprobs(s, row); })
        ->Unit(benchmark::kMicrosecond);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace foretoken

int main(int argc, char** argv) {
  return foretoken::Main(argc, argv);
}
