// The llama.cpp back end with the weights of a real model, smollm2-135m.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/gguf_reader.h"
#include "model/llama_fixture.h"
#include "model/model_store.h"

namespace foretoken {
namespace {

constexpr const char* kPrompt =
    "The lighthouse keeper wrote down the weather every morning: wind, cloud, the height of the "
    "sea. One day in November he found that the page for the next day was already written, in his "
    "own hand, and that";

class RealWeightsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto directory = ModelStore::DefaultDirectory();
    ASSERT_TRUE(directory.ok()) << directory.status().ToString();
    model_path = ModelStore(*directory).FilePath("smollm2-135m");
    auto model = NewLlamaLoader()->Load({.id = "smollm2-135m", .path = model_path});
    ASSERT_TRUE(model.ok()) << model.status().ToString() << "; run `foretoken pull smollm2-135m`";
    shared_model = *model;
  }
  static void TearDownTestSuite() { shared_model = nullptr; }

  void SetUp() override {
    ASSERT_NE(shared_model, nullptr);
    backend_ = shared_model
                   ->NewBackend({.context_tokens = 512,
                                 .kv_cache_tokens = 1024,
                                 .max_sequences = 4,
                                 .max_batch_rows = 128})
                   .value();
    prompt_ = shared_model->vocabulary().Tokenize(kPrompt, true, false).value();
  }

  // The prompt in one forward; the logits after it.
  std::vector<float> Prefill(int32_t sequence) {
    std::vector<BatchRow> rows;
    for (const TokenId token : prompt_) {
      const auto position = static_cast<int32_t>(rows.size());
      rows.push_back(Row(token, position, false, sequence));
    }
    rows.back().wants_logits = true;
    return LastLogits(*backend_, rows);
  }

  // One token a forward, the logits after each.
  std::vector<std::vector<float>> Feed(int32_t sequence, int32_t begin, int32_t end) {
    std::vector<std::vector<float>> rows;
    for (int32_t i = begin; i < end; ++i) {
      rows.push_back(LastLogits(*backend_, {Row(Next(i), prompt_length() + i, true, sequence)}));
    }
    return rows;
  }
  TokenId Next(int32_t i) const { return prompt_[static_cast<size_t>(3 * i) % prompt_.size()]; }

  int32_t prompt_length() const { return static_cast<int32_t>(prompt_.size()); }

  static inline std::string model_path;
  static inline std::shared_ptr<LoadedModel> shared_model;
  std::unique_ptr<ModelBackend> backend_;
  std::vector<TokenId> prompt_;
};

TEST_F(RealWeightsTest, APausedSequenceGoesOnToTheBit) {
  Prefill(0);
  const auto expected = Feed(0, 0, 16);
  ASSERT_TRUE(backend_->Truncate(SequenceId{0}, 0).ok());
  Prefill(0);
  auto paused = Feed(0, 0, 8);
  const auto state = backend_->SaveSequence(SequenceId{0});
  ASSERT_TRUE(state.ok()) << state.status().ToString();
  ASSERT_TRUE(backend_->Truncate(SequenceId{0}, 0).ok());
  ASSERT_TRUE(backend_->RestoreSequence(SequenceId{0}, *state).ok());
  for (auto& row : Feed(0, 8, 16)) paused.push_back(std::move(row));
  EXPECT_EQ(paused, expected);
}

TEST_F(RealWeightsTest, APausedSequenceComesBackBesideAnother) {
  Prefill(0);
  Feed(0, 0, 8);
  const auto state = backend_->SaveSequence(SequenceId{0}).value();
  const auto expected = Feed(0, 8, 12);
  ASSERT_TRUE(backend_->Truncate(SequenceId{0}, 0).ok());
  Prefill(1);  // in the cells that it had
  ASSERT_TRUE(backend_->RestoreSequence(SequenceId{2}, state).ok());
  const auto paused = Feed(2, 8, 12);
  for (size_t i = 0; i < paused.size(); ++i) ExpectSame(paused[i], expected[i]);
}

