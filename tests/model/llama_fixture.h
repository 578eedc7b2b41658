#ifndef FORETOKEN_MODEL_LLAMA_FIXTURE_H_
#define FORETOKEN_MODEL_LLAMA_FIXTURE_H_

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/llama_loader.h"
#include "model/loaded_model.h"
#include "testing/gguf_writer.h"
#include "testing/temp_directory.h"

namespace foretoken {

inline BatchRow Row(TokenId token, int32_t position, bool wants_logits = true,
                    int32_t sequence = 0) {
  return {.token = token,
          .position = position,
          .sequences = {SequenceId{sequence}},
          .wants_logits = wants_logits};
}

inline std::vector<float> LastLogits(ModelBackend& backend, const std::vector<BatchRow>& rows) {
  auto logits = backend.Decode(rows);
  EXPECT_TRUE(logits.ok()) << logits.status().ToString();
  if (!logits.ok()) return {};
  const auto row = (*logits)[logits->size() - 1];
  return {row.begin(), row.end()};
}

// Our kernels give the same bits whatever the batch, the neighbours and the cells are.
inline void ExpectSame(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a[i], b[i]) << i;
}

// llama.cpp with a model of 100 KiB that the test writes itself.
class LlamaTest : public ::testing::Test {
 protected:
  LlamaTest() {
    const std::string path = Write("tiny.gguf", testing::TinyLlamaGguf(1).Bytes());
    auto model = loader_->Load({.id = "tiny", .path = path});
    EXPECT_TRUE(model.ok()) << model.status().ToString();
    if (model.ok()) model_ = *model;
  }

  // The path of the file.
  std::string Write(const std::string& name, const std::string& bytes) const {
    std::string path = directory_.path() + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  std::unique_ptr<ModelBackend> NewBackend(BackendOptions options = {.context_tokens = 32,
                                                                     .max_sequences = 2,
                                                                     .max_batch_rows = 16,
                                                                     .max_logits_rows = 4}) {
    options.threads = 1;
    auto backend = model_->NewBackend(options);
    EXPECT_TRUE(backend.ok()) << backend.status().ToString();
    return backend.ok() ? std::move(backend).value() : nullptr;
  }

  const testing::TempDirectory directory_;
  const std::unique_ptr<ModelLoader> loader_ = NewLlamaLoader();
  std::shared_ptr<LoadedModel> model_;
};

}  // namespace foretoken

#endif  // FORETOKEN_MODEL_LLAMA_FIXTURE_H_
