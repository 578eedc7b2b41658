#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sampling/gumbel_noise.h"
#include "sampling/row.h"
#include "unit/sampling/statistics.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Sampler MakeSampler(const SamplingOptions& options, uint64_t seed, size_t vocabulary_size) {
  Result<Sampler> sampler = Sampler::Create(options, seed, static_cast<int32_t>(vocabulary_size));
  EXPECT_TRUE(sampler.ok()) << sampler.status().ToString();
  return std::move(sampler).value();
}

TokenId Select(Sampler& sampler, const std::vector<float>& row,
               const TokenHistory& history = TokenHistory(), uint64_t stream = 0,
               int64_t position = 0) {
  const Result<TokenId> token = sampler.Select(row, history, stream, position);
  EXPECT_TRUE(token.ok()) << token.status().ToString();
  return token.ok() ? *token : -1;
}

Distribution Law(Sampler& sampler, const std::vector<float>& row,
                 const TokenHistory& history = TokenHistory()) {
  Distribution law;
  const Status status = sampler.ComputeDistribution(row, history, law);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return law;
}

// Penalties and bias as docs/sampling.md defines them, on a copy of the row.
std::vector<float> Adjusted(std::vector<float> row, const SamplingOptions& o,
                            const TokenHistory& history) {
  for (const auto& [token, counts] : history.counts()) {
    if (token >= static_cast<TokenId>(row.size())) continue;
    float& logit = row[token];
    logit = logit > 0 ? logit / o.repetition_penalty : logit * o.repetition_penalty;
    logit -= static_cast<float>(counts.output) * o.frequency_penalty +
             static_cast<float>(counts.output > 0 ? 1 : 0) * o.presence_penalty;
  }
  for (const auto& [token, bias] : o.logit_bias) row[token] += bias;
  return row;
}

SamplingOptions RandomOptions(std::mt19937_64& random, size_t vocabulary_size) {
  SamplingOptions o;
  const auto unit = [&] { return static_cast<float>(random() % 1000 + 1) / 1001; };
  o.temperature = std::vector<float>{0, 0.05f, 0.7f, 1, 1.6f}[random() % 5];
  if (random() % 2 == 0) o.top_k = static_cast<int32_t>(random() % (vocabulary_size + 5));
  if (random() % 2 == 0) o.top_p = unit();
  if (random() % 2 == 0) o.min_p = unit();
  if (random() % 2 == 0) o.repetition_penalty = 0.5f + 1.5f * unit();
  if (random() % 2 == 0) o.frequency_penalty = 4 * unit() - 2;
  if (random() % 2 == 0) o.presence_penalty = 4 * unit() - 2;
  for (uint64_t i = random() % 4; i > 0; --i) {
    const TokenId token = static_cast<TokenId>(random() % vocabulary_size);
    o.logit_bias.emplace_back(token, 10 * unit() - 5);
  }
  return o;
}

TokenHistory RandomHistory(std::mt19937_64& random, size_t vocabulary_size) {
  std::vector<TokenId> prompt(random() % 20);
  for (TokenId& token : prompt) token = static_cast<TokenId>(random() % (vocabulary_size + 1));
  TokenHistory history(prompt);
  for (uint64_t i = random() % 20; i > 0; --i) {
    history.AppendOutput(static_cast<TokenId>(random() % vocabulary_size));
  }
  return history;
}

TEST(SamplerTest, CreateChecksItsArguments) {
  SamplingOptions options;
  options.top_p = 0;
  EXPECT_EQ(Sampler::Create(options, 0, 10).status().code(), StatusCode::kInvalidArgument);
  options = SamplingOptions();
  EXPECT_EQ(Sampler::Create(options, 0, 0).status().code(), StatusCode::kInvalidArgument);
  options.logit_bias = {{9, 1.0f}};
  EXPECT_TRUE(Sampler::Create(options, 0, 10).ok());
  const Status status = Sampler::Create(options, 0, 9).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("token 9"));
}

