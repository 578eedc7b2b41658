#ifndef FORETOKEN_UNIT_SPECULATIVE_ROUND_FIXTURE_H_
#define FORETOKEN_UNIT_SPECULATIVE_ROUND_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "speculative/decode_round.h"
#include "unit/speculative/session_fixture.h"

namespace foretoken {

// Keeps what is committed, and ends the generation after so many tokens.
class RecordingSink : public CommitSink {
 public:
  bool Commit(const VerifiedToken& token, std::optional<DraftSourceKind> source) override {
    tokens.push_back(token.id);
    sources.push_back(source);
    return static_cast<int>(tokens.size()) != stop_after;
  }

  Tokens tokens;
  std::vector<std::optional<DraftSourceKind>> sources;
  int stop_after = -1;
};

// Proposes what it is told to, whatever it is asked.
class Told : public DraftModel {
 public:
  Told(DraftSourceKind kind, const Tokens& tokens) : kind_(kind), tokens_(tokens) {}
  DraftSourceKind kind() const override { return kind_; }
  Result<Draft> GenerateDraft(Session&, int32_t k) override {
    Draft draft;
    draft.source = kind_;
    draft.tokens = tokens_;
    draft.tokens.resize(std::min(tokens_.size(), static_cast<size_t>(k)));
    return draft;
  }

 private:
  const DraftSourceKind kind_;
  const Tokens tokens_;
};

// Of the first generation; each has its own.
constexpr uint64_t kFirstSeed = 11;

struct Generation {
  Tokens prompt;
  DecoderOptions options;
  AcceptanceModel acceptance;
  RecordingSink sink;
  std::unique_ptr<SpeculativeDecoder> decoder;
  RoundEntry entry;  // of the last round
};

// A target, a draft model of the same distributions unless told otherwise, and generations.
struct Table {
  explicit Table(FakeModelOptions target_options = {}, FakeModelOptions draft_options = {},
                 BackendOptions draft_backend = {.kv_cache_tokens = 512, .max_sequences = 8})
      : target([&] {
          target_options.max_batch_rows = target_options.max_logits_rows = 64;
          return target_options;
        }()),
        draft(draft_options, draft_backend) {}

  Generation& Add(const Tokens& prompt, int32_t k, const Tokens& text = {},
                  DecoderOptions options = {}) {
    Generation& g = generations.emplace_back();
    g.prompt = prompt;
    options.speculation.mode = SpeculationMode::kFixed;
    options.speculation.draft_k = options.speculation.max_draft_tokens = k;
    return Begin(g, options, text);
  }

  Generation& Begin(Generation& g, DecoderOptions options, const Tokens& text) {
    options.seed = kFirstSeed - 1 + generations.size();
    options.vocabulary_size = 16;
    g.options = options;
    std::vector<std::unique_ptr<DraftModel>> sources;
    if (!text.empty()) sources.push_back(std::make_unique<Told>(DraftSourceKind::kSuffix, text));
    sources.push_back(std::make_unique<DraftModelWrapper>("d", *draft.pool));
    g.decoder = std::make_unique<SpeculativeDecoder>(
        TargetModelWrapper("t", *target.pool, std::nullopt), std::move(sources), options);
    EXPECT_TRUE(g.decoder->Begin(g.prompt, 40).ok());
    return g;
  }

  // A round of all that have not ended.
  RoundReport Run(int32_t max_committed_rows = 1 << 20) {
    std::vector<RoundEntry> entries;
    std::vector<Generation*> running;
    for (Generation& g : generations) {
      if (g.entry.finished) continue;
      running.push_back(&g);
      entries.push_back({.decoder = g.decoder.get(),
                         .sink = &g.sink,
                         .acceptance = &g.acceptance,
                         .max_committed_rows = max_committed_rows});
    }
    const RoundReport report = DecodeRound(entries, {.budget = budget,
                                                     .workers = workers,
                                                     .max_draft_rows = max_draft_rows,
                                                     .max_catch_up_rows = max_catch_up_rows});
    for (size_t i = 0; i < running.size(); ++i) running[i]->entry = entries[i];
    return report;
  }

  // That a generation has said nothing but what the target says.
  void ExpectPlain(const Generation& g) const {
    Session session = NewSession(g.prompt, g.options.sampling, g.options.seed);
    EXPECT_EQ(g.sink.tokens, Continuation(target.options, std::move(session),
                                          static_cast<int32_t>(g.sink.tokens.size())));
  }

  FakeSetup target;
  FakeSetup draft;
  DraftBudget budget;
  WorkerPool workers{3};
  int32_t max_draft_rows = 1 << 20;
  int32_t max_catch_up_rows = 1 << 20;
  std::deque<Generation> generations;
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SPECULATIVE_ROUND_FIXTURE_H_
