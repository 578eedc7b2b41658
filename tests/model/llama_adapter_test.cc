// LoRA adapters over the weights of a llama.cpp model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "model/gguf_reader.h"
#include "model/llama_fixture.h"
#include "testing/fake_model.h"

namespace foretoken {
namespace {

constexpr uint64_t kWidth = 32;
constexpr uint64_t kRank = 2;
constexpr float kAlpha = 4;

// One changed matrix of the tiny model: W + alpha / rank * scale * B A.
struct Change {
  std::string tensor;
  uint64_t columns;
  uint64_t rows;
  std::vector<float> a;  // [rank][columns]
  std::vector<float> b;  // [rows][rank]
};

Change RandomChange(const std::string& tensor, uint64_t columns, uint64_t rows, uint32_t seed) {
  Change change{tensor, columns, rows, std::vector<float>(kRank * columns),
                std::vector<float>(rows * kRank)};
  std::minstd_rand random(seed);
  for (std::vector<float>* values : {&change.a, &change.b}) {
    for (float& value : *values) value = static_cast<float>(random() % 2001) / 2000.0f - 0.5f;
  }
  return change;
}

std::vector<Change> Changes(uint32_t seed) {
  return {RandomChange("blk.0.attn_q.weight", kWidth, kWidth, seed + 1),
          RandomChange("blk.0.ffn_down.weight", 2 * kWidth, kWidth, seed + 2)};
}

testing::GgufWriter Adapter(const std::vector<Change>& changes) {
  testing::GgufWriter writer;
  writer.SetString("general.type", "adapter");
  writer.SetString("general.architecture", "llama");
  writer.SetString("adapter.type", "lora");
  writer.SetFloat("adapter.lora.alpha", kAlpha);
  for (const Change& change : changes) {
    writer.AddFloatTensor(change.tensor + ".lora_a", {change.columns, kRank}, change.a);
    writer.AddFloatTensor(change.tensor + ".lora_b", {kRank, change.rows}, change.b);
  }
  return writer;
}

// The model's file with the changes added to its weights: what the adapter must compute.
std::string Merged(const std::vector<Change>& changes, float scale) {
  std::string bytes = testing::TinyLlamaGguf(1).Bytes();
  const GgufFile file = ParseGguf(bytes, "tiny").value();
  for (const Change& change : changes) {
    char* const data = bytes.data() + file.FindTensor(change.tensor)->offset;
    for (uint64_t row = 0; row < change.rows; ++row) {
      for (uint64_t column = 0; column < change.columns; ++column) {
        char* const place = data + (row * change.columns + column) * sizeof(float);
        float weight = 0;
        std::memcpy(&weight, place, sizeof(weight));
        for (uint64_t k = 0; k < kRank; ++k) {
          weight += scale * kAlpha / kRank * change.b[row * kRank + k] *
                    change.a[k * change.columns + column];
        }
        std::memcpy(place, &weight, sizeof(weight));
      }
    }
  }
  return bytes;
}

class LlamaAdapterTest : public LlamaTest {
 protected:
  std::shared_ptr<LoadedAdapter> Load(const std::vector<Change>& changes) {
    auto adapter = model_->LoadAdapter(Write("adapter.gguf", Adapter(changes).Bytes()));
    EXPECT_TRUE(adapter.ok()) << adapter.status().ToString();
    return adapter.ok() ? *adapter : nullptr;
  }

  static std::vector<float> Run(ModelBackend& backend, const LoadedAdapter* adapter, float scale) {
    EXPECT_TRUE(backend.Truncate(SequenceId{0}, 0).ok());
    EXPECT_TRUE(backend.UseAdapter(adapter, scale).ok());
    LastLogits(backend, {Row(3, 0, false), Row(4, 1, false), Row(5, 2)});
    return LastLogits(backend, {Row(6, 3)});
  }