TEST(SamplerTest, RowsThatAllowNothingAreInternalErrors) {
  for (const float temperature : {0.0f, 1.0f}) {
    SamplingOptions options;
    options.temperature = temperature;
    Sampler sampler = MakeSampler(options, 0, 3);
    Distribution law;
    for (const std::vector<float>& row :
         {std::vector<float>{kNan, kNan, kNan}, {-kInfinity, -kInfinity, kNan}, {1, 2}, {}}) {
      EXPECT_EQ(sampler.Select(row, TokenHistory(), 0, 0).status().code(), StatusCode::kInternal);
      EXPECT_EQ(sampler.ComputeDistribution(row, TokenHistory(), law).code(),
                StatusCode::kInternal);
    }
    EXPECT_EQ(Select(sampler, {kNan, -5, -kInfinity}), 1);  // and the sampler goes on
  }
}

TEST(SamplerTest, NanCountsAsMinusInfinityAndInfinityAsTheLargestLogit) {
  SamplingOptions options;
  Sampler sampler = MakeSampler(options, 0, 5);
  EXPECT_EQ(Law(sampler, {0, kNan, 0, -kInfinity, -kNan}), (Distribution{0.5, 0, 0.5, 0, 0}));
  EXPECT_EQ(Law(sampler, {0, kInfinity, 3, kInfinity, kNan}), (Distribution{0, 0.5, 0, 0.5, 0}));
  options.temperature = 0;
  Sampler greedy = MakeSampler(options, 0, 5);
  EXPECT_EQ(Select(greedy, {0, kNan, 7, kInfinity, kInfinity}), 3);
}

TEST(SamplerTest, TemperatureZeroTakesTheLowestOfTheMostLikely) {
  SamplingOptions options;
  options.temperature = 0;
  options.top_p = 0.01f;
  Sampler sampler = MakeSampler(options, 123, 6);
  for (int64_t position = 0; position < 20; ++position) {
    EXPECT_EQ(Select(sampler, {1, 4, -2, 4, 4, 0}, TokenHistory(), 0, position), 1);
  }
  EXPECT_EQ(Law(sampler, {1, 4, -2, 4, 4, 0}), (Distribution{0, 1, 0, 0, 0, 0}));
}

TEST(SamplerTest, PenaltiesFollowTheirFormulas) {
  TokenHistory history(std::vector<TokenId>{0, 1, 1, 77, -3});  // ids outside: not looked at
  for (const TokenId token : {1, 2, 2, 2}) history.AppendOutput(token);
  SamplingOptions options;
  options.repetition_penalty = 2;
  options.frequency_penalty = 0.5f;
  options.presence_penalty = 0.25f;
  options.logit_bias = {{3, 1.5f}, {0, 0.5f}, {3, -0.5f}};
  Sampler sampler = MakeSampler(options, 0, 5);
  const Distribution law = Law(sampler, {3, -1, 4, 0, 0}, history);
  // 3 / 2 + 0.5;  -1 * 2 - 0.5 - 0.25;  4 / 2 - 3 * 0.5 - 0.25;  0 + 1.5 - 0.5;  0
  const std::vector<double> logits = {2, -2.75, 0.25, 1, 0};
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit);
  for (size_t i = 0; i < logits.size(); ++i) {
    EXPECT_NEAR(law[i], std::exp(logits[i]) / sum, 1e-12) << i;
  }
}

TEST(SamplerTest, PenaltiesCannotMakeATokenPossibleOrTheRowInfinite) {
  TokenHistory history(std::vector<TokenId>{0, 1, 2});
  SamplingOptions options;
  options.repetition_penalty = 1e-40f;
  options.logit_bias = {{0, 100.0f}, {1, 100.0f}};
  Sampler sampler = MakeSampler(options, 0, 4);
  const Distribution law = Law(sampler, {-kInfinity, 1e10f, kNan, 5}, history);
  EXPECT_EQ(law, (Distribution{0, 1, 0, 0}));
}

TEST(SamplerTest, RollbackRestoresTheLaw) {
  SamplingOptions options;
  options.repetition_penalty = 1.3f;
  options.frequency_penalty = 0.7f;
  Sampler sampler = MakeSampler(options, 0, 40);
  const std::vector<float> row = BellRow(40, 3, 2);
  TokenHistory history(std::vector<TokenId>{1, 2, 3});
  history.AppendOutput(4);
  const Distribution before = Law(sampler, row, history);
  for (const TokenId token : {1, 4, 9, 9}) history.AppendOutput(token);
  EXPECT_NE(Law(sampler, row, history), before);
  history.TruncateOutput(1);
  EXPECT_EQ(Law(sampler, row, history), before);
}

