// What drafting from seen text costs: a session's index (indexing a prompt, a round), a tenant's
// store (learning an answer, a proposal, saving and loading).

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "sampling/sampler.h"
#include "speculative/prediction_draft.h"
#include "speculative/session.h"
#include "speculative/suffix_index.h"
#include "speculative/suffix_proposal.h"
#include "speculative/tenant_suffix_store.h"

namespace foretoken {
namespace {

using Tokens = std::vector<TokenId>;

constexpr int32_t kMaxDraftTokens = 8;
constexpr size_t kPassageTokens = 4096;
constexpr int64_t kStoreBytes = int64_t{16} << 20;
constexpr size_t kAnswerTokens = 500;
const SuffixStoreIdentity kIdentity{"bench", 1, 1 << 20};

enum TextKind : int64_t {
  kProse,  // tokens of a skewed law: short strings repeat, long ones hardly
  kCode,   // prose with passages copied from earlier, half of all tokens
  kTwice,  // a passage again and again: everything matches far back
  kSame,   // one token: every position matches every other
};

Tokens MakeText(int64_t kind, size_t size) {
  std::mt19937 random(1);
  std::exponential_distribution<double> skewed(0.004);
  Tokens text;
  while (text.size() < size) {
    if (kind == kSame) {
      text.push_back(7);
    } else if (kind == kTwice && text.size() >= kPassageTokens) {
      text.push_back(text[text.size() - kPassageTokens]);
    } else if (kind == kCode && text.size() > 100 && random() % 40 == 0) {
      size_t from = random() % (text.size() - 40);
      for (int i = 0; i < 40; ++i) text.push_back(text[from++]);
    } else {
      text.push_back(static_cast<TokenId>(skewed(random)));
    }
  }
  text.resize(size);
  return text;
}

SuffixIndex MakeIndex(const Tokens& text, size_t size) {
  SuffixIndex index;
  index.AddText(std::span(text).first(size));
  for (uint32_t offset = 1; offset < size; ++offset) index.Insert({0, offset});
  return index;
}

// A prompt of this many tokens, indexed.
void IndexPrompt(benchmark::State& state) {
  const auto size = static_cast<size_t>(state.range(1));
  const Tokens text = MakeText(state.range(0), size);
  for (auto _ : state) {
    const SuffixIndex index = MakeIndex(text, size);
    benchmark::DoNotOptimize(index.position_count());
  }
  state.counters["bytes"] = static_cast<double>(MakeIndex(text, size).memory_bytes());
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(size));
}

// A round of a session of 8,192 tokens and more: one token committed, one proposal.
void SessionRound(benchmark::State& state) {
  constexpr size_t kSessionTokens = 8192;
  constexpr size_t kTimedTokens = 1024;
  const Tokens text = MakeText(state.range(0), kSessionTokens + kTimedTokens);
  SuffixIndex index = MakeIndex(text, kSessionTokens);
  size_t next = kSessionTokens;
  int64_t proposed_tokens = 0;
  for (auto _ : state) {
    if (next == text.size()) {
      state.PauseTiming();
      index = MakeIndex(text, kSessionTokens);
      next = kSessionTokens;
      state.ResumeTiming();
    }
    index.Append(0, {{text[next]}});
    index.Insert({0, static_cast<uint32_t>(next++)});
    const SuffixProposal proposal =
        ProposeContinuation(index, std::span(text).first(next), kMaxDraftTokens);
    benchmark::DoNotOptimize(proposal.tokens.data());
    proposed_tokens += static_cast<int64_t>(proposal.tokens.size());
  }
  state.counters["proposed"] =
      benchmark::Counter(static_cast<double>(proposed_tokens), benchmark::Counter::kAvgIterations);
}

// A text to cut answers from, and a store that has learned them all and is full.
struct FullStore {
  explicit FullStore(int64_t kind)
      : text(MakeText(kind, kTextTokens)), store(kIdentity, kStoreBytes) {
    for (size_t i = 0; i + kAnswerTokens <= text.size(); i += kAnswerTokens) {
      store.Learn(std::span(text).subspan(i, kAnswerTokens));
    }
  }
  std::span<const TokenId> Answer(size_t number) const {
    return std::span(text).subspan(number * kAnswerTokens % (kTextTokens - kAnswerTokens),
                                   kAnswerTokens);
  }

