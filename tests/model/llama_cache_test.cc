// The KV cache that all sequences of a llama.cpp context share: its room, and sequences that leave
// it for host memory.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "model/llama_fixture.h"

namespace foretoken {
namespace {

using LlamaCacheTest = LlamaTest;

// A multiple of what llama.cpp rounds to, so that it has no cell more.
constexpr int32_t kCells = 256;

TEST_F(LlamaCacheTest, TheCacheMayBeLargerThanTheTrainedContext) {
  ASSERT_EQ(model_->trained_context_tokens(), 512);
  const auto backend = NewBackend(
      {.context_tokens = 512, .kv_cache_tokens = 2048, .max_sequences = 4, .max_batch_rows = 512});
  EXPECT_EQ(backend->description().context_tokens, 512);
  EXPECT_EQ(backend->description().cache_tokens, 2048);
  for (int32_t sequence = 0; sequence < 4; ++sequence) {
    std::vector<BatchRow> rows;
    for (int32_t i = 0; i < 512; ++i) rows.push_back(Row(3 + i % 9, i, i == 511, sequence));
    ASSERT_TRUE(backend->Decode(rows).ok()) << sequence;
    EXPECT_EQ(backend->Decode(std::vector<BatchRow>{Row(3, 512, true, sequence)}).status().code(),
              StatusCode::kInvalidArgument);
  }
}

// What each sequence holds, with cells shared as by forks.
class ShadowCache {
 public:
  using Cell = std::shared_ptr<TokenId>;

  std::vector<Cell>& operator[](int32_t sequence) { return sequences_[sequence]; }
  int32_t free_cells() const {
    std::set<Cell> used;
    for (const auto& [sequence, cells] : sequences_) used.insert(cells.begin(), cells.end());
    return kCells - static_cast<int32_t>(used.size());
  }

