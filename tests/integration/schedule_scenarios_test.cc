// What an engine owes its tenants, one promise at a time; schedule_test.cc mixes them all.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "integration/schedule_fixture.h"
#include "unit/tenancy/fake_runtime.h"

namespace foretoken {
namespace {

constexpr int32_t kContext = 96;
constexpr int32_t kVocabulary = 24;

using Tokens = std::vector<TokenId>;

// A schedule to be filled, with room for everyone in cache and batch.
class ScenarioTest : public testing::Test {
 protected:
  ScenarioTest() {
    schedule_.models = {
        {kTargetPath, Model(7)}, {"draft a", Draft(8, 0.9)}, {"draft b", Draft(9, 0.6)}};
    schedule_.runtime.prefix_reuse = false;
  }

  static FakeModelOptions Model(uint64_t seed) {
    FakeModelOptions model;
    model.vocabulary_size = kVocabulary;
    model.seed = seed;
    model.context_tokens = kContext;
    model.max_batch_rows = 256;
    model.max_logits_rows = 256;
    return model;
  }
  static FakeModelOptions Draft(uint64_t seed, double quality) {
    FakeModelOptions model = Model(seed);
    model.imitated_seed = 7;
    model.quality = quality;
    return model;
  }

  TenantConfig& AddTenant(const std::string& name, const std::string& draft = "") {
    TenantConfig tenant = FakeTenant(name, kTargetPath, draft);
    tenant.target.context_tokens = kContext;
    tenant.target.kv_cache_tokens = 32 * kContext;
    schedule_.tenants.push_back(std::move(tenant));
    return schedule_.tenants.back();
  }

  // A request of its own kind: another prompt and another seed than those before it.
  static GenerateRequest Request(int32_t number, int32_t max_tokens) {
    GenerateRequest request;
    Random random(static_cast<uint64_t>(number));
    Tokens prompt;
    for (int32_t i = 0; i < 12; ++i) {
      prompt.push_back(random.Int(1, PoisonToken(kVocabulary) - 1));
    }
    request.prompt = prompt;
    request.options.max_tokens = max_tokens;
    request.options.ignore_end_of_text = true;
    request.options.sampling.seed = static_cast<uint64_t>(number);
    request.options.sampling.temperature = 0.7f;
    request.options.sampling.logit_bias = {{PoisonToken(kVocabulary), -100.0f}};
    return request;
  }

  ScheduledRequest& Add(const std::string& tenant, GenerateRequest request) {
    ScheduledRequest scheduled;
    scheduled.tenant = tenant;
    scheduled.answer = oracle().Ask(request, schedule_.FindTenant(tenant).adapters);
    scheduled.request = std::move(request);
    schedule_.requests.push_back(std::move(scheduled));
    return schedule_.requests.back();
  }
  ScheduledRequest& Add(const std::string& tenant, int32_t max_tokens = 30) {
    return Add(tenant, Request(static_cast<int32_t>(schedule_.requests.size()), max_tokens));
  }

  Oracle oracle() const { return Oracle(schedule_.target(), kContext); }

  // Plays the schedule: everyone gets what it must, or the test fails.
  void ExpectAllAsPlanned() {
    const std::vector<std::string> faults = Play(schedule_, totals_);
    EXPECT_TRUE(faults.empty()) << fmt::format("{}\n{}", fmt::join(faults, "\n"),
                                               totals_.ToString());
  }

