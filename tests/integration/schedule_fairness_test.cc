// Tenants share an engine by weight, counted in forwards of the target and not in seconds.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "integration/schedule_fixture.h"
#include "unit/tenancy/fake_runtime.h"

namespace foretoken {
namespace {

constexpr int32_t kAnswerTokens = 20;
constexpr int32_t kPromptTokens = 8;
constexpr int32_t kMaxRunning = 8;

using Tokens = std::vector<TokenId>;
using Streams = std::vector<std::unique_ptr<GenerationStream>>;

class FairnessTest : public testing::Test {
 protected:
  FairnessTest()
      // Streams hold whole answers: nobody needs to read while the engine runs.
      : runtime_({.stream_capacity = 256, .max_running = kMaxRunning, .prefix_reuse = false},
                 {{kTargetPath, Target()}}) {}

  static FakeModelOptions Target() {
    FakeModelOptions target;
    target.max_batch_rows = 256;
    target.max_logits_rows = 256;
    return target;
  }

  void AddTenant(const std::string& name, double weight) {
    TenantConfig tenant = FakeTenant(name, kTargetPath);
    tenant.speculation.mode = SpeculationMode::kOff;
    tenant.weight = weight;
    tenant.target.context_tokens = 64;
    tenant.target.kv_cache_tokens = 64 * kMaxRunning;
    ASSERT_TRUE(runtime_.manager->AddTenant(tenant).ok());
  }

  // Prompts are all different: the number, in digits of base 8.
  static Tokens Prompt(int32_t number) {
    Tokens prompt;
    for (int32_t i = 0; i < kPromptTokens; ++i, number /= 8) prompt.push_back(1 + number % 8);
    return prompt;
  }

  std::unique_ptr<GenerationStream> Submit(const std::string& tenant, int32_t number) {
    GenerateRequest request = FakeRequest(kAnswerTokens);
    request.prompt = Prompt(number);
    return runtime_.manager->GenerateStream(tenant, request).value();
  }

  FakeControl& target() { return *runtime_.controls[kTargetPath]; }

  const Watchdog watchdog_{"fairness"};
  FakeRuntime runtime_;
};

// The engine stands still at a forward while the test does something.
class Barrier {
 public:
  explicit Barrier(int64_t forward) : forward_(forward) {}

  void BeforeForward() {
    std::unique_lock lock(mutex_);
    if (++forwards_ != forward_) return;
    reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void AwaitReached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return reached_; });
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  const int64_t forward_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t forwards_ = 0;
  bool reached_ = false;
  bool open_ = false;
};

TEST_F(FairnessTest, BackloggedTenantsGetTokensByWeight) {
  AddTenant("light", 1);
  AddTenant("heavy", 3);
  Barrier start(1);
  Barrier end(800);
  target().before_decode = [&](int64_t, std::span<const BatchRow>) {
    start.BeforeForward();
    end.BeforeForward();
    return OkStatus();
  };
  Streams light;
  Streams heavy;
  for (int32_t i = 0; i < 300; ++i) {
    light.push_back(Submit("light", i));
    heavy.push_back(Submit("heavy", i));
  }
  start.AwaitReached();
  start.Open();
  end.AwaitReached();
  for (Streams* streams : {&light, &heavy}) {
    for (const auto& stream : *streams) stream->Cancel();
  }
  end.Open();

  const auto committed = [](const Streams& streams) {
    int64_t tokens = 0;
    for (const auto& stream : streams) tokens += Collect(*stream).finish.usage.completion_tokens;
    return tokens;
  };
  const int64_t light_tokens = committed(light);
  const int64_t heavy_tokens = committed(heavy);
  // Both had requests waiting to the end, and the engine had no idle place.
  EXPECT_LT(heavy_tokens, 300 * kAnswerTokens);
  EXPECT_GT(light_tokens + heavy_tokens, 800 * kMaxRunning * 8 / 10);
  EXPECT_NEAR(static_cast<double>(heavy_tokens) / static_cast<double>(light_tokens), 3.0, 0.15);
}

TEST_F(FairnessTest, AFloodDoesNotSlowDownWhoSendsOneAtATime) {
  constexpr int32_t kQuietRequests = 20;
  constexpr int32_t kFloodRequests = 32;
  constexpr int32_t kQuietNumber = 10000000;
  AddTenant("flood", 1);
  AddTenant("quiet", 1);
  std::vector<Tokens> quiet_prompts;
  for (int32_t i = 0; i < kQuietRequests; ++i) quiet_prompts.push_back(Prompt(kQuietNumber + i));
  ForwardLog log(quiet_prompts);
  target().before_decode = [&](int64_t, std::span<const BatchRow> rows) {
    log.Note(rows);
    return OkStatus();
  };

  std::atomic<bool> over = false;
  std::vector<std::thread> flood;
  for (int32_t i = 0; i < kFloodRequests; ++i) {
    flood.emplace_back([&, number = i * 100000]() mutable {
      while (!over) (void)Collect(*Submit("flood", number++));
    });
  }
  int64_t waited = 0;
  int64_t decoded = 0;
  for (int32_t i = 0; i < kQuietRequests; ++i) {
    std::unique_ptr<GenerationStream> stream;
    const int64_t submitted =
        log.BetweenForwards([&] { stream = Submit("quiet", kQuietNumber + i); });
    EXPECT_TRUE(Collect(*stream).finish.status.ok());
    const ForwardLog::Presence presence = log.PresenceOf(static_cast<size_t>(i));
    waited += presence.first_token - submitted;
    decoded += presence.last - presence.first_token;
  }
  over = true;
  for (std::thread& thread : flood) thread.join();

  // Half of the places are its own, and it uses one: a token with every forward.
  const double forwards_per_token =
      static_cast<double>(decoded) / (kQuietRequests * (kAnswerTokens - 1));
  EXPECT_LE(forwards_per_token, 1.3);
  // Its turn comes with the next place that somebody leaves: in the mean a fraction of an answer.
  EXPECT_LE(waited, kQuietRequests * kAnswerTokens / 2);
}

}  // namespace
}  // namespace foretoken
