#include "bench_load_check.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

// Adds to the logits of odd tokens in forwards of several rows: a back end that is not
// batch-invariant.
class ShiftedBackend : public ModelBackend {
 public:
  ShiftedBackend(std::unique_ptr<ModelBackend> backend, float shift)
      : backend_(std::move(backend)), shift_(shift) {}
  const BackendDescription& description() const override { return backend_->description(); }
  Result<LogitsRows> Decode(std::span<const BatchRow> rows) override {
    auto result = backend_->Decode(rows);
    if (!result.ok() || rows.size() == 1) return result;
    logits_.clear();
    for (int32_t row = 0; row < result->size(); ++row) {
      for (size_t token = 0; token < (*result)[row].size(); ++token) {
        logits_.push_back((*result)[row][token] + (token % 2 == 1 ? shift_ : 0));
      }
    }
    return LogitsRows(logits_.data(), result->size(), description().vocabulary_size);
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
  const float shift_;
  std::vector<float> logits_;
};

class ShiftedModel : public LoadedModel {
 public:
  explicit ShiftedModel(float shift)
      : control(std::make_shared<FakeControl>()),
        model_(NewFakeModel({}, control)),
        shift_(shift) {}
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
    if (!backend.ok()) return backend;
    return std::unique_ptr<ModelBackend>(
        std::make_unique<ShiftedBackend>(std::move(*backend), shift_));
  }
  Result<std::shared_ptr<LoadedAdapter>> LoadAdapter(const std::string& path) override {
    return model_->LoadAdapter(path);
  }
  int32_t trained_context_tokens() const override { return model_->trained_context_tokens(); }
  SamplingOptions RecommendedSampling(SamplingOptions base) const override { return base; }

  const std::shared_ptr<FakeControl> control;

 private:
  const std::shared_ptr<LoadedModel> model_;
  const float shift_;
};

const std::vector<LoadPrompt> kPrompts = {{"first", {3, 1, 4, 1, 5, 9}}, {"second", {2, 7, 1, 8}}};

LoadRecord Answers(std::vector<std::pair<size_t, std::vector<TokenId>>> answers) {
  LoadRecord record;
  for (auto& [prompt, tokens] : answers) {
    LoadAnswer answer;
    answer.prompt = prompt;
    answer.tokens = std::move(tokens);
    answer.finish.reason = FinishReason::kLength;
    record.answers.push_back(std::move(answer));
  }
  return record;
}

struct Fixture {
  explicit Fixture(float shift)
      : model(std::make_shared<ShiftedModel>(shift)),
        checker(model, kPrompts, {.temperature = 0}, 1) {
    checker.SetReference(0, {1, 2, 3, 4});
    checker.SetReference(1, {5, 6});
  }
  std::shared_ptr<ShiftedModel> model;
  AnswerChecker checker;
};

TEST(BenchLoadCheckTest, EqualAnswersTakeNoForward) {
  Fixture fixture(0);
  ASSERT_TRUE(fixture.checker.Check(Answers({{0, {1, 2, 3, 4}}, {1, {5, 6}}}), "here").ok());
  const LoadCheck& check = fixture.checker.check();
  EXPECT_EQ(check.compared, 2);
  EXPECT_EQ(check.equal, 2);
  EXPECT_EQ(check.excused() + check.unexcused(), 0);
  EXPECT_EQ(fixture.model->control->decodes, 0);
}

TEST(BenchLoadCheckTest, ADifferenceIsExcusedByTheShapesOnly) {
  for (const bool has_shapes : {true, false}) {
    Fixture fixture(has_shapes ? 100.0f : 0.0f);
    ASSERT_TRUE(fixture.checker.Check(Answers({{0, {1, 2, 7, 4}}, {1, {5, 6}}}), "here").ok());
    const LoadCheck& check = fixture.checker.check();
    EXPECT_EQ(check.equal, 1);
    EXPECT_EQ(check.excused(), has_shapes ? 1 : 0);
    EXPECT_EQ(check.unexcused(), has_shapes ? 0 : 1);
    ASSERT_EQ(check.differences.size(), 1u);
    EXPECT_EQ(check.differences[0].id, "first");
    EXPECT_EQ(check.differences[0].where, "here");
    EXPECT_EQ(check.differences[0].verdict.position, 2);
    EXPECT_EQ(check.differences[0].verdict.plain_token, 3);
    EXPECT_EQ(check.differences[0].verdict.speculative_token, 7);
    EXPECT_EQ(fixture.model->control->live_backends, 0) << "given back";
  }
}

TEST(BenchLoadCheckTest, TheSameDifferenceIsJudgedOnce) {
  Fixture fixture(100);
  ASSERT_TRUE(fixture.checker.Check(Answers({{0, {1, 2, 7, 4}}}), "here").ok());
  const int64_t decodes = fixture.model->control->decodes;
  EXPECT_GT(decodes, 0);
  // What follows the first difference does not matter.
  ASSERT_TRUE(fixture.checker.Check(Answers({{0, {1, 2, 7, 8}}}), "there").ok());
  EXPECT_EQ(fixture.model->control->decodes, decodes);
  ASSERT_EQ(fixture.checker.check().differences.size(), 1u);
  EXPECT_EQ(fixture.checker.check().differences[0].answers, 2);
  EXPECT_EQ(fixture.checker.check().excused(), 2);
  // Another token there is another difference.
  ASSERT_TRUE(fixture.checker.Check(Answers({{0, {1, 2, 9}}}), "there").ok());
  EXPECT_GT(fixture.model->control->decodes, decodes);
  EXPECT_EQ(fixture.checker.check().differences.size(), 2u);
}

TEST(BenchLoadCheckTest, AnAnswerThatEndedEarlyIsNeverExcused) {
  Fixture fixture(100);
  ASSERT_TRUE(fixture.checker.Check(Answers({{0, {1, 2, 3}}, {1, {5, 6, 1}}}), "here").ok());
  EXPECT_EQ(fixture.checker.check().unexcused(), 2);
}

TEST(BenchLoadCheckTest, CutOffAnswersAreLeftOutAndUnknownPromptsAreAnError) {
  Fixture fixture(0);
  LoadRecord record = Answers({{0, {1, 9}}});
  record.answers[0].finish.reason = FinishReason::kCancelled;
  ASSERT_TRUE(fixture.checker.Check(record, "here").ok());
  EXPECT_EQ(fixture.checker.check().compared, 0);

  AnswerChecker empty(fixture.model, kPrompts, {}, 1);
  EXPECT_EQ(empty.Check(Answers({{1, {5}}}), "here").code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace foretoken
