#include "testing/fake_model.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>
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

TEST(FakeModelTest, SequencesMayBeMixedInOneForward) {
  const auto model = NewFakeModel({});
  auto alone = model->NewBackend({}).value();
  const auto first = LastLogits(*alone, {Row(3, 0), Row(4, 1)});
  ASSERT_TRUE(alone->Truncate(SequenceId{0}, 0).ok());
  const auto second = LastLogits(*alone, {Row(5, 0), Row(6, 1), Row(7, 2)});
  auto mixed = model->NewBackend({.max_sequences = 2}).value();
  const auto logits = mixed->Decode(std::vector<BatchRow>{Row(5, 0, false, 1), Row(3, 0, false, 0),
                                                          Row(6, 1, false, 1), Row(4, 1, true, 0),
                                                          Row(7, 2, true, 1)});
  ASSERT_TRUE(logits.ok()) << logits.status().ToString();
  EXPECT_EQ(std::vector<float>((*logits)[0].begin(), (*logits)[0].end()), first);
  EXPECT_EQ(std::vector<float>((*logits)[1].begin(), (*logits)[1].end()), second);
}

TEST(FakeModelTest, ForksSharePrefixesAndTheirCells) {
  const auto control = std::make_shared<FakeControl>();
  const auto model = NewFakeModel({}, control);
  auto backend = model->NewBackend({.max_sequences = 3}).value();
  LastLogits(*backend, {Row(3, 0), Row(4, 1)});
  const auto expected = LastLogits(*backend, {Row(5, 2)});
  ASSERT_TRUE(backend->Fork(SequenceId{0}, SequenceId{1}, 2).ok());
  EXPECT_EQ(control->cells_in_use, 3);
  EXPECT_EQ(LastLogits(*backend, {Row(5, 2, true, 1)}), expected);
  EXPECT_EQ(control->cells_in_use, 4);
  EXPECT_EQ(backend->Fork(SequenceId{0}, SequenceId{1}, 1).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(backend->Fork(SequenceId{0}, SequenceId{2}, 4).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->Fork(SequenceId{0}, SequenceId{2}, -1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->Fork(SequenceId{0}, SequenceId{3}, 1).code(), StatusCode::kInvalidArgument);
  // A shared cell is free when its last sequence has left it.
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
  EXPECT_EQ(control->cells_in_use, 3);
  ASSERT_TRUE(backend->Truncate(SequenceId{1}, 1).ok());
  EXPECT_EQ(control->cells_in_use, 1);
  EXPECT_EQ(control->forks, 1);
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
  EXPECT_EQ(code({Row(1, 3), Row(1, 4)}), StatusCode::kInvalidArgument);  // past the context
  EXPECT_EQ(backend->Truncate(SequenceId{1}, 0).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(backend->Truncate(SequenceId{0}, -1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(model->NewBackend({.context_tokens = 5}).status().code(), StatusCode::kInvalidArgument);
}

TEST(FakeModelTest, TheCacheIsSharedAndItsSizeIsHard) {
  const auto control = std::make_shared<FakeControl>();
  const auto model = NewFakeModel({.context_tokens = 4}, control);
  auto backend = model->NewBackend({.kv_cache_tokens = 6, .max_sequences = 3}).value();
  EXPECT_EQ(backend->description().context_tokens, 4);
  EXPECT_EQ(backend->description().cache_tokens, 6);
  LastLogits(*backend, {Row(1, 0), Row(2, 1), Row(3, 2), Row(4, 3)});
  // Sharing costs nothing; what follows it does.
  ASSERT_TRUE(backend->Fork(SequenceId{0}, SequenceId{1}, 3).ok());
  LastLogits(*backend, {Row(5, 3, true, 1)});
  const std::vector<BatchRow> two = {Row(1, 0, true, 2), Row(2, 1, true, 2)};
  EXPECT_EQ(backend->Decode(two).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(control->cells_in_use, 5) << "nothing was decoded";
  ASSERT_TRUE(backend->Truncate(SequenceId{1}, 3).ok());
  EXPECT_TRUE(backend->Decode(two).ok());
}

TEST(FakeModelTest, AMemoryThatCannotBeCutCanBeEmptied) {
  const auto model = NewFakeModel({.can_truncate = false});
  auto backend = model->NewBackend({.max_sequences = 2}).value();
  LastLogits(*backend, {Row(1, 0), Row(2, 1)});
  EXPECT_EQ(backend->Truncate(SequenceId{0}, 1).code(), StatusCode::kUnimplemented);
  EXPECT_EQ(backend->Fork(SequenceId{0}, SequenceId{1}, 1).code(), StatusCode::kUnimplemented);
  EXPECT_TRUE(backend->Fork(SequenceId{0}, SequenceId{1}, 2).ok());
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
  LastLogits(*backend, {Row(1, 0)});
}

TEST(FakeModelTest, ASavedSequenceGoesOnAsIfItHadNeverLeft) {
  const auto control = std::make_shared<FakeControl>();
  const auto model = NewFakeModel({.context_tokens = 4}, control);
  auto backend = model->NewBackend({.kv_cache_tokens = 5, .max_sequences = 3}).value();
  EXPECT_EQ(backend->SaveSequence(SequenceId{0}).status().code(), StatusCode::kFailedPrecondition);
  LastLogits(*backend, {Row(3, 0), Row(4, 1)});
  const auto state = backend->SaveSequence(SequenceId{0});
  ASSERT_TRUE(state.ok()) << state.status().ToString();
  const auto expected = LastLogits(*backend, {Row(5, 2)});
  EXPECT_EQ(backend->RestoreSequence(SequenceId{0}, *state).code(),
            StatusCode::kFailedPrecondition);
  ASSERT_TRUE(backend->RestoreSequence(SequenceId{1}, *state).ok());
  EXPECT_EQ(control->cells_in_use, 5) << "nothing is shared";
  EXPECT_EQ(backend->RestoreSequence(SequenceId{2}, *state).code(), StatusCode::kResourceExhausted);
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
  EXPECT_EQ(LastLogits(*backend, {Row(5, 2, true, 1)}), expected);
  EXPECT_EQ(control->saves, 1);
  EXPECT_EQ(control->restores, 1);
}

TEST(FakeModelTest, StatesThatDoNotFitAreRefusedAndLeaveTheTargetEmpty) {
  const auto model = NewFakeModel({});
  auto backend = model->NewBackend({.max_sequences = 2}).value();
  LastLogits(*backend, {Row(3, 0), Row(4, 1), Row(5, 2)});
  const std::vector<uint8_t> state = backend->SaveSequence(SequenceId{0}).value();
  auto restore = [&](ModelBackend& into, std::vector<uint8_t> bytes) {
    const StatusCode code = into.RestoreSequence(SequenceId{1}, bytes).code();
    if (code != StatusCode::kOk) LastLogits(into, {Row(1, 0, true, 1)});  // it is empty
    EXPECT_TRUE(into.Truncate(SequenceId{1}, 0).ok());
    return code;
  };
  EXPECT_EQ(restore(*backend, state), StatusCode::kOk);
  EXPECT_EQ(restore(*backend, {}), StatusCode::kDataLoss);
  EXPECT_EQ(restore(*backend, {state.begin(), state.end() - 1}), StatusCode::kDataLoss);
  EXPECT_EQ(restore(*backend, {state.begin(), state.end() - 16}), StatusCode::kDataLoss);
  for (size_t i = 0; i < state.size(); ++i) {
    std::vector<uint8_t> broken = state;
    broken[i] ^= 1;
    EXPECT_EQ(restore(*backend, broken), StatusCode::kDataLoss) << i;
  }
  auto shorter = model->NewBackend({.context_tokens = 2, .max_sequences = 2}).value();
  EXPECT_EQ(restore(*shorter, state), StatusCode::kDataLoss);
  auto other = NewFakeModel({.seed = 2})->NewBackend({.max_sequences = 2}).value();
  EXPECT_EQ(restore(*other, state), StatusCode::kDataLoss);
}

TEST(FakeModelTest, AdaptersChangeTheLogitsAndWrongReuseIsSeen) {
  const auto control = std::make_shared<FakeControl>();
  const auto model = NewFakeModel({.context_order = 1, .adapters = {{"a", 7}, {"b", 8}}}, control);
  EXPECT_EQ(model->LoadAdapter("c").status().code(), StatusCode::kNotFound);
  const auto a = model->LoadAdapter("a").value();
  const auto b = model->LoadAdapter("b").value();
  auto backend = model->NewBackend({}).value();
  auto run = [&](const LoadedAdapter* first, const LoadedAdapter* second, float scale = 1) {
    EXPECT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
    EXPECT_TRUE(backend->UseAdapter(first, scale).ok());
    LastLogits(*backend, {Row(3, 0)});
    EXPECT_TRUE(backend->UseAdapter(second, scale).ok());
    return LastLogits(*backend, {Row(4, 1), Row(5, 2)});
  };
  const auto base = run(nullptr, nullptr);
  EXPECT_EQ(control->adapter_switches, 0);
  const auto with_a = run(a.get(), a.get());
  EXPECT_EQ(control->adapter_switches, 1);
  EXPECT_NE(with_a, base);
  EXPECT_NE(run(b.get(), b.get()), base);
  EXPECT_NE(run(b.get(), b.get()), with_a);
  EXPECT_NE(run(a.get(), a.get(), 0.5f), with_a) << "another scale is another model";
  EXPECT_EQ(run(a.get(), a.get(), 0), base);
  EXPECT_NE(run(a.get(), nullptr), base) << "the first token was run with the adapter";
  EXPECT_NE(run(nullptr, a.get()), with_a);
  EXPECT_EQ(run(nullptr, nullptr), base);
  // A saved sequence remembers it as well.
  run(a.get(), a.get());
  const auto state = backend->SaveSequence(SequenceId{0}).value();
  const auto expected = LastLogits(*backend, {Row(6, 3)});
  ASSERT_TRUE(backend->Truncate(SequenceId{0}, 0).ok());
  ASSERT_TRUE(backend->RestoreSequence(SequenceId{0}, state).ok());
  EXPECT_EQ(LastLogits(*backend, {Row(6, 3)}), expected);
}

TEST(FakeModelTest, AdaptersOfOtherModelsAndGoneOnesAreRefused) {
  const FakeModelOptions options = {.adapters = {{"a", 7}}};
  auto model = NewFakeModel(options);
  auto backend = model->NewBackend({}).value();
  const auto foreign = NewFakeModel(options)->LoadAdapter("a").value();
  EXPECT_EQ(backend->UseAdapter(foreign.get(), 1).code(), StatusCode::kInvalidArgument);
  auto own = model->LoadAdapter("a").value();
  EXPECT_EQ(backend->UseAdapter(own.get(), std::numeric_limits<float>::infinity()).code(),
            StatusCode::kInvalidArgument);
  ASSERT_TRUE(backend->UseAdapter(own.get(), 1).ok());
  const std::weak_ptr<LoadedModel> weights = model;
  model.reset();
  EXPECT_FALSE(weights.expired()) << "the adapter keeps the weights";
  own.reset();
  const BatchRow row = Row(1, 0);
  EXPECT_EQ(backend->Decode({&row, 1}).status().code(), StatusCode::kInvalidArgument);
  backend.reset();
}

TEST(FakeModelTest, EveryCallCanBeMadeToFail) {
  const auto control = std::make_shared<FakeControl>();
  std::optional<FakeCall> failing;
  control->before_call = [&failing](FakeCall call) {
    return failing == call ? InternalError("injected") : OkStatus();
  };
  const auto model = NewFakeModel({.adapters = {{"a", 7}}}, control);
  const auto adapter = model->LoadAdapter("a").value();
  auto backend = model->NewBackend({.max_sequences = 2}).value();
  LastLogits(*backend, {Row(3, 0)});
  const auto state = backend->SaveSequence(SequenceId{0}).value();
  for (const FakeCall call : {FakeCall::kFork, FakeCall::kSaveSequence, FakeCall::kRestoreSequence,
                              FakeCall::kUseAdapter}) {
    failing = call;
    EXPECT_EQ(backend->Fork(SequenceId{0}, SequenceId{1}, 1).ok(), call != FakeCall::kFork);
    EXPECT_EQ(control->cells_in_use, 1);
    ASSERT_TRUE(backend->Truncate(SequenceId{1}, 0).ok());
    EXPECT_EQ(backend->SaveSequence(SequenceId{0}).ok(), call != FakeCall::kSaveSequence);
    EXPECT_EQ(backend->RestoreSequence(SequenceId{1}, state).ok(),
              call != FakeCall::kRestoreSequence);
    EXPECT_EQ(control->cells_in_use, call != FakeCall::kRestoreSequence ? 2 : 1);
    ASSERT_TRUE(backend->Truncate(SequenceId{1}, 0).ok());
    EXPECT_EQ(backend->UseAdapter(adapter.get(), 1).ok(), call != FakeCall::kUseAdapter);
  }
}

TEST(FakeModelTest, AForwardTakesItsTimeUnlessItIsAborted) {
  std::atomic<bool> abort{false};
  std::atomic<int32_t> slept_rows{0};
  const auto control = std::make_shared<FakeControl>();
  const auto model = NewFakeModel({.decode_time =
                                       [&](int32_t rows) {
                                         slept_rows += rows;
                                         return std::chrono::microseconds(rows * 100);
                                       }},
                                  control);
  auto backend = model->NewBackend({.should_abort = [&] { return abort.load(); }}).value();
  LastLogits(*backend, {Row(3, 0), Row(4, 1)});
  EXPECT_EQ(slept_rows, 2);
  control->before_decode = [&](int64_t, std::span<const BatchRow>) {
    abort = true;  // once the forward has begun
    return OkStatus();
  };
  const BatchRow row = Row(5, 2);
  EXPECT_EQ(backend->Decode({&row, 1}).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(control->decodes, 1);
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
