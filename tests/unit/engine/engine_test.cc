#include "engine/engine.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

using Stream = std::unique_ptr<GenerationStream>;

class EngineTest : public testing::Test {
 protected:
  std::unique_ptr<Engine> NewEngine(const FakeModelOptions& model = {},
                                    const RuntimeOptions& runtime = {},
                                    int32_t kv_cache_tokens = 0) {
    EngineOptions options;
    options.target_id = "target";
    options.backend.kv_cache_tokens = kv_cache_tokens;
    options.backend.threads = 2;
    options.runtime = runtime;
    model_ = NewFakeModel(model, control_);
    return Engine::Create(model_, options).value();
  }

  EngineRequest NewRequest(std::vector<TokenId> prompt = {1, 2, 3}, int32_t max_tokens = 8,
                           uint64_t tenant = 1) {
    EngineRequest request;
    request.prompt = std::move(prompt);
    request.options.max_tokens = max_tokens;
    request.options.ignore_end_of_text = true;
    request.speculation.mode = SpeculationMode::kOff;
    request.seed = 3;
    request.tenant = std::make_shared<TenantState>();
    request.tenant->key = TenantKey{tenant};
    return request;
  }
  static Stream Submit(Engine& engine, EngineRequest request) {
    return NewChannelStream(engine.Submit(std::move(request)).value());
  }
  static std::shared_ptr<DraftContext> NewDraft(Engine& engine,
                                                const std::shared_ptr<LoadedModel>& model) {
    return engine.DraftContextFor("draft", model, {.context_tokens = 64}).value();
  }

  std::shared_ptr<FakeControl> control_ = std::make_shared<FakeControl>();
  std::shared_ptr<LoadedModel> model_;
};

TEST_F(EngineTest, RequestsRunTogetherAndIndependently) {
  const auto engine = NewEngine({}, {}, 1000);
  std::vector<Stream> streams;
  for (uint64_t i = 0; i < 5; ++i) {
    streams.push_back(Submit(*engine, NewRequest({1, 2, 3}, 8, 1 + i % 2)));
  }
  const GenerationResult first = Collect(*streams[0]);
  EXPECT_EQ(first.tokens.size(), 8u);
  EXPECT_EQ(first.finish.reason, FinishReason::kLength);
  EXPECT_EQ(first.finish.usage.prompt_tokens, 3);
  EXPECT_EQ(first.finish.usage.completion_tokens, 8);
  for (size_t i = 1; i < streams.size(); ++i) EXPECT_EQ(Collect(*streams[i]).text, first.text);
  EXPECT_EQ(engine->Metrics().total.submitted_requests, 5);
  EXPECT_EQ(engine->Metrics().total.completion_tokens, 40);
}

TEST_F(EngineTest, WithoutAThreadThereIsNoEngine) {
  model_ = NewFakeModel({}, control_);
  pthread_attr_t usual;
  ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
  // More than there are addresses.
  pthread_attr_t endless;
  ASSERT_EQ(pthread_attr_init(&endless), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&endless, size_t{1} << 60), 0);
  ASSERT_EQ(pthread_setattr_default_np(&endless), 0);
  const auto engine = Engine::Create(model_, {.target_id = "target", .backend = {.threads = 2}});
  ASSERT_EQ(pthread_setattr_default_np(&usual), 0);
  pthread_attr_destroy(&endless);
  pthread_attr_destroy(&usual);
  EXPECT_EQ(engine.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(engine.status().message().find("no thread for the engine of target"),
            std::string::npos);
  EXPECT_EQ(control_->live_backends, 0);
}

TEST_F(EngineTest, PromptsThatCannotRunAreRefusedAtOnce) {
  const auto engine = NewEngine({.context_tokens = 10});
  EXPECT_EQ(engine->Submit(NewRequest({})).status().code(), StatusCode::kInvalidArgument);
  const Status status = engine->Submit(NewRequest(std::vector<TokenId>(10, 1))).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("10 tokens"), std::string::npos);
  EXPECT_EQ(control_->decodes, 0);
}

TEST_F(EngineTest, CancelEndsARunningGenerationThatNobodyReads) {
  const auto engine = NewEngine({}, {.stream_capacity = 1, .max_running = 1});
  const Stream running = Submit(*engine, NewRequest({1}, 60));
  const Stream waiting = Submit(*engine, NewRequest());
  ASSERT_TRUE(running->Next().has_value());
  waiting->Cancel();  // before its turn
  EXPECT_EQ(Collect(*waiting).finish.reason, FinishReason::kCancelled);
  running->Cancel();
  const GenerationResult result = Collect(*running);
  EXPECT_EQ(result.finish.reason, FinishReason::kCancelled);
  EXPECT_LT(result.tokens.size(), 60u);
  EXPECT_EQ(Collect(*Submit(*engine, NewRequest())).finish.reason, FinishReason::kLength);
}

