// What a session's suffix index costs a round: one Append per committed token, one Propose.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "speculative/suffix_index.h"

namespace foretoken {
namespace {

using Tokens = std::vector<TokenId>;

constexpr size_t kSessionTokens = 8192;
constexpr size_t kTimedTokens = 1024;

enum TextKind : int64_t {
  kProse,  // tokens of a skewed law: short strings repeat, long ones hardly
  kCode,   // prose with passages copied from earlier, half of all tokens
  kTwice,  // a passage of half the session, then its copy: the most nodes
};

Tokens MakeText(int64_t kind, size_t size) {
  std::mt19937 random(1);
  std::exponential_distribution<double> skewed(0.004);
  Tokens text;
  while (text.size() < size) {
    if (kind == kTwice && text.size() >= kSessionTokens / 2) {
      text.push_back(text[text.size() - kSessionTokens / 2]);
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
  Result<SuffixIndex> index = SuffixIndex::Create();
  index->Append({text.data(), size});
  return *std::move(index);
}

void SetCounters(benchmark::State& state, const SuffixIndex& index) {
  state.counters["nodes"] = static_cast<double>(index.trie().node_count());
  state.counters["bytes"] = static_cast<double>(index.trie().memory_bytes());
}

void AppendAndPropose(benchmark::State& state) {
  const Tokens text = MakeText(state.range(0), kSessionTokens + kTimedTokens);
  const SuffixIndex session = MakeIndex(text, kSessionTokens);
  SuffixIndex index = session;
  size_t next = kSessionTokens;
  int64_t proposed_tokens = 0;
  for (auto _ : state) {
    if (next == text.size()) {
      state.PauseTiming();
      index = session;
      next = kSessionTokens;
      state.ResumeTiming();
    }
    index.Append(text[next++]);
    const SuffixProposal proposal = index.Propose(8);
    benchmark::DoNotOptimize(proposal.tokens.data());
    proposed_tokens += static_cast<int64_t>(proposal.tokens.size());
  }
  SetCounters(state, index);
  state.counters["proposed"] =
      benchmark::Counter(static_cast<double>(proposed_tokens), benchmark::Counter::kAvgIterations);
}

void AppendSession(benchmark::State& state) {
  const Tokens text = MakeText(state.range(0), kSessionTokens);
  for (auto _ : state) {
    const SuffixIndex index = MakeIndex(text, text.size());
    benchmark::DoNotOptimize(index.trie().node_count());
  }
  SetCounters(state, MakeIndex(text, text.size()));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

BENCHMARK(AppendAndPropose)->Arg(kProse)->Arg(kCode)->Arg(kTwice);
BENCHMARK(AppendSession)->Arg(kProse)->Arg(kCode)->Arg(kTwice)->Unit(benchmark::kMillisecond);

// The copy must be proposed as it was.
bool ProposesTheCopy() {
  const Tokens text = MakeText(kTwice, kSessionTokens);
  const size_t size = kSessionTokens / 2 + 100;
  const Tokens expected(text.begin() + 100, text.begin() + 108);
  return MakeIndex(text, size).Propose(8).tokens == expected;
}

}  // namespace
}  // namespace foretoken

int main(int argc, char** argv) {
  if (!foretoken::ProposesTheCopy()) {
    std::fprintf(stderr, "the index does not propose a repeated passage\n");
    return 1;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