  Schedule schedule_;
  Totals totals_;
};

TEST_F(ScenarioTest, ThreeTenantsShareTheForwardsOfOneTarget) {
  AddTenant("a", "draft a");
  AddTenant("b", "draft b");
  AddTenant("plain");
  for (int32_t i = 0; i < 12; ++i) Add(schedule_.tenants[static_cast<size_t>(i) % 3].name);
  ExpectAllAsPlanned();
  EXPECT_EQ(totals_.exact, 12);
  EXPECT_GT(totals_.accepted, 40);
  EXPECT_GT(totals_.rejected, 40);
  // Twelve at a time: each forward serves several rounds.
  EXPECT_LT(totals_.target_forwards * 4, totals_.rounds) << totals_.ToString();
}

TEST_F(ScenarioTest, ChoicesOfOneSeedDifferAndAreReproducible) {
  AddTenant("a", "draft a");
  std::set<std::string> texts;
  for (uint64_t choice = 0; choice < 6; ++choice) {
    GenerateRequest request = Request(1, 30);
    request.options.choice = choice;
    texts.insert(Add("a", request).answer.text);
  }
  EXPECT_EQ(texts.size(), 6u);
  ExpectAllAsPlanned();
  EXPECT_EQ(totals_.exact, 6);
}

TEST_F(ScenarioTest, AHundredWaitAndAThirdOfThemGivesUp) {
  schedule_.runtime.max_running = 4;
  AddTenant("a", "draft a");
  AddTenant("b");
  Random random(1);
  for (int32_t i = 0; i < 100; ++i) {
    ScheduledRequest& scheduled = Add(i % 2 == 0 ? "a" : "b", 10);
    if (random.Chance(0.33)) scheduled.cancel_step = random.Int(1, 50);
  }
  ExpectAllAsPlanned();
  EXPECT_GT(totals_.cancelled, 10);
  EXPECT_GT(totals_.exact, 50);
}

TEST_F(ScenarioTest, ATenantIsRemovedWhileItsRequestsRunAndWait) {
  schedule_.runtime.max_running = 4;
  AddTenant("leaving", "draft a");
  AddTenant("staying", "draft a");
  for (int32_t i = 0; i < 20; ++i) Add(i % 2 == 0 ? "leaving" : "staying");
  schedule_.removals = {{.tenant = "leaving", .step = 5}};
  ExpectAllAsPlanned();
  EXPECT_GE(totals_.exact, 10);
  EXPECT_GT(totals_.cancelled, 0);
}

TEST_F(ScenarioTest, PoisonEndsTheRequestThatHoldsItAndNoOther) {
  schedule_.faults.poison = true;
  AddTenant("a", "draft a");
  AddTenant("b");
  for (int32_t i = 0; i < 7; ++i) Add(i % 2 == 0 ? "a" : "b");
  // One that meets its poison in the prompt, and one that chooses it in the middle of its answer.
  GenerateRequest in_prompt = Request(100, 30);
  std::get<Tokens>(in_prompt.prompt)[6] = PoisonToken(kVocabulary);
  Add("a", in_prompt).fails_after = 0;
  for (int32_t number = 200; schedule_.requests.size() < 9; ++number) {
    GenerateRequest in_answer = Request(number, 30);
    in_answer.options.sampling.logit_bias.clear();
    const std::vector<GeneratedToken> tokens = oracle().Ask(in_answer).tokens;
    const auto poison = std::find_if(tokens.begin(), tokens.end(), [](const GeneratedToken& token) {
      return token.id == PoisonToken(kVocabulary);
    });
    const auto committed = static_cast<size_t>(poison - tokens.begin()) + 1;
    if (committed > 5 && committed < 25) Add("a", in_answer).fails_after = committed;
  }
  ExpectAllAsPlanned();
  EXPECT_EQ(totals_.failed, 2);
  EXPECT_EQ(totals_.exact, 7);
}

TEST_F(ScenarioTest, FailuresThatPassHurtNobody) {
  schedule_.faults.target_chance = 0.3;
  schedule_.faults.state_chance = 0.3;
  schedule_.runtime.prefix_reuse = true;
  AddTenant("a", "draft a");
  AddTenant("b");
  for (int32_t i = 0; i < 16; ++i) Add(i % 2 == 0 ? "a" : "b");
  ExpectAllAsPlanned();
  EXPECT_EQ(totals_.exact, 16);
}

TEST_F(ScenarioTest, ADraftModelThatFailsChangesNoToken) {
  for (const double chance : {0.2, 1.0}) {
    schedule_.faults.draft_chance = chance;
    schedule_.tenants.clear();
    schedule_.requests.clear();
    totals_ = Totals();
    AddTenant("a", "draft a");
    AddTenant("b", "draft b");
    for (int32_t i = 0; i < 8; ++i) Add(i % 2 == 0 ? "a" : "b");
    ExpectAllAsPlanned();
    EXPECT_EQ(totals_.exact, 8);
    EXPECT_GT(totals_.drafting_failures, 0);
  }
}

TEST_F(ScenarioTest, MoreRequestsThanTheCacheHoldsAllFinish) {
  for (const int64_t paused_state_bytes : {int64_t{0}, int64_t{1} << 20}) {
    schedule_.tenants.clear();
    schedule_.requests.clear();
    totals_ = Totals();
    schedule_.runtime.paused_state_bytes = paused_state_bytes;
    AddTenant("a", "draft a").target.kv_cache_tokens = 2 * kContext;
    AddTenant("b").target.kv_cache_tokens = 2 * kContext;
    // Twelve times 82 tokens in 192 cells.
    for (int32_t i = 0; i < 12; ++i) Add(i % 2 == 0 ? "a" : "b", 70);
    ExpectAllAsPlanned();
    EXPECT_EQ(totals_.exact, 12);
    EXPECT_EQ(totals_.restores > 0, paused_state_bytes > 0);
  }
}

TEST_F(ScenarioTest, AdaptersAreKeptApart) {
  schedule_.models[kTargetPath].adapters = {{"adapter x", 5}, {"adapter y", 6}};
  schedule_.runtime.prefix_reuse = true;
  AddTenant("a", "draft a").adapters = {{.id = "x", .path = "adapter x"},
                                        {.id = "y", .path = "adapter y", .scale = 0.5f}};
  std::set<std::string> texts;
  for (int32_t i = 0; i < 12; ++i) {
    GenerateRequest request = Request(1, 30);  // the same prompt for all
    request.options.adapter = i % 3 == 0 ? "" : i % 3 == 1 ? "x" : "y";
    texts.insert(Add("a", request).answer.text);
  }
  EXPECT_EQ(texts.size(), 3u);
  ExpectAllAsPlanned();
  EXPECT_EQ(totals_.exact, 12);
}

// Scenarios that look at one stream while others run.
class StreamScenarioTest : public ScenarioTest {
 protected:
  void Start() {
    runtime_.emplace(schedule_.runtime, schedule_.models);
    for (const TenantConfig& tenant : schedule_.tenants) {
      ASSERT_TRUE(runtime_->manager->AddTenant(tenant).ok());
    }
  }
  RuntimeManager& manager() { return *runtime_->manager; }
  FakeControl& target() { return *runtime_->controls[kTargetPath]; }

