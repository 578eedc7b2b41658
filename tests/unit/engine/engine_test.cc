#include "engine/engine.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

EngineRequest Request(std::vector<TokenId> prompt = {1, 2, 3}, int32_t max_tokens = 8) {
  EngineRequest request;
  request.prompt = std::move(prompt);
  request.options.max_tokens = max_tokens;
  request.options.ignore_end_of_text = true;
  request.seed = 3;
  request.policy = std::make_shared<DraftLengthPolicy>();
  return request;
}

class EngineTest : public testing::Test {
 protected:
  EngineTest() : control_(std::make_shared<FakeControl>()) {}

  std::unique_ptr<Engine> NewEngine(FakeModelOptions model = {}, int32_t stream_capacity = 256) {
    EngineOptions options;
    options.target_id = "target";
    options.stream_capacity = stream_capacity;
    return Engine::Create(NewFakeModel(model, control_), options).value();
  }

  std::shared_ptr<FakeControl> control_;
};

TEST_F(EngineTest, RequestsRunOneAfterTheOtherAndIndependently) {
  const auto engine = NewEngine();
  std::vector<std::unique_ptr<GenerationStream>> streams;
  for (int i = 0; i < 5; ++i)
    streams.push_back(NewChannelStream(engine->Submit(Request()).value()));
  const GenerationResult first = Collect(*streams[0]);
  EXPECT_EQ(first.tokens.size(), 8u);
  EXPECT_EQ(first.finish.reason, FinishReason::kLength);
  EXPECT_EQ(first.finish.usage.prompt_tokens, 3);
  EXPECT_EQ(first.finish.usage.completion_tokens, 8);
  for (size_t i = 1; i < streams.size(); ++i) EXPECT_EQ(Collect(*streams[i]).text, first.text);
  EXPECT_EQ(control_->cells_in_use, 0);
}

TEST_F(EngineTest, PromptsThatCannotRunAreRefusedAtOnce) {
  const auto engine = NewEngine({.context_tokens = 10});
  EXPECT_EQ(engine->Submit(Request({})).status().code(), StatusCode::kInvalidArgument);
  const Status status = engine->Submit(Request(std::vector<TokenId>(10, 1))).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("10 tokens"), std::string::npos);
  EXPECT_EQ(control_->decodes, 0);
}

TEST_F(EngineTest, CancelEndsARunningGenerationThatNobodyReads) {
  const auto engine = NewEngine({.context_tokens = 64}, 1);
  auto running = NewChannelStream(engine->Submit(Request({1}, 60)).value());
  auto waiting = NewChannelStream(engine->Submit(Request()).value());
  ASSERT_TRUE(running->Next().has_value());
  waiting->Cancel();  // before its turn
  EXPECT_EQ(Collect(*waiting).finish.reason, FinishReason::kCancelled);
  running->Cancel();
  const GenerationResult result = Collect(*running);
  EXPECT_EQ(result.finish.reason, FinishReason::kCancelled);
  EXPECT_LT(result.tokens.size(), 60u);
  auto next = NewChannelStream(engine->Submit(Request()).value());
  EXPECT_EQ(Collect(*next).finish.reason, FinishReason::kLength);
  EXPECT_EQ(control_->cells_in_use, 0);
}

TEST_F(EngineTest, DestroyingItEndsEveryStream) {
  auto engine = NewEngine({}, 1);
  std::vector<std::unique_ptr<GenerationStream>> streams;
  for (int i = 0; i < 3; ++i) {
    streams.push_back(NewChannelStream(engine->Submit(Request({1}, 60)).value()));
  }
  ASSERT_TRUE(streams[0]->Next().has_value());
  engine.reset();
  for (const auto& stream : streams) {
    EXPECT_EQ(Collect(*stream).finish.reason, FinishReason::kCancelled);
  }
  EXPECT_EQ(control_->live_backends, 0);
}

TEST_F(EngineTest, ADraftOfAnotherTokenizerIsRefusedWithTheReason) {
  const auto engine = NewEngine();
  const auto other = NewFakeModel({.vocabulary_tag = "other"});
  const auto draft = engine->NewDraftContext("other", other, {});
  EXPECT_EQ(draft.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(draft.status().message().find("token 0"), std::string::npos);
  const auto recurrent = NewFakeModel({.can_truncate = false});
  EXPECT_EQ(engine->NewDraftContext("recurrent", recurrent, {}).status().code(),
            StatusCode::kFailedPrecondition);
  const auto recurrent_target = NewEngine({.can_truncate = false});
  EXPECT_EQ(recurrent_target->NewDraftContext("draft", NewFakeModel({}), {}).status().code(),
            StatusCode::kFailedPrecondition);
}

TEST_F(EngineTest, ADraftContextMayOutliveTheEngine) {
  auto engine = NewEngine();
  auto draft = engine->NewDraftContext("draft", NewFakeModel({}), {}).value();
  EngineRequest request = Request();
  request.draft = draft;
  request.speculation.mode = SpeculationMode::kFixed;
  auto stream = NewChannelStream(engine->Submit(std::move(request)).value());
  EXPECT_GT(Collect(*stream).finish.speculation.accepted, 0);
  stream.reset();
  engine.reset();
  EXPECT_EQ(draft->sequences().used(), 0);
}

}  // namespace
}  // namespace foretoken