// The identity that everything rests on: Select is the best score in the law's support.
TEST(SamplerTest, SelectIsTheArgmaxOverTheLawsSupport) {
  std::mt19937_64 random(7);
  for (int64_t round = 0; round < 6000; ++round) {
    const size_t size = round % 50 == 0 ? 5000 : 1 + random() % 50;
    const SamplingOptions options = RandomOptions(random, size);
    const TokenHistory history = RandomHistory(random, size);
    std::vector<float> row =
        random() % 4 == 0 ? TiedRow(size, random()) : BellRow(size, random(), 3);
    if (size > 2 && random() % 5 == 0) row[random() % (size - 1)] = -kInfinity;
    const uint64_t seed = random();
    const uint64_t stream = random() % 4;
    Sampler sampler = MakeSampler(options, seed, size);
    const Distribution law = Law(sampler, row, history);

    const std::vector<float> adjusted = Adjusted(row, options, history);
    const double largest = *std::max_element(adjusted.begin(), adjusted.end());
    const RowNoise noise(seed, stream, round);
    TokenId best = -1;
    double best_score = 0;
    double total = 0;
    for (size_t i = 0; i < size; ++i) {
      total += law[i];
      if (law[i] == 0) continue;
      double score = static_cast<double>(adjusted[i]);
      if (options.temperature > 0) {
        score = (score - largest) * (1.0 / static_cast<double>(options.temperature)) +
                noise.Gumbel(static_cast<TokenId>(i));
      }
      if (best < 0 || score > best_score) {
        best = static_cast<TokenId>(i);
        best_score = score;
      }
    }
    ASSERT_NEAR(total, 1, 1e-12);
    ASSERT_EQ(Select(sampler, row, history, stream, round), best) << "round " << round;
  }
}

std::vector<int64_t> Draw(const SamplingOptions& options, const std::vector<float>& row,
                          const TokenHistory& history, int64_t draws) {
  std::vector<int64_t> counts(row.size());
  Sampler sampler = MakeSampler(options, 2025, row.size());
  for (int64_t i = 0; i < draws; ++i) {
    ++counts[Select(sampler, row, history, static_cast<uint64_t>(i % 3), i / 3)];
  }
  return counts;
}

TEST(SamplerTest, DrawsFollowTheLaw) {
  std::mt19937_64 random(3);
  const TokenHistory history = RandomHistory(random, 60);
  for (int variant = 0; variant < 7; ++variant) {
    SamplingOptions options;
    options.temperature = 0.8f;
    if (variant == 1) options.top_k = 12;
    if (variant == 2) options.top_p = 0.8f;
    if (variant == 3) options.min_p = 0.1f;
    if (variant == 4) options.top_k = 20, options.top_p = 0.9f, options.min_p = 0.02f;
    if (variant == 5) options.repetition_penalty = 1.4f, options.frequency_penalty = 0.3f;
    if (variant == 6) options.temperature = 2, options.logit_bias = {{5, 1.5f}, {6, -3.0f}};
    const std::vector<float> row = BellRow(60, 17 + static_cast<uint64_t>(variant), 1.5);
    Sampler sampler = MakeSampler(options, 0, row.size());
    const Distribution law = Law(sampler, row, history);
    const std::vector<int64_t> counts = Draw(options, row, history, 60000);
    for (size_t i = 0; i < law.size(); ++i) {
      if (law[i] == 0) {
        EXPECT_EQ(counts[i], 0) << i;
      }
    }
    EXPECT_LT(std::fabs(ChiSquareScore(counts, law)), 4) << "variant " << variant;

    SamplingOptions other = options;  // the test's power: a slightly different law is found out
    other.temperature *= 1.1f;
    Sampler wrong = MakeSampler(other, 0, row.size());
    EXPECT_GT(std::fabs(ChiSquareScore(counts, Law(wrong, row, history))), 4)
        << "variant " << variant;
  }
}

