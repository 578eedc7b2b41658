// The first promise on a deterministic back end: for random models, prompts, options, sources and
// lengths, speculative output equals plain output, and plain output equals a reference that
// recomputes everything from scratch.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "foretoken/runtime_manager.h"
#include "sampling/logprobs.h"
#include "sampling/sampler.h"
#include "testing/fake_model.h"

namespace foretoken {
namespace {

struct Case {
  FakeModelOptions target;
  FakeModelOptions draft;
  GenerateRequest request;
  SpeculativeConfig speculation;
};

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int32_t Int(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(engine_);
  }
  float Real(float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(engine_);
  }
  bool Chance(double p) { return std::bernoulli_distribution(p)(engine_); }

 private:
  std::mt19937_64 engine_;
};

SamplingOptions RandomSampling(Random& random, int32_t vocabulary_size) {
  SamplingOptions sampling;
  sampling.seed = static_cast<uint64_t>(random.Int(0, 1 << 30));
  sampling.temperature = random.Chance(0.25) ? 0.0f : random.Real(0.1f, 2.0f);
  if (random.Chance(0.3)) sampling.top_k = random.Int(1, vocabulary_size + 2);
  if (random.Chance(0.3)) sampling.top_p = random.Real(0.05f, 1.0f);
  if (random.Chance(0.2)) sampling.min_p = random.Real(0.0f, 1.0f);
  if (random.Chance(0.3)) sampling.repetition_penalty = random.Real(0.5f, 2.0f);
  if (random.Chance(0.3)) sampling.frequency_penalty = random.Real(-2.0f, 2.0f);
  if (random.Chance(0.3)) sampling.presence_penalty = random.Real(-2.0f, 2.0f);
  while (random.Chance(0.2)) {
    sampling.logit_bias.emplace_back(random.Int(0, vocabulary_size - 1), random.Real(-9.0f, 9.0f));
  }
  return sampling;
}

Case RandomCase(uint64_t seed) {
  Random random(seed);
  Case c;
  c.target.vocabulary_size = random.Int(3, 50);
  c.target.seed = seed * 2 + 1;
  c.target.context_tokens = random.Int(4, 90);
  c.target.max_batch_rows = random.Int(1, 20);
  c.target.max_logits_rows = random.Int(1, c.target.max_batch_rows);
  c.target.can_truncate = !random.Chance(0.05);
  c.target.context_order = random.Chance(0.5) ? random.Int(1, 3) : 0;
  c.target.end_of_text_logit = random.Real(-4.0f, 2.0f);
  c.draft = c.target;
  c.draft.seed = seed * 2 + 2;
  c.draft.imitated_seed = c.target.seed;
  c.draft.quality = random.Chance(0.2) ? 1.0 : random.Real(0.0f, 1.0f);
  c.draft.context_tokens = random.Int(2, 90);
  c.draft.max_batch_rows = random.Int(1, 20);

  std::vector<TokenId> prompt;
  const int32_t prompt_tokens = random.Int(1, c.target.context_tokens - 1);
  for (int32_t i = 0; i < prompt_tokens; ++i) {
    prompt.push_back(random.Int(0, c.target.vocabulary_size - 1));
  }
  c.request.prompt = prompt;
  GenerateOptions& options = c.request.options;
  options.max_tokens = random.Int(1, 60);
  options.sampling = RandomSampling(random, c.target.vocabulary_size);
  if (random.Chance(0.5)) options.logprobs = random.Int(0, 5);
  options.ignore_end_of_text = random.Chance(0.2);
  static const std::vector<std::string> kStops = {"a",    "ab",         "\u00e9", "ba", "cd",
                                                  "abab", "\U0001F600", "\uFFFD", "dc"};
  while (random.Chance(0.3) && options.stop.size() < 4) {
    options.stop.push_back(kStops[static_cast<size_t>(random.Int(0, 8))]);
  }

  c.speculation.mode = random.Chance(0.3) ? SpeculationMode::kAuto : SpeculationMode::kFixed;
  c.speculation.draft_k = random.Int(0, 12);
  c.speculation.max_draft_tokens = random.Int(0, 12);
  c.speculation.sources.clear();
  if (random.Chance(0.6)) c.speculation.sources.push_back(DraftSourceKind::kSuffix);
  if (random.Chance(0.7)) c.speculation.sources.push_back(DraftSourceKind::kDraftModel);
  return c;
}

// What the generation must be, from first principles: every row from a fresh cache, stops found
// by searching the whole text.
struct Reference {
  std::vector<TokenId> tokens;
  FinishReason reason = FinishReason::kLength;
};

Reference Recompute(const Case& c) {
  Reference reference;
  const auto model = NewFakeModel([&] {
    FakeModelOptions options = c.target;
    options.max_batch_rows = 200;
    options.context_tokens = 200;
    return options;
  }());
  const auto& prompt = std::get<std::vector<TokenId>>(c.request.prompt);
  const GenerateOptions& options = c.request.options;
  auto sampler =
      Sampler::Create(options.sampling, *options.sampling.seed, c.target.vocabulary_size);
  std::vector<TokenId> all = prompt;
  std::string bytes;
  while (static_cast<int32_t>(reference.tokens.size()) < options.max_tokens &&
         static_cast<int32_t>(all.size()) < c.target.context_tokens) {
    auto backend = model->NewBackend({.max_batch_rows = 200});
    std::vector<BatchRow> rows;
    for (size_t i = 0; i < all.size(); ++i) {
      rows.push_back({.token = all[i],
                      .position = static_cast<int32_t>(i),
                      .sequences = {SequenceId{0}},
                      .wants_logits = i + 1 == all.size()});
    }
    auto logits = (*backend)->Decode(rows);
    TokenHistory history(prompt);
    for (const TokenId token : reference.tokens) history.AppendOutput(token);
    auto token = sampler->Select((*logits)[0], history, 0, static_cast<int64_t>(all.size()));
    all.push_back(*token);
    reference.tokens.push_back(*token);
    if (!options.ignore_end_of_text && model->vocabulary().IsEndOfGeneration(*token)) {
      reference.reason = FinishReason::kStop;
      break;
    }
    bytes += model->vocabulary().Piece(*token);
    // U+FFFD stands for invalid bytes: left to the comparison of plain and speculative output.
    const bool stopped = std::any_of(options.stop.begin(), options.stop.end(), [&](auto& stop) {
      return stop != "\uFFFD" && bytes.find(stop) != std::string::npos;
    });
    if (stopped) {
      reference.reason = FinishReason::kStop;
      break;
    }
  }
  return reference;
}

struct Output {
  GenerationResult result;
  std::string visible;  // the text as the tokens carried it
};

Output Generate(const Case& c, const SpeculativeConfig& speculation,
                std::shared_ptr<FakeControl> target_control,
                std::shared_ptr<FakeControl> draft_control) {
  const auto target = NewFakeModel(c.target, target_control);
  const auto draft = NewFakeModel(c.draft, draft_control);
  auto manager = RuntimeManager::Create(
      {}, std::make_unique<FakeLoader>(std::map<std::string, FakeLoader::Factory>{
              {"target", [&] { return target; }}, {"draft", [&] { return draft; }}}));
  TenantConfig tenant;
  tenant.name = "tenant";
  tenant.target = {.id = "target", .path = "target", .context_tokens = c.target.context_tokens};
  tenant.draft_model =
      ModelConfig{.id = "draft", .path = "draft", .context_tokens = c.draft.context_tokens};
  tenant.speculation = speculation;
  EXPECT_TRUE((*manager)->AddTenant(tenant).ok());
  auto stream = (*manager)->GenerateStream("tenant", c.request);
  EXPECT_TRUE(stream.ok()) << stream.status().ToString();
  Output run;
  if (!stream.ok()) return run;
  run.result = Collect(**stream);
  EXPECT_TRUE(run.result.finish.status.ok()) << run.result.finish.status.ToString();
  for (const GeneratedToken& token : run.result.tokens) run.visible += token.text;
  return run;
}

class LosslessTest : public testing::TestWithParam<int> {};

TEST_P(LosslessTest, SpeculationChangesNothingButTheRounds) {
  constexpr int kCasesPerShard = 2000;
  int64_t accepted = 0;
  int64_t rejected = 0;
  for (int i = 0; i < kCasesPerShard; ++i) {
    const auto seed = static_cast<uint64_t>(GetParam() * kCasesPerShard + i);
    SCOPED_TRACE(fmt::format("case {}", seed));
    const Case c = RandomCase(seed);
    auto target_control = std::make_shared<FakeControl>();
    auto draft_control = std::make_shared<FakeControl>();
    const Output plain = Generate(c, SpeculativeConfig{.mode = SpeculationMode::kOff},
                                  target_control, draft_control);
    const Output speculative = Generate(c, c.speculation, target_control, draft_control);

    ASSERT_EQ(plain.result.text, speculative.result.text);
    ASSERT_EQ(plain.visible, speculative.visible);
    ASSERT_EQ(plain.result.finish.reason, speculative.result.finish.reason);
    ASSERT_EQ(plain.result.tokens.size(), speculative.result.tokens.size());
    for (size_t t = 0; t < plain.result.tokens.size(); ++t) {
      const GeneratedToken& a = plain.result.tokens[t];
      const GeneratedToken& b = speculative.result.tokens[t];
      ASSERT_EQ(a.id, b.id) << "token " << t;
      ASSERT_EQ(a.text, b.text) << "token " << t;
      ASSERT_EQ(a.logprob, b.logprob) << "token " << t;
      ASSERT_EQ(a.top_logprobs.size(), b.top_logprobs.size());
      for (size_t n = 0; n < a.top_logprobs.size(); ++n) {
        ASSERT_EQ(a.top_logprobs[n].token, b.top_logprobs[n].token);
        ASSERT_EQ(a.top_logprobs[n].logprob, b.top_logprobs[n].logprob);
      }
    }
    const auto& options = c.request.options;
    if (std::find(options.stop.begin(), options.stop.end(), "\uFFFD") == options.stop.end()) {
      const Reference reference = Recompute(c);
      std::vector<TokenId> ids;
      for (const GeneratedToken& token : plain.result.tokens) ids.push_back(token.id);
      ASSERT_EQ(ids, reference.tokens);
      ASSERT_EQ(plain.result.finish.reason, reference.reason);
    }

    const SpeculationStats& stats = speculative.result.finish.speculation;
    EXPECT_EQ(stats.drafted, stats.accepted + stats.rejected);
    EXPECT_EQ(plain.result.finish.speculation.drafted, 0);
    EXPECT_EQ(plain.result.finish.speculation.rounds,
              static_cast<int64_t>(plain.result.tokens.size()));
    EXPECT_EQ(target_control->cells_in_use, 0);
    EXPECT_EQ(draft_control->cells_in_use, 0);
    EXPECT_EQ(target_control->live_backends, 0);
    accepted += stats.accepted;
    rejected += stats.rejected;
  }
  // The cases exercise both outcomes.
  EXPECT_GT(accepted, 1500);
  EXPECT_GT(rejected, 1500);
}

INSTANTIATE_TEST_SUITE_P(Shards, LosslessTest, testing::Range(0, 8));

}  // namespace
}  // namespace foretoken
