#include "model/invariance_check.h"

#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

std::shared_ptr<LoadedModel> Fake() {
  FakeModelOptions options;
  options.context_tokens = 256;
  options.max_batch_rows = 128;
  options.max_logits_rows = 128;
  return NewFakeModel(options);
}

// A back end whose rows have another last bit where `differs` says so of the batch.
class VariantBackend : public ModelBackend {
 public:
  using Differs = bool (*)(std::span<const BatchRow> rows);
  VariantBackend(std::unique_ptr<ModelBackend> backend, Differs differs)
      : backend_(std::move(backend)), differs_(differs) {}

  const BackendDescription& description() const override { return backend_->description(); }
  Result<LogitsRows> Decode(std::span<const BatchRow> rows) override {
    auto logits = backend_->Decode(rows);
    if (!logits.ok() || !differs_(rows)) return logits;
    values_.clear();
    for (int32_t i = 0; i < logits->size(); ++i) {
      values_.insert(values_.end(), (*logits)[i].begin(), (*logits)[i].end());
    }
    values_.back() = std::nextafter(values_.back(), 1e9f);
    return LogitsRows(values_.data(), logits->size(), description().vocabulary_size);
  }
  Status Truncate(SequenceId sequence, int32_t length) override {
    return backend_->Truncate(sequence, length);
  }
  Status Fork(SequenceId source, SequenceId target, int32_t length) override {
    return backend_->Fork(source, target, length);
  }
  Result<std::vector<uint8_t>> SaveSequence(SequenceId sequence) override {
    return backend_->SaveSequence(sequence);
  }
  Status RestoreSequence(SequenceId target, std::span<const uint8_t> state) override {
    return backend_->RestoreSequence(target, state);
  }
  Status UseAdapter(const LoadedAdapter* adapter, float scale) override {
    return backend_->UseAdapter(adapter, scale);
  }

 private:
  const std::unique_ptr<ModelBackend> backend_;
  const Differs differs_;
  std::vector<float> values_;
};

class VariantModel : public LoadedModel {
 public:
  explicit VariantModel(VariantBackend::Differs differs) : differs_(differs) {}

  const Vocabulary& vocabulary() const override { return model_->vocabulary(); }
  Result<std::string> RenderChat(const ChatPrompt& prompt,
                                 const ChatTextFilter& filter) const override {
    return model_->RenderChat(prompt, filter);
  }
  Result<std::unique_ptr<ReplyParser>> NewReplyParser(const ChatPrompt& prompt) const override {
    return model_->NewReplyParser(prompt);
  }
  Result<std::unique_ptr<ModelBackend>> NewBackend(const BackendOptions& options) override {
    auto backend = model_->NewBackend(options);
    if (!backend.ok()) return backend.status();
    return std::unique_ptr<ModelBackend>(
        std::make_unique<VariantBackend>(std::move(backend).value(), differs_));
  }
  Result<std::shared_ptr<LoadedAdapter>> LoadAdapter(const std::string& path) override {
    return model_->LoadAdapter(path);
  }
  int32_t trained_context_tokens() const override { return model_->trained_context_tokens(); }
  SamplingOptions RecommendedSampling(SamplingOptions base) const override {
    return model_->RecommendedSampling(std::move(base));
  }

 private:
  const std::shared_ptr<LoadedModel> model_ = Fake();
  const VariantBackend::Differs differs_;
};

TEST(InvarianceCheckTest, AModelThatIsAFunctionOfThePrefixIsInvariant) {
  const auto report = CheckInvariance(*Fake(), 1);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_TRUE(report->invariant());
  EXPECT_GT(report->rows_compared, 300);
  EXPECT_EQ(report->first_case, "");
}

TEST(InvarianceCheckTest, OneBitInLargeForwardsIsFound) {
  VariantModel model([](std::span<const BatchRow> rows) { return rows.size() >= 16; });
  const auto report = CheckInvariance(model, 1);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->invariant());
  EXPECT_EQ(report->first_case, "forwards of 16 rows, position 15");
}

TEST(InvarianceCheckTest, OneBitBesideANeighbourIsFound) {
  VariantModel model([](std::span<const BatchRow> rows) {
    return rows.size() > 1 && rows.front().sequences != rows.back().sequences &&
           rows.size() % 8 == 0;
  });
  const auto report = CheckInvariance(model, 1);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->first_case, "beside a neighbour, position 3");
}

TEST(InvarianceCheckTest, AModelThatCannotBeCutBackIsRefused) {
  FakeModelOptions options;
  options.context_tokens = 256;
  options.can_truncate = false;
  EXPECT_EQ(CheckInvariance(*NewFakeModel(options), 1).status().code(), StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace foretoken
