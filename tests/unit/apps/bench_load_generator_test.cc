#include "bench_load_generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

namespace foretoken {
namespace {

// What the streams of a FakeTenant do, and what they have seen.
struct Script {
  int32_t tokens = 3;     // of each answer; negative: until cancelled
  int64_t fails_at = -1;  // the number of the request whose generation fails
  int64_t refuses = -1;   // the number of the request that is refused
  int32_t waits_for = 0;  // no token comes until so many have been running at once
  std::atomic<int64_t> requests{0};
  std::atomic<int32_t> running{0};
  std::atomic<int32_t> most_running{0};
  std::atomic<int32_t> cancelled{0};
};

class ScriptedStream : public GenerationStream {
 public:
  ScriptedStream(Script& script, TokenId prompt, bool fails)
      : script_(script), prompt_(prompt), fails_(fails) {
    const int32_t running = ++script_.running;
    int32_t most = script_.most_running;
    while (running > most && !script_.most_running.compare_exchange_weak(most, running)) {
    }
  }
  ~ScriptedStream() override { --script_.running; }

  std::optional<StreamEvent> Next() override {
    if (finished_) return std::nullopt;
    do {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } while (script_.most_running < script_.waits_for);
    if (!is_cancelled_ && sent_ != script_.tokens) {
      ++sent_;
      TokensEvent event;
      event.tokens.emplace_back().id = 100 * prompt_ + sent_;
      return event;
    }
    finished_ = true;
    FinishedEvent finish;
    finish.reason = FinishReason::kLength;
    if (is_cancelled_) {
      finish.reason = FinishReason::kCancelled;
      finish.status = CancelledError("cancelled");
    } else if (fails_) {
      finish.reason = FinishReason::kError;
      finish.status = InternalError("broken");
    }
    return finish;
  }
  std::optional<StreamEvent> TryNext() override { return Next(); }
  void NotifyWhenReady(std::function<void()> ready) override { ready(); }
  void Cancel() override {
    if (!is_cancelled_.exchange(true)) ++script_.cancelled;
  }

 private:
  Script& script_;
  const TokenId prompt_;
  const bool fails_;
  int32_t sent_ = 0;
  bool finished_ = false;
  std::atomic<bool> is_cancelled_{false};
};

class FakeTenant : public TenantRuntime {
 public:
  explicit FakeTenant(Script& script) : script_(script) {}
  const TenantConfig& config() const override { return config_; }
  Status draft_ready() const override { return OkStatus(); }
  const TargetInfo& target_info() const override { return info_; }
  const Tokenizer& tokenizer() const override { return tokenizer_; }
  TenantMetrics Metrics() const override { return {}; }
  Status AddPublicPrefix(const PromptContent&) override { return OkStatus(); }
  Result<std::unique_ptr<GenerationStream>> GenerateStream(GenerateRequest request) override {
    const int64_t number = script_.requests++;
    if (number == script_.refuses) return InvalidArgumentError("refused");
    return std::unique_ptr<GenerationStream>(std::make_unique<ScriptedStream>(
        script_, std::get<std::vector<TokenId>>(request.prompt).front(),
        number == script_.fails_at));
  }

 private:
  class NoTokenizer : public Tokenizer {
    Result<std::vector<TokenId>> Tokenize(const PromptContent&, bool) const override {
      return UnimplementedError("not here");
    }
    std::string TokenBytes(TokenId) const override { return {}; }
    std::string TokenText(TokenId) const override { return {}; }
    Result<std::unique_ptr<ReplyParser>> NewReplyParser(const ChatPrompt&) const override {
      return UnimplementedError("not here");
    }
  };