TEST_F(EngineTest, AReaderThatDoesNotReadEndsItsOwnGenerationOnly) {
  const auto engine = NewEngine({}, {.stream_capacity = 1, .slow_reader_ms = 20});
  const Stream slow = Submit(*engine, NewRequest({1}, 60));
  EXPECT_EQ(Collect(*Submit(*engine, NewRequest({2}))).finish.reason, FinishReason::kLength);
  std::optional<StreamEvent> event = slow->Next();
  // The engine ends it by itself; until then there is nothing to wait for but that.
  while (engine->Metrics().total.finished_requests.count(FinishReason::kCancelled) == 0) {
    std::this_thread::yield();
  }
  const GenerationResult result = Collect(*slow);
  EXPECT_EQ(result.finish.reason, FinishReason::kCancelled);
  EXPECT_NE(result.finish.status.message().find("20 ms"), std::string::npos);
}

TEST_F(EngineTest, ADeadlineEndsAGenerationWithWhatItHas) {
  FakeModelOptions model;
  model.decode_time = [](int32_t) { return std::chrono::milliseconds(5); };
  const auto engine = NewEngine(model);
  EngineRequest request = NewRequest({1}, 60);
  request.options.deadline_ms = 40;
  const GenerationResult result = Collect(*Submit(*engine, std::move(request)));
  EXPECT_EQ(result.finish.reason, FinishReason::kCancelled);
  EXPECT_EQ(result.finish.status, DeadlineExceededError("the request's deadline of 40 ms is over"));
  EXPECT_LT(result.tokens.size(), 60u);
}

TEST_F(EngineTest, ADeadlineBeyondTheEndOfTimeIsNone) {
  const auto engine = NewEngine();
  EngineRequest request = NewRequest();
  request.options.deadline_ms = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(Collect(*Submit(*engine, std::move(request))).finish.reason, FinishReason::kLength);
}

TEST_F(EngineTest, DestroyingItEndsEveryStream) {
  // A cache for one of them, so that others are paused or wait.
  auto engine = NewEngine({}, {.stream_capacity = 1, .max_running = 4}, 64);
  std::vector<Stream> streams;
  for (TokenId i = 0; i < 8; ++i) {
    streams.push_back(Submit(*engine, NewRequest({static_cast<TokenId>(i + 1)}, 60)));
  }
  for (int event = 0; event < 20; ++event) ASSERT_TRUE(streams[0]->Next().has_value());
  engine.reset();
  for (const Stream& stream : streams) {
    const GenerationResult result = Collect(*stream);
    EXPECT_EQ(result.finish.reason, FinishReason::kCancelled);
    EXPECT_EQ(result.finish.status.code(), StatusCode::kCancelled);
  }
  EXPECT_EQ(control_->live_backends, 0);
  EXPECT_EQ(control_->cells_in_use, 0);
}

TEST_F(EngineTest, DestroyingItAbortsTheForwardThatRuns) {
  FakeModelOptions model;
  model.decode_time = [](int32_t) { return std::chrono::hours(1); };
  auto engine = NewEngine(model);
  const Stream stream = Submit(*engine, NewRequest());
  engine.reset();
  EXPECT_EQ(Collect(*stream).finish.reason, FinishReason::kCancelled);
}

TEST_F(EngineTest, CancellingAllOfAForwardsRequestsAbortsIt) {
  FakeModelOptions model;
  model.decode_time = [](int32_t) { return std::chrono::hours(1); };
  const auto engine = NewEngine(model);
  const Stream first = Submit(*engine, NewRequest());
  const Stream second = Submit(*engine, NewRequest());
  first->Cancel();
  second->Cancel();
  EXPECT_EQ(Collect(*first).finish.reason, FinishReason::kCancelled);
  EXPECT_EQ(Collect(*second).finish.reason, FinishReason::kCancelled);
}

TEST_F(EngineTest, AForgottenTenantLeavesNothing) {
  const auto engine = NewEngine({}, {.stream_capacity = 1}, 1000);
  Collect(*Submit(*engine, NewRequest({1, 2, 3}, 1)));
  const Stream running = Submit(*engine, NewRequest({1, 2, 3}, 60));
  const Stream other = Submit(*engine, NewRequest({1, 2, 3}, 60, 2));
  ASSERT_TRUE(running->Next().has_value());
  ASSERT_TRUE(other->Next().has_value());
  engine->ForgetTenant(TenantKey{1});
  EXPECT_EQ(Collect(*running).finish.status, CancelledError("the tenant was removed"));
  const GenerationResult result = Collect(*other);
  EXPECT_EQ(result.finish.reason, FinishReason::kLength);
  // A request of the same tenant finds nothing of what it was.
  const Stream again = Submit(*engine, NewRequest({1, 2, 3}, 1));
  EXPECT_EQ(Collect(*again).finish.usage.cached_prompt_tokens, 0);
  engine->ForgetTenant(TenantKey{1});
  engine->ForgetTenant(TenantKey{2});
  EXPECT_EQ(control_->cells_in_use, 0);
  engine->ForgetTenant(TenantKey{7});  // nobody knows it
}