 private:
  std::map<int32_t, std::vector<Cell>> sequences_;
};

// A ledger that counts cells is all that the engine has to know: wherever the free ones lie.
TEST_F(LlamaCacheTest, ABatchFitsWheneverThereAreEnoughFreeCells) {
  constexpr int32_t kSequences = 12;
  constexpr int32_t kContext = 60;
  const auto backend = NewBackend({.context_tokens = kContext,
                                   .kv_cache_tokens = kCells,
                                   .max_sequences = kSequences,
                                   .max_batch_rows = kCells,
                                   .max_logits_rows = kSequences});
  const auto alone = NewBackend({.context_tokens = kContext, .max_batch_rows = kContext});
  std::minstd_rand random(7);
  auto below = [&random](int32_t n) {
    return static_cast<int32_t>(random() % static_cast<uint32_t>(n));
  };
  ShadowCache shadow;
  int32_t full = 0;
  int32_t refused = 0;
  for (int32_t step = 0; step < 600; ++step) {
    const int32_t sequence = below(kSequences);
    std::vector<ShadowCache::Cell>& cells = shadow[sequence];
    const auto length = static_cast<int32_t>(cells.size());
    switch (below(6)) {
      case 0: {  // a roll-back or a drop
        const int32_t kept = below(2) == 0 ? 0 : below(length + 1);
        ASSERT_TRUE(backend->Truncate(SequenceId{sequence}, kept).ok());
        cells.resize(static_cast<size_t>(kept));
        continue;
      }
      case 1: {  // a fork
        const int32_t target = below(kSequences);
        if (target == sequence || !shadow[target].empty()) continue;
        const int32_t shared = below(length + 1);
        ASSERT_TRUE(backend->Fork(SequenceId{sequence}, SequenceId{target}, shared).ok());
        shadow[target].assign(cells.begin(), cells.begin() + shared);
        continue;
      }
      default:
        break;
    }
    // A batch over all sequences, interleaved; every third time as large as there is room for.
    const int32_t free_cells = shadow.free_cells();
    int32_t wanted = below(3) == 0 ? free_cells : below(free_cells + 1);
    std::vector<BatchRow> rows;
    std::map<int32_t, int32_t> added;
    for (int32_t tries = 0; wanted > 0 && tries < 4 * kCells; ++tries) {
      const int32_t into = below(kSequences);
      const int32_t position = static_cast<int32_t>(shadow[into].size()) + added[into];
      if (position == kContext) continue;
      ++added[into];
      --wanted;
      rows.push_back(Row(3 + below(200), position, false, into));
    }
    if (rows.empty()) continue;
    const auto decoded = backend->Decode(rows);
    ASSERT_TRUE(decoded.ok()) << "step " << step << ": " << rows.size() << " rows with "
                              << free_cells << " free: " << decoded.status().ToString();
    for (const BatchRow& row : rows) {
      shadow[static_cast<int32_t>(row.sequences.front())].push_back(
          std::make_shared<TokenId>(row.token));
    }
    if (shadow.free_cells() > 0) continue;
    ++full;
    // One row more does not fit, and asking changes nothing.
    for (int32_t other = 0; other < kSequences; ++other) {
      const auto position = static_cast<int32_t>(shadow[other].size());
      if (position == kContext) continue;
      EXPECT_EQ(
          backend->Decode(std::vector<BatchRow>{Row(3, position, false, other)}).status().code(),
          StatusCode::kResourceExhausted);
      ++refused;
      break;
    }
    // Every sequence is what it would be alone.
    const int32_t probed = below(kSequences);
    std::vector<ShadowCache::Cell>& held = shadow[probed];
    if (held.empty()) continue;
    const auto last = static_cast<int32_t>(held.size()) - 1;
    ASSERT_TRUE(backend->Truncate(SequenceId{probed}, last).ok());
    // Shared cells stay in use when one of their sequences leaves them.
    if (held.back().use_count() > 1) {
      held.pop_back();
      continue;
    }
    std::vector<BatchRow> prefix;
    for (int32_t i = 0; i <= last; ++i) {
      prefix.push_back(Row(*held[static_cast<size_t>(i)], i, i == last));
    }
    ASSERT_TRUE(alone->Truncate(SequenceId{0}, 0).ok());
    ExpectSame(LastLogits(*backend, {Row(*held.back(), last, true, probed)}),
               LastLogits(*alone, prefix));
  }
  EXPECT_GT(full, 20);
  EXPECT_GT(refused, 20);
}

TEST_F(LlamaCacheTest, ASavedSequenceGoesOnAsIfItHadNeverLeft) {
  const auto backend =
      NewBackend({.context_tokens = 32, .kv_cache_tokens = 64, .max_sequences = 2});
  EXPECT_EQ(backend->SaveSequence(SequenceId{0}).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(backend->SaveSequence(SequenceId{2}).status().code(), StatusCode::kInvalidArgument);
  LastLogits(*backend, {Row(3, 0, false), Row(4, 1, false), Row(5, 2)});
  const auto expected = LastLogits(*backend, {Row(6, 3)});
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 3).ok());
  const auto state = backend->SaveSequence(SequenceId{0});
  ASSERT_TRUE(state.ok()) << state.status().ToString();
  EXPECT_EQ(backend->RestoreSequence(SequenceId{0}, *state).code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(LastLogits(*backend, {Row(6, 3)}), expected) << "saving changes nothing";
  ASSERT_TRUE(backend->RestoreSequence(SequenceId{1}, *state).ok());
  ExpectSame(LastLogits(*backend, {Row(6, 3, true, 1)}), expected);
  // The same bits where the cells are the same.
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
  ASSERT_TRUE(backend->Truncate(SequenceId{1}, 0).ok());
  ASSERT_TRUE(backend->RestoreSequence(SequenceId{0}, *state).ok());
  EXPECT_EQ(LastLogits(*backend, {Row(6, 3)}), expected);
}

TEST_F(LlamaCacheTest, ASharedPrefixIsSavedWithEachOfItsSequences) {
  const auto backend =
      NewBackend({.context_tokens = 32, .kv_cache_tokens = 64, .max_sequences = 3});
  LastLogits(*backend, {Row(3, 0, false), Row(4, 1)});
  ASSERT_TRUE(backend->Fork(SequenceId{0}, SequenceId{1}, 2).ok());
  LastLogits(*backend, {Row(7, 2, true, 1)});
  const auto expected = LastLogits(*backend, {Row(8, 3, true, 1)});
  ASSERT_TRUE(backend->Truncate(SequenceId{1}, 3).ok());
  const auto state = backend->SaveSequence(SequenceId{1}).value();
  ASSERT_TRUE(backend->Truncate(SequenceId{1}, 0).ok());
  ASSERT_TRUE(backend->RestoreSequence(SequenceId{2}, state).ok());
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
  ExpectSame(LastLogits(*backend, {Row(8, 3, true, 2)}), expected);
}

TEST_F(LlamaCacheTest, AFullCacheRestoresNothing) {
  const auto backend = NewBackend({.context_tokens = kCells,
                                   .kv_cache_tokens = kCells,
                                   .max_sequences = 2,
                                   .max_batch_rows = 250});
  LastLogits(*backend, {Row(3, 0, false), Row(4, 1, false), Row(5, 2)});
  const auto state = backend->SaveSequence(SequenceId{0}).value();
  std::vector<BatchRow> rows;
  for (int32_t i = 3; i < 253; ++i) rows.push_back(Row(3, i, i == 252));
  LastLogits(*backend, rows);
  LastLogits(*backend, {Row(3, 253)});
  EXPECT_EQ(backend->RestoreSequence(SequenceId{1}, state).code(), StatusCode::kResourceExhausted);
  // Nothing of it is left behind: the two free cells are free.
  LastLogits(*backend, {Row(3, 0, true, 1)});
  LastLogits(*backend, {Row(3, 1, true, 1)});
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
  ASSERT_TRUE(backend->Truncate(SequenceId{1}, 0).ok());
  EXPECT_TRUE(backend->RestoreSequence(SequenceId{1}, state).ok());
}

TEST_F(LlamaCacheTest, StatesThatDoNotFitAreRefused) {
  const auto backend =
      NewBackend({.context_tokens = 32, .kv_cache_tokens = 64, .max_sequences = 2});
  LastLogits(*backend, {Row(3, 0, false), Row(4, 1, false), Row(5, 2)});
  const std::vector<uint8_t> state = backend->SaveSequence(SequenceId{0}).value();
  auto restore = [](ModelBackend& into, const std::vector<uint8_t>& bytes) {
    const StatusCode code = into.RestoreSequence(SequenceId{1}, bytes).code();
    if (code != StatusCode::kOk) LastLogits(into, {Row(1, 0, true, 1)});  // it is empty
    EXPECT_TRUE(into.Truncate(SequenceId{1}, 0).ok());
    return code;
  };
  EXPECT_EQ(restore(*backend, state), StatusCode::kOk);
  for (const size_t size : {size_t{0}, size_t{8}, state.size() / 2, state.size() - 1}) {
    EXPECT_EQ(restore(*backend, {state.data(), state.data() + size}), StatusCode::kDataLoss)
        << size;
  }
  std::vector<uint8_t> longer = state;
  longer.push_back(0);
  EXPECT_EQ(restore(*backend, longer), StatusCode::kDataLoss);
  std::vector<uint8_t> other = state;
  other[0] ^= 1;
  EXPECT_EQ(restore(*backend, other), StatusCode::kDataLoss);

  const auto shorter = NewBackend({.context_tokens = 2, .max_sequences = 2});
  EXPECT_EQ(restore(*shorter, state), StatusCode::kDataLoss);
  const auto larger = loader_->Load(
      {.path = Write("larger.gguf", testing::TinyLlamaGguf(1, /*layers=*/2).Bytes())});
  ASSERT_TRUE(larger.ok()) << larger.status().ToString();
  const auto foreign = (*larger)->NewBackend({.max_sequences = 2, .threads = 1});
  EXPECT_EQ(restore(**foreign, state), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace foretoken
