#include "testing/fake_model.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace foretoken {
namespace {

BatchRow Row(TokenId token, int32_t position, bool wants_logits = true, int32_t sequence = 0) {
  return {.token = token,
          .position = position,
          .sequences = {SequenceId{sequence}},
          .wants_logits = wants_logits};
}

std::vector<float> LastLogits(ModelBackend& backend, std::vector<BatchRow> rows) {
  auto logits = backend.Decode(rows);
  EXPECT_TRUE(logits.ok()) << logits.status().ToString();
  const auto row = (*logits)[logits->size() - 1];
  return {row.begin(), row.end()};
}

TEST(FakeModelTest, LogitsDependOnThePrefixAndOnNothingElse) {
  const auto model = NewFakeModel({});
  auto one_by_one = model->NewBackend({}).value();
  auto batched = model->NewBackend({.max_sequences = 2}).value();
  LastLogits(*one_by_one, {Row(3, 0)});
  LastLogits(*one_by_one, {Row(4, 1)});
  const auto expected = LastLogits(*one_by_one, {Row(5, 2)});
  // In another batch, with a neighbour.
  EXPECT_EQ(
      LastLogits(*batched, {Row(9, 0, false, 1), Row(3, 0, false), Row(4, 1, false), Row(5, 2)}),
      expected);
  // After a roll-back.
  LastLogits(*batched, {Row(7, 3), Row(8, 4)});
  ASSERT_TRUE(batched->Truncate(SequenceId{0}, 2).ok());
  EXPECT_EQ(LastLogits(*batched, {Row(5, 2)}), expected);
  // A stale cache is visible.
  LastLogits(*batched, {Row(7, 3)});
  EXPECT_NE(LastLogits(*batched, {Row(5, 4)}), expected);
}

TEST(FakeModelTest, ForksSharePrefixes) {
  const auto model = NewFakeModel({});
  auto backend = model->NewBackend({.max_sequences = 2}).value();
  LastLogits(*backend, {Row(3, 0), Row(4, 1)});
  const auto expected = LastLogits(*backend, {Row(5, 2)});
  ASSERT_TRUE(backend->Fork(SequenceId{0}, SequenceId{1}, 2).ok());
  EXPECT_EQ(LastLogits(*backend, {Row(5, 2, true, 1)}), expected);
  EXPECT_EQ(backend->Fork(SequenceId{0}, SequenceId{1}, 1).code(), StatusCode::kFailedPrecondition);
}

TEST(FakeModelTest, RefusesWhatBreaksTheContract) {
  const auto model = NewFakeModel({.context_tokens = 4, .max_batch_rows = 3});
  auto backend = model->NewBackend({}).value();
  auto code = [&](std::vector<BatchRow> rows) { return backend->Decode(rows).status().code(); };
  EXPECT_EQ(code({}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({Row(1, 1)}), StatusCode::kInvalidArgument);           // a gap
  EXPECT_EQ(code({Row(16, 0)}), StatusCode::kInvalidArgument);          // no such token
  EXPECT_EQ(code({Row(1, 0, true, 1)}), StatusCode::kInvalidArgument);  // no such sequence
  EXPECT_EQ(code({Row(1, 0), Row(1, 1), Row(1, 2), Row(1, 3)}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({Row(1, 0), Row(1, 1), Row(1, 2)}), StatusCode::kOk);
  EXPECT_EQ(code({Row(1, 3), Row(1, 4)}), StatusCode::kResourceExhausted);
}

TEST(FakeModelTest, QualityMovesADraftTowardsItsTarget) {
  const auto target = NewFakeModel({.seed = 5});
  const auto same = NewFakeModel({.seed = 6, .quality = 1.0, .imitated_seed = 5});
  const auto other = NewFakeModel({.seed = 6, .quality = 0.0, .imitated_seed = 5});
  auto logits = [](const std::shared_ptr<LoadedModel>& model) {
    auto backend = model->NewBackend({}).value();
    return LastLogits(*backend, {Row(3, 0), Row(4, 1)});
  };
  EXPECT_EQ(logits(same), logits(target));
  EXPECT_NE(logits(other), logits(target));
}

TEST(FakeModelTest, InjectedFailuresCountAndLeaveRowsBehind) {
  auto control = std::make_shared<FakeControl>();
  control->before_decode = [](int64_t decode, std::span<const BatchRow>) {
    return decode == 1 ? InternalError("injected") : OkStatus();
  };
  const auto model = NewFakeModel({}, control);
  {
    auto backend = model->NewBackend({}).value();
    LastLogits(*backend, {Row(1, 0)});
    const BatchRow row = Row(2, 1);
    EXPECT_EQ(backend->Decode({&row, 1}).status(), InternalError("injected"));
    EXPECT_EQ(control->cells_in_use, 2);
    ASSERT_TRUE(backend->Truncate(SequenceId{0}, 1).ok());
    LastLogits(*backend, {Row(2, 1)});
    EXPECT_EQ(control->decodes, 2);
    EXPECT_EQ(control->live_backends, 1);
  }
  EXPECT_EQ(control->cells_in_use, 0);
  EXPECT_EQ(control->live_backends, 0);
}

}  // namespace
}  // namespace foretoken
