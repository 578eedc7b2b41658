// Injected failures, at every point of a generation: the promised outcome, and nothing left behind.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "unit/tenancy/fake_runtime.h"

namespace foretoken {
namespace {

constexpr int32_t kTokens = 24;

class FailuresTest : public testing::Test {
 protected:
  FailuresTest()
      : runtime_({.stream_capacity = 1, .prefix_reuse = false},
                 {{"target", {.seed = 1}}, {"draft", kDraft}}) {
    TenantConfig config = FakeTenant("a", "target", "draft");
    config.suffix_store_bytes = 0;  // or the second run's drafts would come from the first's answer
    tenant_ = runtime_.manager->AddTenant(config).value();
    GenerateRequest request = FakeRequest(kTokens);
    request.options.speculation = SpeculativeConfig{.mode = SpeculationMode::kOff};
    plain_ = tenant_->Generate(request).value();
  }

  FakeControl& target() { return *runtime_.controls["target"]; }
  FakeControl& draft() { return *runtime_.controls["draft"]; }

  // Fails the back end's `at`-th decode from now on, `count` times.
  static void Fail(FakeControl& control, int64_t at, int64_t count, const Status& status) {
    control.before_decode = [at, count, status, seen = int64_t{0}](
                                int64_t, std::span<const BatchRow>) mutable {
      const int64_t now = seen++;
      return now >= at && now < at + count ? status : OkStatus();
    };
  }

  GenerationResult Run(int32_t tokens = kTokens) {
    return Collect(*tenant_->GenerateStream(FakeRequest(tokens)).value());
  }

  void ExpectBaseline() {
    EXPECT_EQ(target().cells_in_use, 0);
    EXPECT_EQ(draft().cells_in_use, 0);
    target().before_decode = nullptr;
    draft().before_decode = nullptr;
    EXPECT_EQ(Run().text, plain_.text) << "the next request is not affected";
  }

  inline static const FakeModelOptions kDraft{.seed = 2, .quality = 0.8, .imitated_seed = 1};
  FakeRuntime runtime_;
  std::shared_ptr<TenantRuntime> tenant_;
  GenerationResult plain_;
};

TEST_F(FailuresTest, ADraftFailureAtAnyDecodeChangesNoToken) {
  for (const Status& status :
       {InternalError("broken"), ResourceExhaustedError("full"), InvalidArgumentError("odd")}) {
    for (int64_t at = 0; at < 12; ++at) {
      for (const int64_t count : {1, 1000}) {
        SCOPED_TRACE(fmt::format("{} at {} x {}", status.ToString(), at, count));
        Fail(draft(), at, count, status);
        const GenerationResult result = Run();
        EXPECT_TRUE(result.finish.status.ok());
        EXPECT_EQ(result.text, plain_.text);
        EXPECT_EQ(result.tokens.size(), plain_.tokens.size());
        EXPECT_EQ(result.finish.warnings.size(), 1u);
        ExpectBaseline();
      }
    }
  }
}

TEST_F(FailuresTest, ATargetFailureThatPassesIsOutlived) {
  for (int64_t at = 1; at < 8; ++at) {
    SCOPED_TRACE(at);
    Fail(target(), at, 1, ResourceExhaustedError("full"));
    const GenerationResult result = Run();
    // With a draft in it the round is repeated plainly; without, the generation ends.
    if (result.finish.status.ok()) {
      EXPECT_EQ(result.text, plain_.text);
    } else {
      EXPECT_EQ(result.finish.reason, FinishReason::kError);
      EXPECT_EQ(plain_.text.substr(0, result.text.size()), result.text);
    }
    ExpectBaseline();
  }
}

TEST_F(FailuresTest, ATargetFailureThatStaysEndsTheRequestAfterWhatWasCommitted) {
  for (int64_t at = 0; at < 6; ++at) {
    SCOPED_TRACE(at);
    Fail(target(), at, 1000, InternalError("broken"));
    const GenerationResult result = Run();
    EXPECT_EQ(result.finish.reason, FinishReason::kError);
    EXPECT_EQ(result.finish.status.code(), StatusCode::kInternal);
    EXPECT_GE(static_cast<int64_t>(result.tokens.size()), at);
    for (size_t i = 0; i < result.tokens.size(); ++i) {
      EXPECT_EQ(result.tokens[i].id, plain_.tokens[i].id);
    }
    EXPECT_EQ(tenant_->Generate(FakeRequest()).status().code(), StatusCode::kInternal);
    ExpectBaseline();
  }
}

TEST_F(FailuresTest, CancelAtAnyPointLeavesNothingBehind) {
  for (int events = 0; events < 10; ++events) {
    SCOPED_TRACE(events);
    auto stream = tenant_->GenerateStream(FakeRequest(kTokens)).value();
    std::string text;
    for (int i = 0; i < events; ++i) {
      const auto event = stream->Next();
      if (!event || std::holds_alternative<FinishedEvent>(*event)) break;
      text += std::get<TokensEvent>(*event).text;
    }
    stream->Cancel();
    text += Collect(*stream).text;
    EXPECT_EQ(plain_.text.substr(0, text.size()), text);
    stream.reset();
    ExpectBaseline();
  }
}

TEST_F(FailuresTest, CancelDuringAForwardAbortsIt) {
  auto stream = std::unique_ptr<GenerationStream>();
  target().before_decode = [&stream, calls = 0](int64_t, std::span<const BatchRow>) mutable {
    if (++calls == 3) stream->Cancel();
    return OkStatus();
  };
  // The queue holds one event: the third forward comes after the first was read.
  stream = tenant_->GenerateStream(FakeRequest(kTokens)).value();
  const GenerationResult result = Collect(*stream);
  EXPECT_EQ(result.finish.reason, FinishReason::kCancelled);
  EXPECT_EQ(result.finish.status.code(), StatusCode::kCancelled);
  ExpectBaseline();
}

}  // namespace
}  // namespace foretoken
