#include "engine/generation_run.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

class GenerationRunTest : public testing::Test {
 protected:
  GenerationRunTest()
      : control_(std::make_shared<FakeControl>()),
        model_(NewFakeModel({.end_of_text_logit = -9}, control_)),
        backend_(model_->NewBackend({}).value()),
        sequences_(*backend_) {
    request_.prompt = {1, 2, 3};
    request_.options.max_tokens = 30;
    request_.seed = 9;
    request_.policy = std::make_shared<DraftLengthPolicy>();
    request_.speculation.mode = SpeculationMode::kFixed;
  }

  GenerationResult Run() {
    auto channel = std::make_shared<StreamChannel>(1000);
    EXPECT_TRUE(channel->Start());
    channel->Finish(
        RunGeneration(request_, {"target", &model_->vocabulary(), &sequences_}, *channel));
    return Collect(*NewChannelStream(channel));
  }

  std::shared_ptr<FakeControl> control_;
  std::shared_ptr<LoadedModel> model_;
  std::unique_ptr<ModelBackend> backend_;
  SequencePool sequences_;
  EngineRequest request_;
};

TEST_F(GenerationRunTest, ReportsUsageTimingsSeedAndWarnings) {
  request_.warnings = {"from before"};
  const GenerationResult result = Run();
  EXPECT_TRUE(result.finish.status.ok());
  EXPECT_EQ(result.finish.usage.prompt_tokens, 3);
  EXPECT_EQ(result.finish.usage.completion_tokens, 30);
  EXPECT_EQ(result.finish.seed, 9u);
  EXPECT_EQ(result.finish.warnings, request_.warnings);
  EXPECT_GE(result.finish.timings.decode_ms, 0);
  EXPECT_EQ(result.finish.speculation.rounds + result.finish.speculation.accepted, 30);
}

TEST_F(GenerationRunTest, TextIsTheTokensTextAndStopsAreCutOut) {
  const std::string whole = Run().text;
  ASSERT_GT(whole.size(), 6u);
  // A stop inside the text: everything before it, nothing of it.
  const size_t letter = whole.find_first_of("abcdefgh", 6);
  ASSERT_NE(letter, std::string::npos);
  const std::string stop = whole.substr(letter, 1);
  const size_t at = whole.find(stop);
  request_.options.stop = {stop};
  const GenerationResult stopped = Run();
  EXPECT_EQ(stopped.text, whole.substr(0, at));
  EXPECT_EQ(stopped.finish.reason, FinishReason::kStop);
  std::string visible;
  for (const GeneratedToken& token : stopped.tokens) visible += token.text;
  EXPECT_EQ(visible, stopped.text);
}

TEST_F(GenerationRunTest, HeldBackTextIsReleasedAtTheEnd) {
  const std::string whole = Run().text;
  // The text ends with what might be the start of this stop string.
  request_.options.stop = {whole.substr(whole.size() - 1) + "never"};
  const GenerationResult result = Run();
  EXPECT_EQ(result.text, whole);
  EXPECT_EQ(result.finish.reason, FinishReason::kLength);
}

TEST_F(GenerationRunTest, AFailureIsReportedBesideWhatWasCommitted) {
  control_->before_decode = [](int64_t decode, std::span<const BatchRow>) {
    return decode == 4 ? InternalError("broken") : OkStatus();
  };
  request_.speculation.mode = SpeculationMode::kOff;
  const GenerationResult result = Run();
  EXPECT_EQ(result.finish.reason, FinishReason::kError);
  EXPECT_EQ(result.finish.status, InternalError("model target: broken"));
  EXPECT_EQ(result.tokens.size(), 4u);
  EXPECT_EQ(sequences_.used(), 0);
  EXPECT_EQ(control_->cells_in_use, 0);
}

TEST_F(GenerationRunTest, LogprobsComeWithEveryToken) {
  request_.options.logprobs = 2;
  for (const GeneratedToken& token : Run().tokens) {
    ASSERT_TRUE(token.logprob.has_value());
    EXPECT_LE(*token.logprob, 0.0f);
    ASSERT_EQ(token.top_logprobs.size(), 2u);
    EXPECT_GE(token.top_logprobs[0].logprob, token.top_logprobs[1].logprob);
  }
}

}  // namespace
}  // namespace foretoken