  std::unique_ptr<GenerationStream> Submit(const ScheduledRequest& scheduled) {
    return manager().GenerateStream(scheduled.tenant, scheduled.request).value();
  }
  static Outcome ReadToTheEnd(GenerationStream& stream) {
    GenerationResult result = Collect(stream);
    return {.tokens = std::move(result.tokens),
            .text = std::move(result.text),
            .finishes = {std::move(result.finish)}};
  }
  void ExpectAsPlanned(const ScheduledRequest& scheduled, const Outcome& outcome) {
    const Status verdict =
        JudgeOutcome(oracle(), schedule_.FindTenant(scheduled.tenant), scheduled, {}, outcome);
    EXPECT_TRUE(verdict.ok()) << verdict.ToString();
  }

  const Watchdog watchdog_{testing::UnitTest::GetInstance()->current_test_info()->name()};
  std::optional<FakeRuntime> runtime_;
};

TEST_F(StreamScenarioTest, AReaderThatDoesNotReadDelaysNobody) {
  schedule_.runtime.stream_capacity = 1;
  AddTenant("a", "draft a");
  for (int32_t i = 0; i < 6; ++i) Add("a", 60);
  Start();
  const auto unread = Submit(schedule_.requests[0]);
  std::vector<std::unique_ptr<GenerationStream>> others;
  for (size_t i = 1; i < 6; ++i) others.push_back(Submit(schedule_.requests[i]));
  for (size_t i = 1; i < 6; ++i) {
    ExpectAsPlanned(schedule_.requests[i], ReadToTheEnd(*others[i - 1]));
  }
  // It had all the time it wanted, and its answer is whole.
  ExpectAsPlanned(schedule_.requests[0], ReadToTheEnd(*unread));
}

TEST_F(StreamScenarioTest, AReaderThatNeverReadsIsCancelledAndToldSo) {
  schedule_.runtime.stream_capacity = 2;
  schedule_.runtime.slow_reader_ms = 300;
  AddTenant("a", "draft a");
  for (int32_t i = 0; i < 3; ++i) Add("a", 60);
  Start();
  const auto unread = Submit(schedule_.requests[0]);
  const auto other = Submit(schedule_.requests[1]);
  ExpectAsPlanned(schedule_.requests[1], ReadToTheEnd(*other));
  while (target().cells_in_use > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  Outcome outcome = ReadToTheEnd(*unread);
  EXPECT_EQ(outcome.finishes[0].reason, FinishReason::kCancelled);
  EXPECT_NE(outcome.finishes[0].status.message().find("read"), std::string::npos)
      << outcome.finishes[0].status.ToString();
  outcome.cancelled = true;  // with what it has, as if it had asked for it
  ExpectAsPlanned(schedule_.requests[0], outcome);
  ExpectAsPlanned(schedule_.requests[2], ReadToTheEnd(*Submit(schedule_.requests[2])));
}

TEST_F(StreamScenarioTest, ADeadlineEndsARequestWithWhatItHas) {
  schedule_.models[kTargetPath].decode_time = [](int32_t) { return std::chrono::milliseconds(2); };
  schedule_.runtime.max_running = 1;
  AddTenant("a");
  GenerateRequest request = Request(1, 80);
  request.options.deadline_ms = 40;
  const ScheduledRequest late = Add("a", request);
  const ScheduledRequest waiting = Add("a", request);
  Start();
  const auto first = Submit(late);
  const auto second = Submit(waiting);
  for (const Outcome& outcome : {ReadToTheEnd(*first), ReadToTheEnd(*second)}) {
    EXPECT_EQ(outcome.finishes[0].reason, FinishReason::kCancelled);
    EXPECT_EQ(outcome.finishes[0].status.code(), StatusCode::kDeadlineExceeded);
    ExpectAsPlanned(late, outcome);
  }
}

TEST_F(StreamScenarioTest, ACancelTakesEffectAtTheNextForward) {
  AddTenant("a");
  for (int32_t i = 0; i < 4; ++i) Add("a", 60);
  Start();
  std::vector<std::unique_ptr<GenerationStream>> streams(4);
  ForwardLog log({std::get<Tokens>(schedule_.requests[0].request.prompt)});
  constexpr int64_t kCancelAt = 10;
  target().before_decode = [&](int64_t, std::span<const BatchRow> rows) {
    if (log.Note(rows) == kCancelAt) streams[0]->Cancel();
    return OkStatus();
  };
  log.BetweenForwards([&] {
    for (size_t i = 0; i < 4; ++i) streams[i] = Submit(schedule_.requests[i]);
  });
  const Outcome first = ReadToTheEnd(*streams[0]);
  EXPECT_EQ(first.finishes[0].reason, FinishReason::kCancelled);
  for (size_t i = 1; i < 4; ++i) {
    ExpectAsPlanned(schedule_.requests[i], ReadToTheEnd(*streams[i]));
  }
  EXPECT_EQ(log.PresenceOf(0).last, kCancelAt);
}

TEST_F(StreamScenarioTest, PromptsAreReusedWithinATenantAndNotAcross) {
  schedule_.runtime.prefix_reuse = true;
  AddTenant("a");
  AddTenant("b");
  Start();
  const auto reused = [&](const std::string& tenant) {
    GenerateRequest request = Request(1, 20);
    const ScheduledRequest scheduled = Add(tenant, request);
    const Outcome outcome = ReadToTheEnd(*Submit(scheduled));
    ExpectAsPlanned(scheduled, outcome);
    return outcome.finishes[0].usage.cached_prompt_tokens;
  };
  EXPECT_EQ(reused("a"), 0);
  EXPECT_EQ(reused("a"), 11) << "all but the last, whose logits are needed";
  EXPECT_EQ(reused("b"), 0);
  EXPECT_EQ(reused("b"), 11);
  // What was another tenant's under the same name is not this one's.
  ASSERT_TRUE(manager().RemoveTenant("a").ok());
  ASSERT_TRUE(manager().AddTenant(schedule_.tenants[0]).ok());
  EXPECT_EQ(reused("a"), 0);
}

TEST_F(StreamScenarioTest, AdaptersGoAndComeBackWithTheirTenant) {
  schedule_.models[kTargetPath].adapters = {{"adapter x", 5}};
  AddTenant("staying");
  AddTenant("coming").adapters = {{.id = "x", .path = "adapter x"}};
  GenerateRequest request = Request(1, 10);
  request.options.adapter = "x";
  const ScheduledRequest adapted = Add("coming", request);
  const ScheduledRequest plain = Add("staying", 10);
  Start();
  // Often enough that what is new lies where the old one lay.
  for (int32_t i = 0; i < 20; ++i) {
    ExpectAsPlanned(adapted, ReadToTheEnd(*Submit(adapted)));
    ASSERT_TRUE(manager().RemoveTenant("coming").ok());
    if (i % 2 == 0) ExpectAsPlanned(plain, ReadToTheEnd(*Submit(plain)));
    ASSERT_TRUE(manager().AddTenant(schedule_.FindTenant("coming")).ok());
  }
}

TEST_F(StreamScenarioTest, NobodyDraftsFromAnotherTenantsAnswers) {
  AddTenant("a").speculation.sources = {DraftSourceKind::kSuffix};
  AddTenant("b").speculation.sources = {DraftSourceKind::kSuffix};
  Start();
  const ScheduledRequest by_a = Add("a", Request(1, 60));
  const ScheduledRequest by_b = Add("b", Request(1, 60));
  const Outcome first = ReadToTheEnd(*Submit(by_a));
  const Outcome second = ReadToTheEnd(*Submit(by_b));
  ExpectAsPlanned(by_a, first);
  ExpectAsPlanned(by_b, second);
  // The second run knows what the first one knew: its own prompt and no more.
  EXPECT_EQ(first.finishes[0].speculation.drafted, second.finishes[0].speculation.drafted);
  EXPECT_EQ(first.finishes[0].speculation.accepted, second.finishes[0].speculation.accepted);
}

}  // namespace
}  // namespace foretoken
