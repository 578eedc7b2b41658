#include "speculative/shared_forward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "unit/speculative/session_fixture.h"

namespace foretoken {
namespace {

using Rows = std::vector<std::vector<float>>;

// Tokens that are guesses are of this kind, and no others are.
constexpr TokenId kGuess = 15;

// A few sequences with something cached, and a part for each in the next forward.
class Parts {
 public:
  explicit Parts(FakeSetup& setup) : setup_(setup) {}

  // Has `cached` tokens behind it, runs `committed` more and then `guesses`.
  void Add(int32_t cached, int32_t committed, int32_t guesses, int32_t logits_rows) {
    CachedSequence& cache = caches_.emplace_back(*setup_.pool);
    const auto index = static_cast<TokenId>(caches_.size());
    Tokens& prefix = prefixes_.emplace_back();
    for (int32_t i = 0; i < cached; ++i) prefix.push_back((index + i) % kGuess);
    if (cached > 0) {
      ForwardPart fill{.cache = &cache, .tokens = prefix, .logits_rows = 0};
      ForwardPart* pointer = &fill;
      RunForward(*setup_.backend, {&pointer, 1}, [](auto) {});
      EXPECT_TRUE(fill.status.ok());
    }
    ForwardPart& part = parts_.emplace_back();
    part.cache = &cache;
    for (int32_t i = 0; i < committed; ++i) part.tokens.push_back((index * 3 + i) % kGuess);
    part.tokens.insert(part.tokens.end(), static_cast<size_t>(guesses), kGuess);
    part.logits_rows = logits_rows;
    part.droppable_rows = guesses;
    delivered_.emplace_back();
    deliveries_.push_back(0);
    whole_.push_back(part.tokens);
  }

  ForwardReport Run() {
    std::vector<ForwardPart*> pointers;
    for (ForwardPart& part : parts_) pointers.push_back(&part);
    return RunForward(*setup_.backend, pointers, [&](std::span<ForwardPart* const> ran) {
      ++consumed_;
      for (const ForwardPart* part : ran) {
        const auto index = static_cast<size_t>(
            std::find_if(parts_.begin(), parts_.end(), [&](auto& p) { return &p == part; }) -
            parts_.begin());
        ++deliveries_[index];
        delivered_[index].clear();
        for (int32_t i = 0; i < part->logits.size(); ++i) {
          delivered_[index].push_back(Copy(part->logits[i]));
        }
      }
    });
  }

  // That part `i` ran as far as its first `tokens` tokens, and its logits were delivered once.
  void ExpectRan(size_t i, size_t tokens) const {
    SCOPED_TRACE("part " + std::to_string(i));
    EXPECT_TRUE(parts_[i].status.ok()) << parts_[i].status.ToString();
    EXPECT_EQ(deliveries_[i], 1);
    Tokens cached = prefixes_[i];
    Rows expected;
    const size_t dropped = whole_[i].size() - tokens;
    const size_t wanted = LogitsRowsOf(i) - dropped;
    for (size_t t = 0; t < tokens; ++t) {
      cached.push_back(whole_[i][t]);
      if (t + wanted >= tokens) expected.push_back(RowAfter(setup_.options, cached));
    }
    EXPECT_EQ(delivered_[i], expected);
    EXPECT_TRUE(std::ranges::equal(parts_[i].cache->tokens(), cached));
    EXPECT_EQ(parts_[i].dropped.ok(), dropped == 0);
  }

  void ExpectFailed(size_t i, const Status& status) const {
    SCOPED_TRACE("part " + std::to_string(i));
    EXPECT_EQ(parts_[i].status, status);
    EXPECT_EQ(deliveries_[i], 0);
    EXPECT_TRUE(std::ranges::equal(parts_[i].cache->tokens(), prefixes_[i]));
  }