TEST_F(RealWeightsTest, ForksDivergeAndAreWhatTheyWouldBeAlone) {
  Prefill(0);
  ASSERT_TRUE(backend_->Fork(SequenceId{0}, SequenceId{1}, prompt_length()).ok());
  // The first goes on as usual, the second two tokens later; both in each forward.
  std::vector<std::vector<std::vector<float>>> forked(2);
  for (int32_t i = 0; i < 4; ++i) {
    const auto logits =
        backend_->Decode(std::vector<BatchRow>{Row(Next(i), prompt_length() + i, true, 0),
                                               Row(Next(i + 2), prompt_length() + i, true, 1)});
    ASSERT_TRUE(logits.ok()) << logits.status().ToString();
    for (int32_t s = 0; s < 2; ++s) {
      forked[static_cast<size_t>(s)].emplace_back((*logits)[s].begin(), (*logits)[s].end());
    }
  }
  Prefill(2);
  const auto alone = Feed(2, 0, 4);
  for (size_t i = 0; i < alone.size(); ++i) ExpectSame(forked[0][i], alone[i]);
  ASSERT_TRUE(backend_->Truncate(SequenceId{2}, prompt_length()).ok());
  for (int32_t i = 0; i < 4; ++i) {
    const auto row = LastLogits(*backend_, {Row(Next(i + 2), prompt_length() + i, true, 2)});
    ExpectSame(forked[1][static_cast<size_t>(i)], row);
    float largest = 0;
    for (size_t t = 0; t < row.size(); ++t) {
      largest = std::max(largest, std::abs(row[t] - alone[static_cast<size_t>(i)][t]));
    }
    EXPECT_GT(largest, 2.0f) << "the difference can be seen";
  }
}

TEST_F(RealWeightsTest, AnAdapterChangesTheAnswerAndLeavesNoTrace) {
  const GgufFile file = ReadGgufFile(model_path).value();
  const std::vector<std::string> changed = {"blk.3.attn_q.weight", "blk.20.attn_q.weight"};
  const testing::TempDirectory directory;
  auto write = [&directory](const std::string& bytes) {
    std::string path = directory.path() + "/adapter.gguf";
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  };
  const std::string bytes = testing::LoraGguf(file, changed, 4, 1).Bytes();
  const auto adapter = shared_model->LoadAdapter(write(bytes));
  ASSERT_TRUE(adapter.ok()) << adapter.status().ToString();
  auto run = [this](const LoadedAdapter* with, float scale) {
    EXPECT_TRUE(backend_->Truncate(SequenceId{0}, 0).ok());
    EXPECT_TRUE(backend_->UseAdapter(with, scale).ok());
    return Prefill(0);
  };
  const auto base = run(nullptr, 1);
  const auto with = run(adapter->get(), 1);
  EXPECT_NE(with, base);
  EXPECT_EQ(run(adapter->get(), 0), base);
  EXPECT_EQ(run(adapter->get(), 1), with);
  EXPECT_EQ(run(nullptr, 1), base);

  for (const size_t part : {2, 3}) {
    const Status cut =
        shared_model->LoadAdapter(write(bytes.substr(0, bytes.size() * part / 4))).status();
    EXPECT_EQ(cut.code(), StatusCode::kDataLoss) << cut.ToString();
  }
  testing::GgufWriter other = testing::LoraGguf(file, changed, 4, 1);
  other.SetString("general.architecture", "qwen2");
  EXPECT_EQ(shared_model->LoadAdapter(write(other.Bytes())).status().code(),
            StatusCode::kInvalidArgument);
  testing::GgufWriter wrong = testing::LoraGguf(file, changed, 4, 1);
  wrong.AddFloatTensor("blk.0.attn_q.weight.lora_a", {64, 2}, std::vector<float>(128));
  wrong.AddFloatTensor("blk.0.attn_q.weight.lora_b", {2, 64}, std::vector<float>(128));
  const Status shapes = shared_model->LoadAdapter(write(wrong.Bytes())).status();
  EXPECT_EQ(shapes.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(shapes.message().find("blk.0.attn_q.weight"), std::string::npos) << shapes.message();
  EXPECT_EQ(run(nullptr, 1), base);
}

}  // namespace
}  // namespace foretoken
