// The first promise below the engine: on our kernels a row's logits are the same bits whatever else
// is in its forward, wherever its cells lie and however many threads compute; with the weights of a
// real model, smollm2-135m.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "model/gguf_reader.h"
#include "model/invariance_check.h"
#include "model/llama_fixture.h"
#include "model/model_store.h"
#include "testing/gguf_writer.h"

namespace foretoken {
namespace {

std::string ModelPath() {
  const auto directory = ModelStore::DefaultDirectory();
  return directory.ok() ? ModelStore(*directory).FilePath("smollm2-135m") : "";
}

std::shared_ptr<LoadedModel> LoadModel(CpuKernels kernels) {
  auto model =
      NewLlamaLoader()->Load({.id = "smollm2-135m", .path = ModelPath(), .kernels = kernels});
  EXPECT_TRUE(model.ok()) << model.status().ToString() << "; run `foretoken pull smollm2-135m`";
  return model.ok() ? *model : nullptr;
}

class InvarianceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { shared_model = LoadModel(CpuKernels::kInvariant); }
  static void TearDownTestSuite() { shared_model = nullptr; }
  void SetUp() override { ASSERT_NE(shared_model, nullptr); }

  std::unique_ptr<ModelBackend> NewBackend(int32_t threads, CacheType cache_type,
                                           int32_t context_tokens) {
    return shared_model
        ->NewBackend({.context_tokens = context_tokens,
                      .kv_cache_tokens = 2 * context_tokens,
                      .max_sequences = 2,
                      .threads = threads,
                      .cache_type = cache_type})
        .value();
  }

  static TokenId TokenAt(int32_t position) {
    return (position * 7919 + 11) % shared_model->vocabulary().size();
  }

  // Appends tokens up to `length` in forwards of `chunk` rows; the logits after the last.
  static std::vector<float> Grow(ModelBackend& backend, int32_t from, int32_t length,
                                 int32_t chunk) {
    std::vector<float> logits;
    for (int32_t first = from; first < length; first += chunk) {
      std::vector<BatchRow> rows;
      for (int32_t i = first; i < std::min(first + chunk, length); ++i) {
        rows.push_back(Row(TokenAt(i), i, false));
      }
      rows.back().wants_logits = true;
      logits = LastLogits(backend, rows);
    }
    return logits;
  }

  static inline std::shared_ptr<LoadedModel> shared_model;
};

TEST_F(InvarianceTest, TheCheckFindsNoBitAndNothingStock) {
  for (const int32_t threads : {1, 2, 3}) {
    const auto report = CheckInvariance(*shared_model, threads);
    ASSERT_TRUE(report.ok()) << report.status().ToString();
    EXPECT_TRUE(report->invariant()) << report->first_case << " " << report->first_difference;
    EXPECT_EQ(report->rows_different, 0);
    EXPECT_TRUE(report->stock_operations.empty()) << *report->stock_operations.begin();
  }
}

TEST_F(InvarianceTest, TheStockKernelsAreFoundOut) {
  const auto stock = LoadModel(CpuKernels::kStock);
  ASSERT_NE(stock, nullptr);
  const auto report = CheckInvariance(*stock, 2);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_FALSE(report->invariant());
  EXPECT_NE(report->first_case, "");
  EXPECT_NE(report->first_difference, "") << report->first_case;
}

TEST_F(InvarianceTest, BackEndsSaySo) {
  EXPECT_TRUE(NewBackend(1, CacheType::kF16, 64)->description().batch_invariant);
  EXPECT_TRUE(NewBackend(1, CacheType::kQ8_0, 64)->description().batch_invariant);
  const auto stock = LoadModel(CpuKernels::kStock);
  EXPECT_FALSE(stock->NewBackend({.context_tokens = 64}).value()->description().batch_invariant);
}

TEST_F(InvarianceTest, NeitherChunksNorThreadsNorTheCacheChangeABitOfALongPrompt) {
  constexpr int32_t kLength = 700;
  for (const CacheType cache_type : {CacheType::kF16, CacheType::kQ8_0}) {
    std::vector<float> expected;
    for (const int32_t threads : {1, 2, 4}) {
      const auto backend = NewBackend(threads, cache_type, 1024);
      for (const int32_t chunk : {512, 64, 7, 1}) {
        if (chunk < 512 && threads != 2) continue;
        const std::vector<float> logits = Grow(*backend, 0, kLength, chunk);
        if (expected.empty()) expected = logits;
        ASSERT_EQ(logits, expected) << threads << " threads, chunks of " << chunk;
        ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
      }
    }
  }
}

TEST_F(InvarianceTest, LongContextsAreTheSameInOneRowAndInMany) {
  constexpr int32_t kLength = 4096;
  const auto backend = NewBackend(2, CacheType::kF16, kLength + 64);
  Grow(*backend, 0, kLength - 32, 512);
  for (const int32_t cut : {kLength - 32, kLength - 49, 2048, 513, 512, 64, 1}) {
    ASSERT_TRUE(backend->Truncate(SequenceId{0}, cut).ok());
    const std::vector<float> together = Grow(*backend, cut, cut + 9, 9);
    ASSERT_TRUE(backend->Truncate(SequenceId{0}, cut).ok());
    ASSERT_EQ(Grow(*backend, cut, cut + 9, 1), together) << cut;
  }
}

TEST_F(InvarianceTest, AdaptersKeepIt) {
  const GgufFile file = ReadGgufFile(ModelPath()).value();
  const testing::TempDirectory directory;
  const std::string path = directory.path() + "/adapter.gguf";
  std::ofstream(path, std::ios::binary)
      << testing::LoraGguf(file, {"blk.3.attn_q.weight", "blk.20.ffn_up.weight"}, 4, 1).Bytes();
  const auto adapter = shared_model->LoadAdapter(path);
  ASSERT_TRUE(adapter.ok()) << adapter.status().ToString();
  const auto backend = NewBackend(2, CacheType::kF16, 128);
  const std::vector<float> base = Grow(*backend, 0, 100, 100);
  ASSERT_TRUE(backend->UseAdapter(adapter->get(), 1.0f).ok());
  std::vector<float> expected;
  for (const int32_t chunk : {100, 33, 8, 1}) {
    ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
    const std::vector<float> logits = Grow(*backend, 0, 100, chunk);
    if (expected.empty()) expected = logits;
    ASSERT_EQ(logits, expected) << chunk;
  }
  EXPECT_NE(expected, base);
}

}  // namespace
}  // namespace foretoken