  void ExpectRefused(const testing::GgufWriter& writer, StatusCode code, const std::string& part) {
    ExpectRefusedBytes(writer.Bytes(), code, part);
  }
  void ExpectRefusedBytes(const std::string& bytes, StatusCode code, const std::string& part) {
    const std::string path = Write("refused.gguf", bytes);
    const Status status = model_->LoadAdapter(path).status();
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_NE(status.message().find(path), std::string::npos) << status.message();
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  }
};

TEST_F(LlamaAdapterTest, ComputesWhatTheMergedWeightsCompute) {
  const auto changes = Changes(1);
  const auto adapter = Load(changes);
  const auto backend = NewBackend();
  const auto base = Run(*backend, nullptr, 1);
  for (const float scale : {1.0f, -0.5f}) {
    const auto merged = loader_->Load({.path = Write("merged.gguf", Merged(changes, scale))});
    ASSERT_TRUE(merged.ok()) << merged.status().ToString();
    const auto expected =
        Run(**(*merged)->NewBackend({.context_tokens = 32, .threads = 1}), nullptr, 1);
    const auto adapted = Run(*backend, adapter.get(), scale);
    // The same sums in another order, and keys and values in half precision.
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(adapted[i], expected[i], 5e-3f) << i;
    float largest = 0;
    for (size_t i = 0; i < base.size(); ++i) {
      largest = std::max(largest, std::abs(base[i] - expected[i]));
    }
    EXPECT_GT(largest, 0.1f) << "the change can be seen";
  }
}

TEST_F(LlamaAdapterTest, SwitchingBackRestoresTheBits) {
  const auto first = Load(Changes(1));
  const auto second = Load(Changes(2));
  const auto backend = NewBackend();
  const auto base = Run(*backend, nullptr, 1);
  const auto with_first = Run(*backend, first.get(), 1);
  EXPECT_NE(with_first, base);
  const auto with_second = Run(*backend, second.get(), 1);
  EXPECT_NE(with_second, with_first);
  EXPECT_EQ(Run(*backend, first.get(), 0), base);
  EXPECT_EQ(Run(*backend, first.get(), 1), with_first);
  EXPECT_NE(Run(*backend, first.get(), 0.5f), with_first);
  EXPECT_EQ(Run(*backend, second.get(), 1), with_second);
  EXPECT_EQ(Run(*backend, nullptr, 1), base);
}

TEST_F(LlamaAdapterTest, ContextsOfOneModelHaveEachTheirOwn) {
  const auto adapter = Load(Changes(1));
  const auto with = NewBackend();
  const auto without = NewBackend();
  const auto base = Run(*without, nullptr, 1);
  EXPECT_NE(Run(*with, adapter.get(), 1), base);
  EXPECT_EQ(Run(*without, nullptr, 1), base);
}

TEST_F(LlamaAdapterTest, AnAdapterKeepsItsWeightsAndGoesBeforeOrAfterTheModel) {
  auto adapter = Load(Changes(1));
  {
    const auto backend = NewBackend();
    Run(*backend, adapter.get(), 1);
    ASSERT_TRUE(backend->UseAdapter(nullptr, 1).ok());
    adapter = nullptr;
    Run(*backend, nullptr, 1);
  }
  adapter = Load(Changes(1));
  model_ = nullptr;
  adapter = nullptr;
}

TEST_F(LlamaAdapterTest, AdaptersOfOtherModelsAreRefused) {
  const auto backend = NewBackend();
  const auto other = loader_->Load({.path = Write("same.gguf", testing::TinyLlamaGguf(1).Bytes())});
  const auto foreign = (*other)->LoadAdapter(Write("adapter.gguf", Adapter(Changes(1)).Bytes()));
  ASSERT_TRUE(foreign.ok()) << foreign.status().ToString();
  EXPECT_EQ(backend->UseAdapter(foreign->get(), 1).code(), StatusCode::kInvalidArgument);
  const auto fake = NewFakeModel({.adapters = {{"a", 1}}})->LoadAdapter("a").value();
  EXPECT_EQ(backend->UseAdapter(fake.get(), 1).code(), StatusCode::kInvalidArgument);
  const auto own = Load(Changes(1));
  EXPECT_EQ(backend->UseAdapter(own.get(), std::numeric_limits<float>::quiet_NaN()).code(),
            StatusCode::kInvalidArgument);
}

TEST_F(LlamaAdapterTest, BrokenFilesAreErrorsAndNotAssertions) {
  EXPECT_EQ(model_->LoadAdapter(directory_.path() + "/missing.gguf").status().code(),
            StatusCode::kNotFound);
  ExpectRefusedBytes("this is not an adapter", StatusCode::kDataLoss, "GGUF");
  ExpectRefused(testing::TinyLlamaGguf(1), StatusCode::kInvalidArgument, "general.type");
  testing::GgufWriter other = Adapter(Changes(1));
  other.SetString("general.architecture", "qwen2");
  ExpectRefused(other, StatusCode::kInvalidArgument, "'llama' is right");
  testing::GgufWriter typed = Adapter(Changes(1));
  typed.SetUint32("adapter.type", 1);  // an assertion of llama.cpp
  ExpectRefused(typed, StatusCode::kInvalidArgument, "adapter.type");
  ExpectRefused(Adapter({RandomChange("blk.0.attn_q.weight", kWidth, 2 * kWidth, 1)}),
                StatusCode::kInvalidArgument, "do not fit");
  ExpectRefused(Adapter({RandomChange("blk.7.attn_q.weight", kWidth, kWidth, 1)}),
                StatusCode::kInvalidArgument, "blk.7.attn_q.weight");
  testing::GgufWriter stacked = Adapter(Changes(1));
  stacked.AddFloatTensor("blk.0.attn_k.weight.lora_a", {kWidth, 1, 3},
                         std::vector<float>(kWidth * 3));
  stacked.AddFloatTensor("blk.0.attn_k.weight.lora_b", {1, kWidth / 2},
                         std::vector<float>(kWidth / 2));
  ExpectRefused(stacked, StatusCode::kInvalidArgument, "do not fit");  // one in the first forward
  const std::string whole = Adapter(Changes(1)).Bytes();
  for (size_t size = 0; size < whole.size() - 31; size += 97) {
    EXPECT_FALSE(model_->LoadAdapter(Write("cut.gguf", whole.substr(0, size))).ok()) << size;
  }
}

}  // namespace
}  // namespace foretoken