TEST(SamplerTest, DrawsOfALargeVocabularyFollowTheLaw) {
  SamplingOptions options;
  options.temperature = 0.7f;
  const std::vector<float> row = BellRow(3000, 8, 2.5);
  Sampler sampler = MakeSampler(options, 0, row.size());
  const Distribution law = Law(sampler, row);
  EXPECT_LT(std::fabs(ChiSquareScore(Draw(options, row, TokenHistory(), 60000), law)), 4);
}

TEST(SamplerTest, PositionsAndStreamsAreIndependentDraws) {
  SamplingOptions options;
  const std::vector<float> row = BellRow(8, 5, 1);
  Sampler sampler = MakeSampler(options, 77, row.size());
  const Distribution law = Law(sampler, row);
  std::vector<double> pair_law;
  for (const double first : law) {
    for (const double second : law) pair_law.push_back(first * second);
  }
  std::vector<int64_t> positions(64);
  std::vector<int64_t> streams(64);
  for (int64_t i = 0; i < 30000; ++i) {
    const TokenId here = Select(sampler, row, TokenHistory(), 0, 2 * i);
    ++positions[here * 8 + Select(sampler, row, TokenHistory(), 0, 2 * i + 1)];
    ++streams[here * 8 + Select(sampler, row, TokenHistory(), 1, 2 * i)];
  }
  EXPECT_LT(std::fabs(ChiSquareScore(positions, pair_law)), 4);
  EXPECT_LT(std::fabs(ChiSquareScore(streams, pair_law)), 4);
}

TEST(SamplerTest, TheChoiceIsAFunctionOfItsArguments) {
  SamplingOptions options;
  options.temperature = 1.5f;
  const std::vector<float> row = BellRow(500, 2, 2);
  Sampler first = MakeSampler(options, 1, row.size());
  Sampler moved = MakeSampler(options, 1, row.size());
  Sampler second = std::move(moved);
  Sampler other_seed = MakeSampler(options, 2, row.size());
  int differences = 0;
  for (int64_t position = 0; position < 100; ++position) {
    Select(second, BellRow(500, 9, 2), TokenHistory(), 3, position);  // leaves no trace
    const TokenId token = Select(first, row, TokenHistory(), 0, position);
    EXPECT_EQ(Select(second, row, TokenHistory(), 0, position), token);
    if (Select(other_seed, row, TokenHistory(), 0, position) != token) ++differences;
  }
  EXPECT_GT(differences, 80);
}

// Promise 1 across machines: the same tokens and the same bits of every probability from every
// compiler and instruction set; see docs/sampling.md.
TEST(SamplerTest, CommittedSelectionsAndLaws) {
  std::mt19937_64 random(99);
  BitHash selections;
  BitHash laws;
  for (int64_t round = 0; round < 400; ++round) {
    const size_t size = round % 20 == 0 ? 20000 : 3 + random() % 48;
    const SamplingOptions options = RandomOptions(random, size);
    const TokenHistory history = RandomHistory(random, size);
    const std::vector<float> row = BellRow(size, random(), 2.5);
    Sampler sampler = MakeSampler(options, random(), size);
    selections.Add(static_cast<uint64_t>(Select(sampler, row, history, random() % 3, round)));
    for (const double p : Law(sampler, row, history)) laws.Add(p);
  }
  EXPECT_EQ(selections.value(), 0xec75f9bbbe54f487u);
  EXPECT_EQ(laws.value(), 0x9301d5893d2e24ffu);

  SamplingOptions options;
  options.temperature = 0.8f;
  Sampler sampler = MakeSampler(options, 42, 151936);
  const std::vector<float> row = BellRow(151936, 6, 3);
  std::vector<TokenId> tokens;
  for (int64_t position = 100; position < 108; ++position) {
    tokens.push_back(Select(sampler, row, TokenHistory(), 0, position));
  }
  EXPECT_EQ(tokens,
            (std::vector<TokenId>{147998, 3471, 13990, 42679, 90687, 86749, 101810, 11417}));
}

}  // namespace
}  // namespace foretoken