  // What the caches know of, and no more, is in use.
  void ExpectCells() const {
    int32_t cells = 0;
    for (const CachedSequence& cache : caches_) cells += cache.cached_tokens();
    EXPECT_EQ(setup_.pool->used_cells(), cells);
    EXPECT_EQ(setup_.control->cells_in_use, cells);
  }

  size_t size() const { return parts_.size(); }
  size_t whole(size_t i) const { return whole_[i].size(); }
  // Of a part with something cached.
  SequenceId id(size_t i) const { return parts_[i].cache->sequence()->id(); }
  const ForwardPart& operator[](size_t i) const { return parts_[i]; }
  int consumed() const { return consumed_; }

 private:
  // That the part wanted when it was added.
  size_t LogitsRowsOf(size_t i) const {
    const bool dropped = !parts_[i].dropped.ok();
    const auto guesses =
        static_cast<size_t>(std::count(whole_[i].begin(), whole_[i].end(), kGuess));
    return static_cast<size_t>(parts_[i].logits_rows) + (dropped ? guesses : 0);
  }

  FakeSetup& setup_;
  std::deque<CachedSequence> caches_;
  std::deque<ForwardPart> parts_;
  std::vector<Tokens> prefixes_;
  std::vector<Tokens> whole_;  // the parts' tokens, guesses included
  std::vector<Rows> delivered_;
  std::vector<int> deliveries_;
  int consumed_ = 0;
};

// Counts the calls of Decode from now on, those that fail included.
struct DecodeCalls {
  int32_t calls = 0;
  int32_t rows_of_last = 0;
};

// Makes Decode fail as `fails` says.
void Inject(FakeSetup& setup, DecodeCalls& counted,
            std::function<Status(int32_t call, std::span<const BatchRow>)> fails) {
  setup.control->before_decode = [&counted, fails = std::move(fails)](
                                     int64_t, std::span<const BatchRow> rows) {
    counted.rows_of_last = static_cast<int32_t>(rows.size());
    return fails(counted.calls++, rows);
  };
}

TEST(SharedForwardTest, OneForwardServesManyPartsOfAllKinds) {
  FakeSetup setup;
  Parts parts(setup);
  parts.Add(0, 3, 0, 0);  // a chunk of a prompt
  parts.Add(5, 2, 0, 1);  // the last of one
  parts.Add(4, 1, 0, 1);  // plain decoding
  parts.Add(2, 1, 3, 4);  // with a draft
  const int64_t decodes = setup.control->decodes;
  const ForwardReport report = parts.Run();
  EXPECT_EQ(setup.control->decodes - decodes, 1);
  EXPECT_EQ(report.forwards, 1);
  EXPECT_EQ(report.rows, 3 + 2 + 1 + 4);
  EXPECT_GE(report.forward_us, 0);
  EXPECT_EQ(parts.consumed(), 1);
  for (size_t i = 0; i < parts.size(); ++i) parts.ExpectRan(i, parts.whole(i));
  parts.ExpectCells();
}

TEST(SharedForwardTest, NoPartsIsNoForward) {
  FakeSetup setup;
  Parts parts(setup);
  EXPECT_EQ(parts.Run().forwards, 0);
  EXPECT_EQ(parts.consumed(), 0);
}

enum class Fault { kNone, kGuesses, kAlways };

// Every combination of parts that run, that run without their guesses only, and that never do.
TEST(SharedForwardTest, OnlyThePartsThatFailFail) {
  for (size_t n = 1; n <= 5; ++n) {
    size_t combinations = 1;
    for (size_t i = 0; i < n; ++i) combinations *= 3;
    for (size_t combination = 0; combination < combinations; ++combination) {
      SCOPED_TRACE(std::to_string(n) + " parts, combination " + std::to_string(combination));
      std::vector<Fault> faults;
      for (size_t i = 0, rest = combination; i < n; ++i, rest /= 3) {
        faults.push_back(static_cast<Fault>(rest % 3));
      }
      FakeSetup setup({.vocabulary_size = 16, .max_batch_rows = 32, .max_logits_rows = 32});
      setup.control->failed_decode_leaves_rows = combination % 2 == 0;
      Parts parts(setup);
      for (size_t i = 0; i < n; ++i) {
        const auto k = static_cast<int32_t>(i);
        parts.Add(k + 1, 1 + k % 2, 2 - k % 2, 3 - k % 2);
      }
      DecodeCalls counted;
      Inject(setup, counted, [&](int32_t, std::span<const BatchRow> rows) {
        for (const BatchRow& row : rows) {
          for (size_t i = 0; i < n; ++i) {
            if (row.sequences[0] != parts.id(i)) continue;
            if (faults[i] == Fault::kAlways ||
                (faults[i] == Fault::kGuesses && row.token == kGuess)) {
              return InternalError("injected");
            }
          }
        }
        return OkStatus();
      });
      const ForwardReport report = parts.Run();
      EXPECT_EQ(report.forwards, counted.calls);
      int32_t ran_rows = 0;
      for (size_t i = 0; i < n; ++i) {
        if (faults[i] == Fault::kAlways) {
          parts.ExpectFailed(i, InternalError("injected"));
          continue;
        }
        const auto guesses = static_cast<size_t>(2 - i % 2);
        const size_t tokens = parts.whole(i) - (faults[i] == Fault::kGuesses ? guesses : 0);
        parts.ExpectRan(i, tokens);
        ran_rows += static_cast<int32_t>(tokens);
        EXPECT_EQ(parts[i].dropped,
                  faults[i] == Fault::kGuesses ? InternalError("injected") : OkStatus());
      }
      EXPECT_EQ(report.rows, ran_rows);
      parts.ExpectCells();
    }
  }
}

TEST(SharedForwardTest, OneBadPartOfManyCostsFewForwards) {
  for (size_t bad = 0; bad < 8; ++bad) {
    FakeSetup setup;
    Parts parts(setup);
    for (int32_t i = 0; i < 8; ++i) parts.Add(1, 1, 0, 1);
    DecodeCalls counted;
    Inject(setup, counted, [&](int32_t, std::span<const BatchRow> rows) {
      return SequencesOf(rows).contains(parts.id(bad)) ? InternalError("bad") : OkStatus();
    });
    parts.Run();
    // All, and two halves at each of three levels.
    EXPECT_EQ(counted.calls, 1 + 3 * 2);
    for (size_t i = 0; i < 8; ++i) {
      if (i != bad) parts.ExpectRan(i, 1);
    }
    parts.ExpectFailed(bad, InternalError("bad"));
  }
}

TEST(SharedForwardTest, WhatFailsTogetherOnlyRunsInPieces) {
  for (int32_t most = 1; most <= 10; ++most) {
    FakeSetup setup;
    Parts parts(setup);
    for (int32_t i = 0; i < 5; ++i) parts.Add(i + 1, 1, 1, 2);
    DecodeCalls counted;
    Inject(setup, counted, [&](int32_t, std::span<const BatchRow> rows) {
      return static_cast<int32_t>(rows.size()) > most ? ResourceExhaustedError("too many")
                                                      : OkStatus();
    });
    parts.Run();
    // With two rows a part keeps its guess.
    for (size_t i = 0; i < 5; ++i) parts.ExpectRan(i, most == 1 ? 1 : 2);
    parts.ExpectCells();
  }
}

TEST(SharedForwardTest, GuessesGoBeforeThePartAndAnErrorWithoutThemCounts) {
  FakeSetup setup;
  Parts parts(setup);
  parts.Add(2, 1, 3, 4);
  DecodeCalls counted;
  Inject(setup, counted, [&](int32_t call, std::span<const BatchRow>) {
    return call == 0 ? InternalError("first") : ResourceExhaustedError("second");
  });
  parts.Run();
  EXPECT_EQ(counted.calls, 2);
  EXPECT_EQ(counted.rows_of_last, 1);
  parts.ExpectFailed(0, ResourceExhaustedError("second"));
  EXPECT_EQ(parts[0].dropped, InternalError("first"));
  parts.ExpectCells();
}

TEST(SharedForwardTest, PartsBeyondTheLimitsAreSplitAndEachRunsOnce) {
  struct Case {
    int32_t max_batch_rows;
    int32_t max_logits_rows;
    int32_t forwards;
  };
  // Five parts of 1 to 5 rows with 1 to 3 rows of logits: 1/1, 2/2, 3/3, 4/1, 5/2.
  for (const Case& c : {Case{15, 9, 1}, Case{15, 8, 2}, Case{14, 9, 2}, Case{6, 9, 3},
                        Case{9, 3, 3}, Case{5, 3, 4}, Case{15, 3, 3}, Case{5, 5, 4}}) {
    SCOPED_TRACE(std::to_string(c.max_batch_rows) + "/" + std::to_string(c.max_logits_rows));
    FakeSetup setup({.max_batch_rows = c.max_batch_rows, .max_logits_rows = c.max_logits_rows});
    Parts parts(setup);
    for (int32_t i = 0; i < 5; ++i) parts.Add(2, i + 1, 0, i % 3 + 1);
    const int64_t decodes = setup.control->decodes;
    const ForwardReport report = parts.Run();
    EXPECT_EQ(report.forwards, c.forwards);
    EXPECT_EQ(setup.control->decodes - decodes, c.forwards);
    EXPECT_EQ(parts.consumed(), c.forwards);
    EXPECT_EQ(report.rows, 15);
    for (size_t i = 0; i < 5; ++i) parts.ExpectRan(i, parts.whole(i));
  }
}

TEST(SharedForwardTest, APartThatIsTooLargeByItselfIsRefusedUnlessItsGuessesMakeItSo) {
  FakeSetup setup({.max_batch_rows = 4, .max_logits_rows = 4});
  Parts parts(setup);
  parts.Add(1, 1, 0, 1);
  parts.Add(1, 5, 0, 1);
  parts.Add(1, 2, 3, 4);
  parts.Add(1, 1, 0, 1);
  parts.Run();
  parts.ExpectRan(0, 1);
  EXPECT_EQ(parts[1].status.code(), StatusCode::kInvalidArgument);
  parts.ExpectFailed(1, parts[1].status);
  parts.ExpectRan(2, 2);
  parts.ExpectRan(3, 1);
  parts.ExpectCells();
}

TEST(SharedForwardTest, WithoutCellsOnlyThoseThatFitRun) {
  FakeSetup setup({.context_tokens = 10}, {.kv_cache_tokens = 10, .max_sequences = 3});
  Parts parts(setup);
  parts.Add(2, 1, 0, 1);
  parts.Add(2, 1, 3, 4);
  parts.Add(2, 3, 0, 1);
  parts.Run();
  // Six are taken: one and one, then no room for three.
  parts.ExpectRan(0, 1);
  parts.ExpectRan(1, 1);
  EXPECT_EQ(parts[1].dropped.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(parts[2].status.code(), StatusCode::kResourceExhausted);
  parts.ExpectFailed(2, parts[2].status);
  parts.ExpectCells();
}

TEST(SharedForwardTest, WithoutASequenceIdOnlyThatPartFails) {
  FakeSetup setup({}, {.max_sequences = 1});
  Parts parts(setup);
  parts.Add(1, 1, 0, 1);
  parts.Add(0, 2, 0, 1);
  parts.Run();
  parts.ExpectRan(0, 1);
  EXPECT_EQ(parts[1].status.code(), StatusCode::kResourceExhausted);
}

// A memory that cannot be cut loses what it had cached to a failing forward, whosever fault it was.
// Nothing may be run after what is not there any more.
TEST(SharedForwardTest, WhereMemoryCannotBeCutAFailureTakesWhatWasCached) {
  for (size_t n = 1; n <= 4; ++n) {
    for (size_t bad = 0; bad < (size_t{1} << n); ++bad) {
      SCOPED_TRACE(std::to_string(n) + " parts, bad ones " + std::to_string(bad));
      FakeSetup setup({.can_truncate = false});
      Parts parts(setup);
      // Every other part has nothing cached, and nothing to lose.
      for (size_t i = 0; i < n; ++i) parts.Add(i % 2 == 0 ? 2 : 0, 1, 1, 2);
      const auto is_bad = [&](size_t i) { return (bad >> i & 1) != 0; };
      DecodeCalls counted;
      Inject(setup, counted, [&](int32_t, std::span<const BatchRow> rows) {
        for (size_t i = 0; i < n; ++i) {
          if (is_bad(i) && parts[i].cache->sequence() != nullptr &&
              SequencesOf(rows).contains(parts.id(i))) {
            return InternalError("injected");
          }
        }
        return OkStatus();
      });
      parts.Run();
      for (size_t i = 0; i < n; ++i) {
        if (bad == 0 || (i % 2 == 1 && !is_bad(i))) {
          parts.ExpectRan(i, 2);
          continue;
        }
        const bool lost_to_others = n > 1 && i % 2 == 0;
        EXPECT_EQ(parts[i].status.code(),
                  lost_to_others ? StatusCode::kUnavailable : StatusCode::kInternal);
        EXPECT_EQ(parts[i].cache->cached_tokens(), 0);
        // Without what they follow, its guesses are not tried again.
        EXPECT_EQ(parts[i].dropped.ok(), i % 2 == 0);
      }
      parts.ExpectCells();
    }
  }
}

TEST(SharedForwardTest, WhatWasNeverStagedIsNotLost) {
  FakeSetup setup({.context_tokens = 10}, {.kv_cache_tokens = 10, .max_sequences = 3});
  Parts parts(setup);
  parts.Add(3, 1, 0, 1);
  parts.Add(0, 4, 0, 1);  // one token too many
  parts.Add(3, 1, 0, 1);
  parts.Run();
  parts.ExpectRan(0, 1);
  EXPECT_EQ(parts[1].status.code(), StatusCode::kResourceExhausted);
  parts.ExpectRan(2, 1);
  parts.ExpectCells();
}

TEST(SharedForwardTest, CancelledEndsAllThatHaveNotRunAndIsNotRetried) {
  // Cancelled at the first forward, or at a later one after a failure, or after a split by the
  // limits.
  for (const int32_t max_batch_rows : {16, 4}) {
    for (int32_t cancelled_call = 0; cancelled_call < 4; ++cancelled_call) {
      SCOPED_TRACE(std::to_string(max_batch_rows) + " rows, call " +
                   std::to_string(cancelled_call));
      FakeSetup setup({.max_batch_rows = max_batch_rows, .max_logits_rows = max_batch_rows});
      Parts parts(setup);
      for (int32_t i = 0; i < 4; ++i) parts.Add(1, 1, i == 3 ? 1 : 0, i == 3 ? 2 : 1);
      std::set<SequenceId> ran;
      DecodeCalls counted;
      Inject(setup, counted, [&](int32_t call, std::span<const BatchRow> rows) {
        if (call >= cancelled_call) {
          return call == cancelled_call ? CancelledError("enough") : OkStatus();
        }
        if (SequencesOf(rows).contains(parts.id(1))) return InternalError("bad");
        ran.merge(SequencesOf(rows));
        return OkStatus();
      });
      parts.Run();
      EXPECT_EQ(counted.calls, cancelled_call + 1);
      for (size_t i = 0; i < 4; ++i) {
        if (ran.contains(parts.id(i))) {
          parts.ExpectRan(i, parts.whole(i));
        } else if (parts[i].status != InternalError("bad")) {
          parts.ExpectFailed(i, CancelledError("enough"));
          EXPECT_TRUE(parts[i].dropped.ok());
        } else {
          EXPECT_EQ(i, 1u);
        }
      }
      parts.ExpectCells();
    }
  }
}

}  // namespace
}  // namespace foretoken
