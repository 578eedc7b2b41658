#include "speculative/decode_round.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "unit/speculative/round_fixture.h"

namespace foretoken {
namespace {

using enum DraftSourceKind;

TokenId Other(TokenId token) {
  return token == 1 ? 2 : 1;
}

TEST(DecodeRoundTest, PromptsAreRunInChunksAndDraftNothing) {
  Table table;
  Generation& longer = table.Add({1, 2, 3, 4, 5, 6, 7}, 3);
  Generation& shorter = table.Add({8, 9}, 3);
  table.Run(3);
  EXPECT_EQ(longer.entry.committed_rows, 3);
  EXPECT_EQ(longer.entry.committed, 0);
  EXPECT_FALSE(longer.entry.finished);
  EXPECT_EQ(longer.decoder->session().rounds, 0u);
  EXPECT_EQ(shorter.entry.committed_rows, 2);
  EXPECT_EQ(shorter.entry.committed, 1);
  EXPECT_EQ(shorter.entry.drafted, 0);
  EXPECT_EQ(shorter.decoder->session().rounds, 1u);
  EXPECT_EQ(table.draft.control->rows, 0);
  // The one decodes with a draft while the other is not through.
  const RoundReport report = table.Run(3);
  EXPECT_EQ(report.target.forwards, 1);
  EXPECT_EQ(report.target.rows, 3 + 4);
  EXPECT_EQ(longer.entry.committed, 0);
  EXPECT_EQ(shorter.entry.committed_rows, 1);
  EXPECT_EQ(shorter.entry.committed, 4);
  table.Run(3);
  EXPECT_EQ(longer.entry.committed_rows, 1);  // the last of the prompt
  EXPECT_EQ(longer.entry.drafted, 0);
  EXPECT_EQ(longer.entry.committed, 1);
  for (const Generation& g : table.generations) table.ExpectPlain(g);
}

TEST(DecodeRoundTest, FixedLengthsAreGrantedInOneForwardADepthAndOneOfTheTarget) {
  Table table;
  for (const int32_t k : {0, 3, 1, 4}) table.Add({k + 1, 2, 3}, k);
  table.Run();
  table.target.control->decodes = 0;
  const RoundReport report = table.Run();
  EXPECT_EQ(report.target.forwards, 1);
  EXPECT_EQ(table.target.control->decodes, 1);
  EXPECT_EQ(report.target.rows, 4 + 8);
  // The prompts and the first tokens, then those that want a second, third and fourth.
  EXPECT_EQ(report.draft_forwards, 4);
  EXPECT_EQ(table.draft.control->decodes, 4);
  EXPECT_EQ(report.draft_rows, 3 * 4 + 2 + 2 + 1);
  for (const Generation& g : table.generations) {
    const int32_t k = g.options.speculation.draft_k;
    EXPECT_EQ(g.entry.drafted, k);
    EXPECT_EQ(g.entry.counted, k);
    EXPECT_EQ(g.entry.accepted, k);
    EXPECT_EQ(g.entry.committed, k + 1);
    EXPECT_EQ(g.entry.bonus, k > 0);
    EXPECT_EQ(g.entry.source, k > 0 ? std::optional(kDraftModel) : std::nullopt);
    table.ExpectPlain(g);
  }
  EXPECT_EQ(table.budget.metrics().drafted_tokens, 8);
  EXPECT_EQ(table.budget.metrics().accepted_tokens, 8);
}

// Right tokens, then wrong ones: the entry says what became of them, as do the counts.
TEST(DecodeRoundTest, AnEntrySaysWhatBecameOfItsDraft) {
  for (int32_t right = 0; right <= 3; ++right) {
    for (int32_t stop = 1; stop <= 5; ++stop) {
      SCOPED_TRACE(std::to_string(right) + " right, stop after " + std::to_string(stop));
      Table table;
      Tokens text = Continuation(table.target.options, NewSession({1, 2}, {}, kFirstSeed), 5);
      text.erase(text.begin());  // of the prefill
      for (int32_t i = right; i < 4; ++i) {
        text[static_cast<size_t>(i)] = Other(text[static_cast<size_t>(i)]);
      }
      Generation& g = table.Add({1, 2}, 3, text);
      table.Run();
      g.sink.stop_after = stop + 1;
      table.Run();
      const int32_t committed = std::min(stop, right + 1);
      EXPECT_EQ(g.entry.drafted, 3);
      EXPECT_EQ(g.entry.accepted, std::min(stop, right));
      // Behind a stop nothing counts.
      EXPECT_EQ(g.entry.counted, stop <= right ? stop : 3);
      EXPECT_EQ(g.entry.committed, committed);
      EXPECT_EQ(g.entry.committed_rows, 1);
      EXPECT_EQ(g.entry.bonus, right == 3 && stop > 3);
      EXPECT_EQ(g.entry.finished, stop <= right + 1);
      EXPECT_EQ(g.entry.source, kSuffix);
      const SpeculationStats& stats = g.decoder->stats();
      EXPECT_EQ(stats.drafted, g.entry.counted);
      EXPECT_EQ(stats.accepted, g.entry.accepted);
      // The budget learns of the same.
      EXPECT_EQ(table.budget.metrics().drafted_tokens, g.entry.counted);
      EXPECT_EQ(table.budget.metrics().accepted_tokens, g.entry.accepted);
    }
  }
}

TEST(DecodeRoundTest, InFixedModeTheFirstSourceWithSomethingToSayServes) {
  using Sources = std::vector<DraftSourceKind>;
  for (const Sources& sources : {Sources{kSuffix, kDraftModel}, Sources{kDraftModel, kSuffix},
                                 Sources{kSuffix}, Sources{}}) {
    for (const bool has_text : {true, false}) {
      Table table;
      DecoderOptions options;
      options.speculation.sources = sources;
      Generation& g = table.Add({1, 2}, 2, has_text ? Tokens{3, 4} : Tokens{}, options);
      table.Run();
      table.Run();
      std::optional<DraftSourceKind> expected;
      for (const DraftSourceKind kind : sources) {
        if (!expected && (kind == kDraftModel || has_text)) expected = kind;
      }
      EXPECT_EQ(g.entry.source, expected);
      EXPECT_EQ(g.entry.drafted, expected ? 2 : 0);
      EXPECT_EQ(table.draft.control->rows > 0, expected == kDraftModel);
      table.ExpectPlain(g);
    }
  }
}

TEST(DecodeRoundTest, ARoundWithoutADraftSaysWhy) {
  Table table({}, {.context_tokens = 16}, {.kv_cache_tokens = 32, .max_sequences = 8});
  DecoderOptions no_model;
  no_model.speculation.sources = {kSuffix};
  const Generation& zero = table.Add({1, 2}, 0);
  const Generation& silent = table.Add({1, 2}, 2, {}, no_model);
  const Generation& too_long = table.Add(Tokens(20, 1), 2);
  const Generation& failing = table.Add({7, 7}, 2);
  const Generation& drafts = table.Add({8, 8}, 2);
  const Generation& catches_up = table.Add(Tokens(9, 1), 2);
  Generation& off = table.generations.emplace_back();
  off.prompt = {1};
  DecoderOptions options;
  options.speculation.mode = SpeculationMode::kOff;
  table.Begin(off, options, {3});
  table.Run();
  table.max_catch_up_rows = 4;
  table.draft.control->before_decode = [](int64_t, std::span<const BatchRow> rows) {
    return std::ranges::any_of(rows, [](auto& row) { return row.position == 0 && row.token == 7; })
               ? InternalError("no luck")
               : OkStatus();
  };
  table.Run();
  EXPECT_EQ(drafts.entry.drafted, 2);
  EXPECT_GT(drafts.entry.expected_accepted, 0);
  EXPECT_EQ(off.entry.no_draft, NoDraftReason::kOff);
  EXPECT_EQ(zero.entry.no_draft, NoDraftReason::kLimit);
  EXPECT_EQ(silent.entry.no_draft, NoDraftReason::kNoProposal);
  EXPECT_EQ(too_long.entry.no_draft, NoDraftReason::kLimit);
  EXPECT_EQ(catches_up.entry.no_draft, NoDraftReason::kLimit);
  EXPECT_EQ(failing.entry.no_draft, NoDraftReason::kFailing);
  table.max_draft_rows = 0;
  table.Run();
  EXPECT_EQ(failing.entry.no_draft, NoDraftReason::kFailing);  // and is left alone
  EXPECT_EQ(drafts.entry.no_draft, NoDraftReason::kLimit);
  table.max_draft_rows = 100;
  table.target.control->before_decode = [](int64_t, std::span<const BatchRow> rows) {
    return rows.size() > SequencesOf(rows).size() ? InternalError("no guesses") : OkStatus();
  };
  table.Run();
  EXPECT_EQ(drafts.entry.drafted, 0);
  EXPECT_EQ(drafts.entry.no_draft, NoDraftReason::kFailing);
  table.target.control->before_decode = nullptr;
  table.Run();
  EXPECT_EQ(drafts.entry.drafted, 0);
  EXPECT_EQ(drafts.entry.no_draft, NoDraftReason::kFailing) << "and is not drafted for at once";
}

TEST(DecodeRoundTest, DraftedRowsAreLimitedOverAll) {
  for (int32_t limit = 0; limit <= 9; ++limit) {
    Table table;
    for (TokenId i = 1; i <= 3; ++i) table.Add({i, i}, 3, i == 2 ? Tokens{1, 1, 1} : Tokens{});
    table.Run();
    table.max_draft_rows = limit;
    const RoundReport report = table.Run();
    int32_t drafted = 0;
    for (const Generation& g : table.generations) drafted += g.entry.drafted;
    EXPECT_EQ(drafted, limit);
    EXPECT_EQ(report.target.rows, 3 + limit);
    for (const Generation& g : table.generations) table.ExpectPlain(g);
  }
}

TEST(DecodeRoundTest, DraftModelsCatchUpOverSeveralRoundsWithinTheLimit) {
  Table table({}, {.max_batch_rows = 64, .max_logits_rows = 64});
  const Tokens prompt(23, 3);
  table.Add(prompt, 2);
  table.Add(prompt, 2);
  table.Run();
  table.max_catch_up_rows = 10;
  // 22 tokens more than the two that are usual; one has committed one more in every round.
  std::vector<int32_t> draft_rows;
  std::vector<int32_t> first_drafted;
  for (int round = 0; round < 8; ++round) {
    draft_rows.push_back(table.Run().draft_rows);
    first_drafted.push_back(table.generations[0].entry.drafted);
  }
  EXPECT_EQ(first_drafted, (std::vector<int32_t>{0, 0, 2, 2, 2, 2, 2, 2}));
  // 10 and 10 of the first; its last 4, two and a proposal, with 6 of the second; and so on.
  EXPECT_EQ(draft_rows[0], 10);
  EXPECT_EQ(draft_rows[1], 10);
  EXPECT_EQ(draft_rows[2], 4 + 2 + 1 + 6);
  EXPECT_EQ(draft_rows[3], 2 + 1 + 10);
  EXPECT_EQ(table.generations[1].entry.drafted, 2);
  for (const Generation& g : table.generations) {
    table.ExpectPlain(g);
    EXPECT_TRUE(g.decoder->warnings().empty());
  }
}

TEST(DecodeRoundTest, AChunkToCatchUpOnIsNoLargerThanABatch) {
  Table table({}, {.max_batch_rows = 4, .max_logits_rows = 4});
  Generation& g = table.Add(Tokens(20, 3), 2);
  table.Run();
  table.max_catch_up_rows = 10;
  for (int round = 0; round < 8 && g.entry.drafted == 0; ++round) table.Run();
  EXPECT_EQ(g.entry.drafted, 2);
  EXPECT_TRUE(g.decoder->warnings().empty());
}

TEST(DecodeRoundTest, RejectedTokensLeaveTheDraftModelsCacheToo) {
  Table table({}, {.seed = 2});  // always wrong, nearly
  Generation& g = table.Add({1, 2, 3}, 4);
  for (int round = 0; round < 6; ++round) {
    table.Run();
    const auto tokens = static_cast<int32_t>(g.decoder->session().tokens.size());
    EXPECT_LT(table.draft.pool->used_cells(), tokens);
    EXPECT_EQ(table.target.pool->used_cells(), tokens - 1);
    const CachedSequence& cache = g.decoder->draft_model()->cache();
    EXPECT_TRUE(std::ranges::equal(
        cache.tokens(),
        std::span(g.decoder->session().tokens).first(static_cast<size_t>(cache.cached_tokens()))));
  }
  EXPECT_GT(g.decoder->stats().rejected, 0);
}

// Two sequences want a prompt of 5, the first token and what they propose but for the last.
TEST(DecodeRoundTest, WithoutCellsForAllSomeDraftLessOrNot) {
  for (int32_t cells = 4; cells <= 20; ++cells) {
    SCOPED_TRACE(std::to_string(cells) + " cells");
    Table table({}, {}, {.context_tokens = cells, .kv_cache_tokens = cells, .max_sequences = 8});
    table.Add({1, 2, 3, 4, 5}, 4);
    table.Add({1, 2, 3, 4, 5}, 4);
    table.Run();
    table.Run();
    // The context ends with the cells.
    const int32_t first = std::clamp(cells - 6 + 1, 0, 4);
    const int32_t left = cells - (first > 0 ? 6 + first - 1 : 0);
    const int32_t second = std::clamp(left - 6 + 1, 0, 4);
    EXPECT_EQ(table.generations[0].entry.drafted, first);
    EXPECT_EQ(table.generations[1].entry.drafted, second);
    for (const Generation& g : table.generations) {
      table.ExpectPlain(g);
      EXPECT_TRUE(g.decoder->warnings().empty());
    }
    // What cannot fit is not begun.
    EXPECT_EQ(table.draft.control->rows > 0, first > 0);
  }
}

TEST(DecodeRoundTest, WithoutASequenceForAllSomeDoNotDraft) {
  Table table({}, {}, {.kv_cache_tokens = 512, .max_sequences = 1});
  Generation& first = table.Add({1, 2}, 3);
  Generation& second = table.Add({3, 4}, 3);
  table.Run();
  for (int round = 0; round < 3; ++round) {
    table.Run();
    EXPECT_EQ(first.entry.drafted, 3);
    EXPECT_EQ(second.entry.drafted, 0);
    EXPECT_EQ(second.entry.committed, 1);
  }
  // None of them failed.
  EXPECT_TRUE(second.decoder->warnings().empty());
  EXPECT_NE(second.decoder->ReadyDraftModel(), nullptr);
}

TEST(DecodeRoundTest, ADraftModelWithAShorterContextServesAsFarAsItReaches) {
  Table table({}, {.context_tokens = 12});
  Generation& reaches = table.Add(Tokens(6, 1), 3);
  Generation& too_long = table.Add(Tokens(20, 2), 3, {4});
  DecoderOptions model_first;
  model_first.speculation.sources = {kDraftModel, kSuffix};
  Generation& model_is_first = table.Add(Tokens(20, 3), 3, {4}, model_first);
  table.max_catch_up_rows = 5;
  int32_t drafted = 0;
  for (int round = 0; round < 12; ++round) {
    table.Run();
    drafted += reaches.entry.drafted;
    if (round == 0) continue;
    // No use in catching up: the other source serves.
    EXPECT_EQ(too_long.entry.source, kSuffix);
    EXPECT_EQ(model_is_first.entry.source, kSuffix);
  }
  EXPECT_GT(drafted, 0);
  for (const Generation& g : table.generations) {
    table.ExpectPlain(g);
    EXPECT_TRUE(g.decoder->warnings().empty()) << g.decoder->warnings()[0];
    if (&g == &reaches) continue;
    EXPECT_EQ(g.decoder->draft_model()->cache().cached_tokens(), 0);
  }
}

TEST(DecodeRoundTest, ADraftModelThatFailsForOneLeavesItAloneForAWhile) {
  Table table;
  Generation& good = table.Add({1, 1}, 2);
  Generation& bad = table.Add({2, 2}, 2);
  table.Run();
  table.draft.control->before_decode = [&](int64_t, std::span<const BatchRow> rows) {
    const Sequence* sequence = bad.decoder->draft_model()->cache().sequence();
    return sequence != nullptr && SequencesOf(rows).contains(sequence->id())
               ? InternalError("no luck")
               : OkStatus();
  };
  std::vector<int32_t> forwards;
  for (int round = 1; round <= 10; ++round) {
    const RoundReport report = table.Run();
    forwards.push_back(report.draft_forwards);
    EXPECT_EQ(good.entry.drafted, 2);
    EXPECT_EQ(bad.entry.drafted, 0);
    EXPECT_EQ(bad.entry.committed, 1);
    EXPECT_TRUE(bad.entry.status.ok());
  }
  // Tried at the first round and after 8: three forwards more tell whose fault it is, and two
  // depths.
  EXPECT_EQ(forwards, (std::vector<int32_t>{4, 2, 2, 2, 2, 2, 2, 2, 4, 2}));
  EXPECT_TRUE(good.decoder->warnings().empty());
  ASSERT_EQ(bad.decoder->warnings().size(), 1u);
  EXPECT_NE(bad.decoder->warnings()[0].find("draft model d: no luck"), std::string::npos);
  for (const Generation& g : table.generations) table.ExpectPlain(g);
}

TEST(DecodeRoundTest, FailingToCatchUpCountsAsAFailureOfTheModel) {
  Table table;
  Generation& g = table.Add(Tokens(14, 1), 2);
  table.Run();
  table.max_catch_up_rows = 5;
  table.draft.control->before_decode = [](int64_t, std::span<const BatchRow>) {
    return InternalError("no luck");
  };
  table.Run();
  EXPECT_EQ(g.decoder->ReadyDraftModel(), nullptr);
  ASSERT_EQ(g.decoder->warnings().size(), 1u);
  EXPECT_NE(g.decoder->warnings()[0].find("draft model d: no luck"), std::string::npos);
  EXPECT_EQ(g.entry.committed, 1);
}

TEST(DecodeRoundTest, WhoFailsAtTheTargetEndsAlone) {
  Table table;
  Generation& dropped = table.Add({1, 1}, 2);
  Generation& bad = table.Add({2, 2}, 2);
  Generation& good = table.Add({3, 3}, 2);
  table.Run();
  const auto id = [](Generation& g) { return g.decoder->target().cache().sequence()->id(); };
  table.target.control->before_decode = [&](int64_t, std::span<const BatchRow> rows) {
    const auto of_dropped = std::count_if(rows.begin(), rows.end(), [&](const BatchRow& row) {
      return row.sequences[0] == id(dropped);
    });
    return of_dropped > 1 || SequencesOf(rows).contains(id(bad)) ? InternalError("broken")
                                                                 : OkStatus();
  };
  const int64_t learned = table.budget.metrics().steps;
  const RoundReport report = table.Run();
  EXPECT_GT(report.target.forwards, 1);
  EXPECT_EQ(table.budget.metrics().steps, learned);
  EXPECT_EQ(bad.entry.status, InternalError("model t: broken"));
  EXPECT_EQ(bad.entry.committed_rows, 0);
  EXPECT_EQ(bad.entry.committed, 0);
  EXPECT_FALSE(bad.entry.source);
  EXPECT_TRUE(dropped.entry.status.ok());
  EXPECT_EQ(dropped.entry.drafted, 0);
  EXPECT_EQ(dropped.entry.committed, 1);
  EXPECT_FALSE(dropped.entry.source);
  EXPECT_EQ(dropped.decoder->warnings().size(), 1u);
  EXPECT_EQ(good.entry.committed, 3);
  for (const Generation& g : table.generations) table.ExpectPlain(g);
  // A round that goes well is learned from.
  table.target.control->before_decode = nullptr;
  table.Run();
  EXPECT_EQ(table.budget.metrics().steps, learned + 1);
}

TEST(DecodeRoundTest, ACancelledDraftCostsNothingButTheDraft) {
  Table table;
  Generation& g = table.Add({1, 2}, 3);
  table.Run();
  table.draft.control->before_decode = [](int64_t, std::span<const BatchRow>) {
    return CancelledError("enough");
  };
  table.Run();
  EXPECT_EQ(g.entry.committed, 1);
  EXPECT_EQ(g.entry.drafted, 0);
  EXPECT_TRUE(g.decoder->warnings().empty());
  table.draft.control->before_decode = nullptr;
  table.Run();
  EXPECT_EQ(g.entry.drafted, 3);
  table.ExpectPlain(g);
}

// Whether forwards fail in between or not, everyone says the same.
TEST(DecodeRoundTest, ARoundThatFailsLeavesEverythingAsItWas) {
  for (const VerifyRule rule : {VerifyRule::kCoupled, VerifyRule::kMaxAcceptance}) {
    DecoderOptions options;
    options.speculation.rule = rule;
    std::vector<Tokens> said;
    for (const Status& failure :
         {OkStatus(), CancelledError("enough"), ResourceExhaustedError("no room")}) {
      SCOPED_TRACE(failure.ToString());
      Table table({}, {.seed = 9, .quality = 0.7, .imitated_seed = 1});
      Generation& first = table.Add({1, 2}, 3, {}, options);
      table.Add({3, 4, 5}, 2, {}, options);
      Generation& prompt = table.Add(Tokens(12, 1), 2, {}, options);
      for (int round = 0; round < 8; ++round) {
        if (!failure.ok() && round % 2 == 1) {
          table.target.control->before_decode = [&](int64_t, std::span<const BatchRow>) {
            return failure;
          };
          const SpeculationStats stats = first.decoder->stats();
          const uint64_t rounds = first.decoder->session().rounds;
          const int32_t missing = prompt.decoder->missing_tokens();
          table.Run(5);
          for (const Generation& g : table.generations) {
            EXPECT_EQ(g.entry.status.code(), failure.code());
            EXPECT_FALSE(g.entry.finished);
            EXPECT_EQ(g.entry.committed, 0);
            EXPECT_EQ(g.entry.committed_rows, 0);
            EXPECT_TRUE(g.decoder->warnings().empty());
          }
          EXPECT_EQ(first.decoder->session().rounds, rounds);
          EXPECT_EQ(first.decoder->stats().rounds, stats.rounds);
          EXPECT_EQ(first.decoder->stats().drafted, stats.drafted);
          EXPECT_EQ(prompt.decoder->missing_tokens(), missing);
          EXPECT_NE(first.decoder->ReadyDraftModel(), nullptr);
          table.target.control->before_decode = nullptr;
        }
        table.Run(5);
      }
      for (const Generation& g : table.generations) said.push_back(g.sink.tokens);
    }
    for (size_t i = 3; i < said.size(); ++i) EXPECT_EQ(said[i], said[i % 3]);
  }
}

// Whatever the lengths, sources, limits and failures: everyone says what it says alone.
TEST(DecodeRoundTest, RandomRoundsSayWhatTheTargetSays) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto up_to = [&](int32_t n) { return static_cast<int32_t>(random() % (n + 1)); };
    Table table({},
                {.seed = 9,
                 .quality = up_to(4) / 4.0,
                 .imitated_seed = 1,
                 .context_tokens = 20 + up_to(44)},
                {.kv_cache_tokens = 64 + up_to(100), .max_sequences = 1 + up_to(4)});
    const int32_t failing = up_to(2) == 0 ? 5 : 1 << 20;  // one in so many draft forwards
    table.draft.control->before_decode = [&](int64_t, std::span<const BatchRow>) {
      return up_to(failing) == 0 ? InternalError("injected") : OkStatus();
    };
    table.target.control->before_decode = [&](int64_t, std::span<const BatchRow> rows) {
      return rows.size() > 20 ? ResourceExhaustedError("too many") : OkStatus();
    };
    const int32_t count = 1 + up_to(5);
    for (int32_t i = 0; i < count; ++i) {
      Generation& g = table.generations.emplace_back();
      g.prompt.assign(static_cast<size_t>(1 + up_to(15)), up_to(15));
      DecoderOptions options;
      options.sampling.temperature = static_cast<float>(up_to(3)) / 2;
      options.sampling.frequency_penalty = static_cast<float>(up_to(2)) / 2;
      options.speculation.mode = static_cast<SpeculationMode>(up_to(2));
      options.speculation.draft_k = up_to(5);
      options.speculation.max_draft_tokens = up_to(6);
      table.Begin(g, options, Tokens(static_cast<size_t>(up_to(3)), up_to(15)));
    }
    for (int round = 0; round < 200; ++round) {
      table.max_draft_rows = up_to(12);
      table.max_catch_up_rows = 1 + up_to(12);
      if (std::ranges::all_of(table.generations, [](auto& g) { return g.entry.finished; })) break;
      table.Run(1 + up_to(8));
      for (const Generation& g : table.generations) {
        ASSERT_TRUE(g.entry.status.ok()) << g.entry.status.ToString();
      }
    }
    for (const Generation& g : table.generations) {
      EXPECT_EQ(g.sink.tokens.size(), 40u);
      table.ExpectPlain(g);
    }
  }
}

}  // namespace
}  // namespace foretoken