  static constexpr size_t kTextTokens = 2'000'000;
  Tokens text;
  TenantSuffixStore store;
};

void SetCounters(benchmark::State& state, const TenantSuffixStore& store) {
  state.counters["bytes"] = static_cast<double>(store.memory_bytes());
  state.counters["tokens"] = static_cast<double>(store.token_count());
}

void StoreLearn(benchmark::State& state) {
  FullStore full(state.range(0));
  size_t number = 0;
  for (auto _ : state) full.store.Learn(full.Answer(number++));
  SetCounters(state, full.store);
}

void StorePropose(benchmark::State& state) {
  FullStore full(state.range(0));
  std::mt19937 random(2);
  int64_t proposed_tokens = 0;
  for (auto _ : state) {
    const size_t end = 30 + random() % (full.text.size() - 30);
    const SuffixProposal proposal =
        full.store.Propose(std::span(full.text).first(end), kMaxDraftTokens);
    benchmark::DoNotOptimize(proposal.tokens.data());
    proposed_tokens += static_cast<int64_t>(proposal.tokens.size());
  }
  SetCounters(state, full.store);
  state.counters["proposed"] =
      benchmark::Counter(static_cast<double>(proposed_tokens), benchmark::Counter::kAvgIterations);
}

void StoreSaveAndLoad(benchmark::State& state) {
  FullStore full(state.range(0));
  const std::string path =
      (std::filesystem::temp_directory_path() / "foretoken_suffix_index_bench.store").string();
  TenantSuffixStore loaded(kIdentity, kStoreBytes);
  for (auto _ : state) {
    if (!full.store.Save(path).ok() || !loaded.Load(path).ok()) state.SkipWithError("failed");
  }
  std::remove(path.c_str());
  SetCounters(state, loaded);
}

enum OutputKind : int64_t {
  kAsPredicted,
  kElsewhere,  // as the prediction for half of it, then unlike it
};

Session NewSession() {
  return Session({}, Sampler::Create({}, 1, 1 << 20).value(), 1);
}

// A round of an answer with a prediction of 100,000 tokens: one token committed, one proposal.
void PredictionRound(benchmark::State& state) {
  constexpr size_t kPredictionTokens = 100'000;
  const Tokens prediction = MakeText(kCode, kPredictionTokens);
  std::mt19937 random(3);
  Tokens output(prediction.begin(), prediction.begin() + kPredictionTokens / 2);
  while (output.size() < kPredictionTokens) {
    const size_t next = state.range(0) == kAsPredicted ? output.size() : random() % output.size();
    output.push_back(prediction[next]);
  }
  PredictionDraft source(prediction);
  Session session = NewSession();
  int64_t proposed_tokens = 0;
  size_t next = 0;
  const auto restart = [&] {
    source = PredictionDraft(prediction);
    session = NewSession();
    next = kPredictionTokens / 2 - 1;
    for (size_t i = 0; i < next; ++i) session.Commit(output[i]);
    benchmark::DoNotOptimize(source.GenerateDraft(session, kMaxDraftTokens));
  };
  restart();
  for (auto _ : state) {
    if (next == output.size()) {
      state.PauseTiming();
      restart();
      state.ResumeTiming();
    }
    session.Commit(output[next++]);
    const auto draft = source.GenerateDraft(session, kMaxDraftTokens);
    proposed_tokens += static_cast<int64_t>(draft->tokens.size());
  }
  state.counters["proposed"] =
      benchmark::Counter(static_cast<double>(proposed_tokens), benchmark::Counter::kAvgIterations);
}

// The first token that is not as predicted.
void PredictionDeparture(benchmark::State& state) {
  const Tokens prediction = MakeText(kCode, 100'000);
  for (auto _ : state) {
    state.PauseTiming();
    PredictionDraft source(prediction);
    Session session = NewSession();
    session.Commit(prediction[7]);
    session.Commit(prediction[8]);
    state.ResumeTiming();
    benchmark::DoNotOptimize(source.GenerateDraft(session, kMaxDraftTokens));
  }
}

BENCHMARK(IndexPrompt)
    ->ArgsProduct({{kProse, kCode, kTwice, kSame}, {4096, 8192, 100'000}})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(SessionRound)->DenseRange(kProse, kSame)->Unit(benchmark::kMicrosecond);
BENCHMARK(StoreLearn)->DenseRange(kProse, kSame)->Unit(benchmark::kMicrosecond);
BENCHMARK(StorePropose)->DenseRange(kProse, kSame)->Unit(benchmark::kMicrosecond);
BENCHMARK(StoreSaveAndLoad)->Arg(kCode)->Unit(benchmark::kMillisecond);
BENCHMARK(PredictionRound)->Arg(kAsPredicted)->Arg(kElsewhere)->Unit(benchmark::kMicrosecond);
BENCHMARK(PredictionDeparture)->Unit(benchmark::kMillisecond);

// The copy must be proposed as it was, by a session and by a store.
bool ProposesTheCopy() {
  const Tokens text = MakeText(kTwice, kPassageTokens + 100);
  const Tokens expected(text.begin() + 100, text.begin() + 100 + kMaxDraftTokens);
  const SuffixIndex index = MakeIndex(text, text.size());
  TenantSuffixStore store(kIdentity, kStoreBytes);
  store.Learn(std::span(text).first(kPassageTokens));
  return ProposeContinuation(index, text, kMaxDraftTokens).tokens == expected &&
         store.Propose(text, kMaxDraftTokens).tokens == expected;
}

}  // namespace
}  // namespace foretoken

int main(int argc, char** argv) {
  if (!foretoken::ProposesTheCopy()) {
    std::fprintf(stderr, "a repeated passage is not proposed\n");
    return 1;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