  Script& script_;
  TenantConfig config_;
  TargetInfo info_;
  NoTokenizer tokenizer_;
};

std::vector<GenerateRequest> Requests(TokenId count) {
  std::vector<GenerateRequest> requests;
  for (TokenId i = 0; i < count; ++i) requests.push_back({.prompt = std::vector{i}, .options = {}});
  return requests;
}

std::vector<size_t> Numbers(size_t count) {
  std::vector<size_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

// Every answer is its prompt's, in order, and lies in time as an answer must.
void ExpectWholeAnswers(const LoadRecord& record, size_t prompts, int32_t tokens) {
  std::map<size_t, int> seen;
  for (const LoadAnswer& answer : record.answers) {
    ++seen[answer.prompt];
    ASSERT_EQ(answer.tokens.size(), static_cast<size_t>(tokens));
    double before = answer.due_ms;
    for (int32_t i = 0; i < tokens; ++i) {
      const auto at = static_cast<size_t>(i);
      EXPECT_EQ(answer.tokens[at], 100 * static_cast<TokenId>(answer.prompt) + i + 1);
      EXPECT_EQ(answer.arrivals[at].tokens, 1);
      EXPECT_GE(answer.arrivals[at].at_ms, before);
      before = answer.arrivals[at].at_ms;
    }
  }
  EXPECT_EQ(seen.size(), prompts);
  for (const auto& [prompt, count] : seen) EXPECT_EQ(count, 1) << prompt;
}

TEST(BenchLoadGeneratorTest, AClosedLoadKeepsEveryClientBusyAndNoMore) {
  Script script;
  script.waits_for = 3;
  FakeTenant tenant(script);
  const std::vector<GenerateRequest> requests = Requests(12);
  ClosedLoad load;
  load.requests = requests;
  load.clients = {{&tenant, 0}, {&tenant, 1}, {&tenant, 0}};
  load.queue = Numbers(12);
  const auto record = RunClosedLoad(load);
  ASSERT_TRUE(record.ok()) << record.status().message();
  ExpectWholeAnswers(*record, 12, 3);
  EXPECT_EQ(script.most_running, 3);
  EXPECT_EQ(script.cancelled, 0);
  // The window ends when the first client runs dry: after all were sent, before the last ended.
  EXPECT_LE(record->window_begin_ms, record->window_end_ms);
  for (const LoadAnswer& answer : record->answers) {
    EXPECT_LE(answer.due_ms, record->window_end_ms);
    EXPECT_LT(answer.tenant, 2u);
  }
  EXPECT_GE(record->answers.back().arrivals.back().at_ms,
            record->answers.front().arrivals.back().at_ms);
}

TEST(BenchLoadGeneratorTest, AFloodLastsUntilTheQueueIsAnsweredAndIsCutOffThen) {
  Script quiet;
  Script flooding;
  flooding.tokens = -1;
  flooding.waits_for = 5;
  FakeTenant quiet_tenant(quiet);
  FakeTenant flooding_tenant(flooding);
  const std::vector<GenerateRequest> requests = Requests(4);
  ClosedLoad load;
  load.requests = requests;
  load.clients = {{&quiet_tenant, 0}};
  load.queue = Numbers(3);
  load.flood.assign(5, {&flooding_tenant, 1});
  load.flood_queue = {3};
  const auto record = RunClosedLoad(load);
  ASSERT_TRUE(record.ok()) << record.status().message();
  EXPECT_EQ(quiet.most_running, 1);
  EXPECT_EQ(flooding.most_running, 5);
  EXPECT_EQ(flooding.cancelled, 5);
  EXPECT_EQ(flooding.running, 0);
  LoadRecord answers = *record;
  int32_t cut_off = 0;
  double first_token_ms = 1e9;
  std::erase_if(answers.answers, [&](const LoadAnswer& answer) {
    if (answer.tenant == 0) return false;
    cut_off += answer.finish.reason == FinishReason::kCancelled ? 1 : 0;
    if (!answer.arrivals.empty()) {
      first_token_ms = std::min(first_token_ms, answer.arrivals.front().at_ms);
    }
    return true;
  });
  EXPECT_EQ(cut_off, 5);
  ExpectWholeAnswers(answers, 3, 3);
  EXPECT_LE(first_token_ms, record->window_begin_ms) << "the flood comes first";
}

TEST(BenchLoadGeneratorTest, AFloodThatEndsItsAnswersStartsThemAgain) {
  Script quiet;
  quiet.tokens = 40;
  Script flooding;
  flooding.tokens = 1;
  FakeTenant quiet_tenant(quiet);
  FakeTenant flooding_tenant(flooding);
  const std::vector<GenerateRequest> requests = Requests(2);
  ClosedLoad load;
  load.requests = requests;
  load.clients = {{&quiet_tenant, 0}};
  load.queue = {0};
  load.flood = {{&flooding_tenant, 1}};
  load.flood_queue = {1};
  ASSERT_TRUE(RunClosedLoad(load).ok());
  EXPECT_GT(flooding.requests, 2);
}

TEST(BenchLoadGeneratorTest, TheFirstFailureEndsTheLoad) {
  for (const bool refused : {false, true}) {
    for (const bool in_flood : {false, true}) {
      Script quiet;
      Script flooding;
      flooding.tokens = -1;
      (in_flood ? flooding.refuses : refused ? quiet.refuses : quiet.fails_at) = 1;
      FakeTenant quiet_tenant(quiet);
      FakeTenant flooding_tenant(flooding);
      const std::vector<GenerateRequest> requests = Requests(1);
      ClosedLoad load;
      load.requests = requests;
      load.clients = {{&quiet_tenant, 0}};
      load.queue.assign(1000, 0);
      load.flood.assign(2, {&flooding_tenant, 1});
      load.flood_queue = {0};
      const auto record = RunClosedLoad(load);
      ASSERT_FALSE(record.ok());
      EXPECT_EQ(record.status().message(), in_flood || refused ? "refused" : "broken");
      EXPECT_LT(quiet.requests, 1000);
      EXPECT_EQ(quiet.running + flooding.running, 0);
    }
  }
}

TEST(BenchLoadGeneratorTest, AnOpenLoadSendsOnTimeWhateverRuns) {
  Script script;
  script.waits_for = 6;  // no answer begins before the last request has come
  FakeTenant tenant(script);
  const std::vector<GenerateRequest> requests = Requests(6);
  OpenLoad load;
  load.requests = requests;
  load.senders = {{&tenant, 0}, {&tenant, 1}};
  load.queue = Numbers(6);
  load.due_ms = {0, 1, 1, 2, 3, 4};
  const auto record = RunOpenLoad(load);
  ASSERT_TRUE(record.ok()) << record.status().message();
  ExpectWholeAnswers(*record, 6, 3);
  double last_ms = 0;
  for (const LoadAnswer& answer : record->answers) {
    EXPECT_EQ(answer.due_ms, load.due_ms[answer.prompt]) << "as planned, not as sent";
    EXPECT_EQ(answer.tenant, answer.prompt % 2);
    last_ms = std::max(last_ms, answer.arrivals.back().at_ms);
  }
  EXPECT_EQ(record->window_begin_ms, 0);
  EXPECT_GE(record->window_end_ms, last_ms);

  script.refuses = script.requests;
  EXPECT_EQ(RunOpenLoad(load).status().message(), "refused");
}

TEST(BenchLoadGeneratorTest, ArrivalsFollowThePoissonLaw) {
  constexpr size_t kCount = 20000;
  const std::vector<double> due = PoissonArrivals(50, kCount, 7);
  EXPECT_EQ(due, PoissonArrivals(50, kCount, 7));
  EXPECT_NE(due, PoissonArrivals(50, kCount, 8));
  EXPECT_EQ(due.front(), 0);
  double sum = 0;
  double above_mean = 0;
  for (size_t i = 1; i < kCount; ++i) {
    const double gap = due[i] - due[i - 1];
    ASSERT_GE(gap, 0);
    sum += gap;
    above_mean += gap > 20 ? 1 : 0;
  }
  const auto gaps = static_cast<double>(kCount - 1);
  // Four standard errors; the exponential law's deviation is its mean, and e^-1 lies above it.
  EXPECT_NEAR(sum / gaps, 20, 4 * 20 / std::sqrt(gaps));
  EXPECT_NEAR(above_mean / gaps, std::exp(-1), 4 * 0.4822 / std::sqrt(gaps));
}

}  // namespace
}  // namespace foretoken