TEST_F(EngineTest, AForgottenTenantsAdapterIsLetGo) {
  FakeModelOptions model;
  model.adapters = {{"formal", 5}};
  const auto engine = NewEngine(model);
  const auto plain = Collect(*Submit(*engine, NewRequest())).text;
  EngineRequest request = NewRequest({1, 2, 3}, 8, 2);
  auto weights = model_->LoadAdapter("formal").value();
  const std::weak_ptr<LoadedAdapter> life = weights;
  request.adapter = std::make_shared<const EngineAdapter>(
      EngineAdapter{.id = "formal", .weights = std::move(weights)});
  EXPECT_NE(Collect(*Submit(*engine, std::move(request))).text, plain);
  engine->ForgetTenant(TenantKey{2});
  EXPECT_TRUE(life.expired());
  EXPECT_EQ(Collect(*Submit(*engine, NewRequest())).text, plain);
}

// What is in use is told by the adapter, not by where in memory it is.
TEST_F(EngineTest, AnAdapterIsNotTakenForOneThatIsGone) {
  FakeModelOptions model;
  model.adapters = {{"formal", 5}, {"casual", 6}};
  const auto engine = NewEngine(model);
  std::vector<std::string> texts;
  for (int round = 0; round < 20; ++round) {
    const std::string id = round % 2 == 0 ? "formal" : "casual";
    EngineRequest request = NewRequest({1, 2, 3}, 8, 10 + static_cast<uint64_t>(round));
    request.adapter = std::make_shared<const EngineAdapter>(
        EngineAdapter{.id = id, .weights = model_->LoadAdapter(id).value()});
    const GenerationResult result = Collect(*Submit(*engine, std::move(request)));
    ASSERT_TRUE(result.finish.status.ok()) << result.finish.status.ToString();
    texts.push_back(result.text);
  }
  for (size_t i = 2; i < texts.size(); ++i) EXPECT_EQ(texts[i], texts[i - 2]);
  EXPECT_NE(texts[0], texts[1]);
}

TEST_F(EngineTest, ADraftOfAnotherTokenizerIsRefusedWithTheReason) {
  const auto engine = NewEngine();
  const auto other = NewFakeModel({.vocabulary_tag = "other"});
  const auto draft = engine->DraftContextFor("other", other, {});
  EXPECT_EQ(draft.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(draft.status().message().find("token 0"), std::string::npos);
  const auto recurrent = NewFakeModel({.can_truncate = false});
  EXPECT_EQ(engine->DraftContextFor("recurrent", recurrent, {}).status().code(),
            StatusCode::kFailedPrecondition);
  const auto recurrent_target = NewEngine({.can_truncate = false});
  EXPECT_EQ(recurrent_target->DraftContextFor("draft", NewFakeModel({}), {}).status().code(),
            StatusCode::kFailedPrecondition);
}

TEST_F(EngineTest, ADraftContextIsSharedWhileSomeoneHoldsIt) {
  const auto engine = NewEngine();
  const auto control = std::make_shared<FakeControl>();
  const auto model = NewFakeModel({}, control);
  auto first = engine->DraftContextFor("draft", model, {.context_tokens = 64}).value();
  EXPECT_EQ(engine->DraftContextFor("draft", model, {.context_tokens = 64}).value(), first);
  auto shorter = engine->DraftContextFor("draft", model, {.context_tokens = 32}).value();
  EXPECT_NE(shorter, first);
  EXPECT_NE(shorter->cost_id(), first->cost_id());
  EXPECT_EQ(control->live_backends, 2);
  first.reset();
  shorter.reset();
  EXPECT_EQ(control->live_backends, 0);
  EXPECT_NE(engine->DraftContextFor("draft", model, {.context_tokens = 64}).value(), nullptr);
}

TEST_F(EngineTest, ADraftContextMayOutliveTheEngine) {
  auto engine = NewEngine();
  const auto draft = NewDraft(*engine, NewFakeModel({}));
  EngineRequest request = NewRequest();
  request.draft = draft;
  request.speculation.mode = SpeculationMode::kFixed;
  Stream stream = Submit(*engine, std::move(request));
  EXPECT_GT(Collect(*stream).finish.speculation.accepted, 0);
  stream.reset();
  engine.reset();
  EXPECT_EQ(draft->sequences().used(), 0);
}

TEST_F(EngineTest, ThreadsMaySubmitReadAndCancelAtOnce) {
  const auto engine = NewEngine({}, {.stream_capacity = 2, .max_running = 4}, 128);
  const std::string expected = Collect(*Submit(*engine, NewRequest({1, 2}, 20))).text;
  std::atomic<int> whole{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const Stream stream = Submit(*engine, NewRequest({1, 2}, 20, t));
        if (i % 5 == 4) stream->Cancel();
        const GenerationResult result = Collect(*stream);
        if (result.finish.reason == FinishReason::kLength) {
          EXPECT_EQ(result.text, expected);
          ++whole;
        }
        if (i % 10 == 9) engine->ForgetTenant(TenantKey{t});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(whole, 80);
}

}  // namespace
}  // namespace foretoken
