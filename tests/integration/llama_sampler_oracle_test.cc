// llama.cpp's own sampler chain, put in our order, is the oracle for the processing of a row.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "llama.h"
#include "sampling/sampler.h"
#include "unit/sampling/statistics.h"

namespace foretoken {
namespace {

constexpr int32_t kVocabulary = 32000;

struct FreeSampler {
  void operator()(llama_sampler* sampler) const { llama_sampler_free(sampler); }
};
using Chain = std::unique_ptr<llama_sampler, FreeSampler>;

struct Case {
  SamplingOptions options;
  std::vector<TokenId> prompt;
  std::vector<TokenId> output;
};

// Repetition looks at prompt and output, frequency and presence at the output alone: two samplers
// with histories of their own. The second multiplies by 1, so that the pair equals our formula.
Chain MakeChain(const Case& test) {
  const SamplingOptions& o = test.options;
  Chain chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
  const auto add = [&](llama_sampler* sampler) {
    llama_sampler_chain_add(chain.get(), sampler);
    return sampler;
  };
  constexpr int32_t kWindow = 1 << 20;
  llama_sampler* repetition =
      add(llama_sampler_init_penalties(kVocabulary, kWindow, o.repetition_penalty, 0, 0));
  for (const TokenId token : test.prompt) llama_sampler_accept(repetition, token);
  for (const TokenId token : test.output) llama_sampler_accept(repetition, token);
  llama_sampler* occurrence = add(llama_sampler_init_penalties(
      kVocabulary, kWindow, 1, o.frequency_penalty, o.presence_penalty));
  for (const TokenId token : test.output) llama_sampler_accept(occurrence, token);
  std::vector<llama_logit_bias> biases;
  for (const auto& [token, bias] : o.logit_bias) biases.push_back({token, bias});
  add(llama_sampler_init_logit_bias(kVocabulary, static_cast<int32_t>(biases.size()),
                                    biases.data()));
  add(llama_sampler_init_temp(o.temperature));
  if (o.top_k > 0) add(llama_sampler_init_top_k(o.top_k));
  add(llama_sampler_init_top_p(o.top_p, 1));
  add(llama_sampler_init_min_p(o.min_p, 1));
  return chain;
}

// The probabilities of the tokens that llama.cpp's chain keeps.
std::map<TokenId, double> OracleLaw(const Case& test, const std::vector<float>& row) {
  std::vector<llama_token_data> data;
  for (size_t i = 0; i < row.size(); ++i) data.push_back({static_cast<TokenId>(i), row[i], 0});
  llama_token_data_array array = {data.data(), data.size(), -1, false};
  llama_sampler_apply(MakeChain(test).get(), &array);
  double largest = array.data[0].logit;
  for (size_t i = 0; i < array.size; ++i) {
    largest = std::max<double>(largest, array.data[i].logit);
  }
  std::map<TokenId, double> law;
  double sum = 0;
  for (size_t i = 0; i < array.size; ++i) {
    sum += law[array.data[i].id] = std::exp(array.data[i].logit - largest);
  }
  for (auto& entry : law) entry.second /= sum;
  return law;
}

// A language model's row: a bell with a few tokens above it.
std::vector<float> ModelRow(uint64_t seed) {
  std::vector<float> row = BellRow(kVocabulary, seed, 2.5);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 30; ++i) row[random() % kVocabulary] += static_cast<float>(random() % 12);
  return row;
}

Case RandomCase(std::mt19937_64& random) {
  Case test;
  SamplingOptions& o = test.options;
  const auto unit = [&] { return static_cast<float>(random() % 1000) / 1000; };
  o.temperature = 0.3f + 1.2f * unit();
  if (random() % 2 == 0) o.top_k = static_cast<int32_t>(1 + random() % 200);
  if (random() % 2 == 0) o.top_p = 0.3f + 0.69f * unit();
  if (random() % 2 == 0) o.min_p = 1e-5f + 0.1f * unit() * unit() * unit();
  if (random() % 2 == 0) o.repetition_penalty = 0.8f + unit();
  if (random() % 2 == 0) o.frequency_penalty = 2 * unit() - 0.5f;
  if (random() % 2 == 0) o.presence_penalty = 2 * unit() - 0.5f;
  for (uint64_t i = random() % 10; i > 0; --i) {
    const TokenId token = static_cast<TokenId>(random() % kVocabulary);
    o.logit_bias.emplace_back(token, 20 * unit() - 10);
  }
  for (uint64_t i = random() % 400; i > 0; --i) {
    test.prompt.push_back(static_cast<TokenId>(random() % kVocabulary));
  }
  for (uint64_t i = random() % 400; i > 0; --i) {
    test.output.push_back(static_cast<TokenId>(random() % 50 * (random() % 600)));
  }
  return test;
}

std::string Describe(const Case& test) {
  const SamplingOptions& o = test.options;
  return "T " + std::to_string(o.temperature) + " k " + std::to_string(o.top_k) + " p " +
         std::to_string(o.top_p) + " min " + std::to_string(o.min_p);
}

TEST(LlamaSamplerOracleTest, OurProcessingEqualsItsChain) {
  std::mt19937_64 random(1);
  constexpr int kRounds = 200;
  int rows_at_an_edge = 0;
  for (int round = 0; round < kRounds; ++round) {
    const Case test = RandomCase(random);
    const std::vector<float> row = ModelRow(static_cast<uint64_t>(round));
    TokenHistory history(test.prompt);
    for (const TokenId token : test.output) history.AppendOutput(token);
    Result<Sampler> sampler = Sampler::Create(test.options, 0, kVocabulary);
    ASSERT_TRUE(sampler.ok());
    Distribution ours;
    ASSERT_TRUE(sampler->ComputeDistribution(row, history, ours).ok());
    const std::map<TokenId, double> oracle = OracleLaw(test, row);

    double mass_of_differences = 0;
    for (TokenId token = 0; token < kVocabulary; ++token) {
      const auto entry = oracle.find(token);
      const double theirs = entry == oracle.end() ? 0 : entry->second;
      if ((ours[token] > 0) != (theirs > 0)) {
        mass_of_differences += ours[token] + theirs;
      } else {
        // Where an edge differs, so does the normalisation, by as much.
        const double tolerance = test.options.top_p < 1 ? 1e-4 : 5e-6;
        ASSERT_NEAR(ours[token], theirs, tolerance * theirs)
            << Describe(test) << " token " << token;
      }
    }
    // Their sums are of up to 32,000 floats: where top-p ends within their rounding error of a
    // token's edge, that token may be in or out. Nothing else may differ.
    if (mass_of_differences > 0) {
      ++rows_at_an_edge;
      EXPECT_LT(test.options.top_p, 1) << Describe(test);
      EXPECT_LT(mass_of_differences, 1e-4) << Describe(test);
    }
  }
  RecordProperty("rows_at_an_edge", rows_at_an_edge);
  EXPECT_LE(rows_at_an_edge, kRounds / 20);
}

TEST(LlamaSamplerOracleTest, TemperatureZeroTakesItsToken) {
  std::mt19937_64 random(2);
  for (uint64_t round = 0; round < 20; ++round) {
    Case test = RandomCase(random);
    test.options.temperature = 0;
    const std::vector<float> row = ModelRow(round);
    TokenHistory history(test.prompt);
    for (const TokenId token : test.output) history.AppendOutput(token);
    Result<Sampler> sampler = Sampler::Create(test.options, 0, kVocabulary);
    ASSERT_TRUE(sampler.ok());
    const Result<TokenId> token = sampler->Select(row, history, 0, 0);
    ASSERT_TRUE(token.ok());
    const std::map<TokenId, double> oracle = OracleLaw(test, row);
    const auto best = std::max_element(oracle.begin(), oracle.end(),
                                       [](auto& a, auto& b) { return a.second < b.second; });
    EXPECT_EQ(*token, best->first);
  }
}

}  // namespace
}  // namespace foretoken
