#include "server/generation_job.h"

#include <SQLiteCpp/Database.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "server/api_context.h"
#include "unit/server/served_fixture.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class GenerationJobTest : public ServedFixture {
 protected:
  // Serves one tenant with such limits.
  void ServeWith(const QuotaLimits& quota, int64_t quota_wait_ms = 0) {
    config_.limits.quota_wait_ms = quota_wait_ms;
    key_ = AddTenant("acme", [&](TenantRecord& record) { record.quota = quota; });
    Serve();
  }
  int64_t PromptTokens() {
    return static_cast<int64_t>(
        Post("/tokenize", {{"model", "m"}, {"prompt", "hello"}}).json()["tokens"].size());
  }
  // A stream that has begun and waits for the gate.
  std::unique_ptr<RawHttpClient> BeginStream(Json body) {
    body["stream"] = true;
    gate_.Allow(3);
    auto client = std::make_unique<RawHttpClient>(port());
    EXPECT_TRUE(client->Send(RequestText("POST", "/v1/completions", body.dump(), key_)));
    EXPECT_THAT(client->ReadUntil("\"text\""), HasSubstr("\"text\""));
    return client;
  }
};

TEST_F(GenerationJobTest, AnAnswerThatFitsIsPaidExactly) {
  ServeWith({.tokens_per_minute = 100});
  const int64_t prompt = PromptTokens();
  const Called called = Post("/v1/completions", CompletionJson());
  ASSERT_EQ(called.status(), 200);
  EXPECT_EQ(called.header("x-ratelimit-limit-tokens"), "100");
  EXPECT_FALSE(called.has("x-foretoken-quota"));
  EXPECT_EQ(QuotaOf("acme").Levels().tokens->remaining, 100 - prompt - 12);
  EXPECT_EQ(QuotaOf("acme").reserved_tokens(), 0);
  EXPECT_EQ(QuotaOf("acme").running_requests(), 0);
  EXPECT_EQ(Ledger()[0].outcome, "length");
}

TEST_F(GenerationJobTest, WhatDoesNotFitNowIs429WithWhenToComeBack) {
  ServeWith({.tokens_per_minute = 40});
  ASSERT_EQ(Post("/v1/completions", CompletionJson({{"max_tokens", 20}})).status(), 200);
  const Called called = Post("/v1/completions", CompletionJson({{"max_tokens", 20}}));
  EXPECT_EQ(called.status(), 429);
  EXPECT_EQ(called.error("code"), "rate_limit_exceeded");
  EXPECT_EQ(called.header("x-foretoken-quota"), "tokens_per_minute");
  const int seconds = std::atoi(called.header("retry-after").c_str());
  EXPECT_GE(seconds, 1);
  EXPECT_LE(seconds, 61);
  EXPECT_EQ(called.header("x-ratelimit-limit-tokens"), "40");
  EXPECT_TRUE(called.has("x-ratelimit-remaining-tokens"));
  EXPECT_TRUE(called.has("x-ratelimit-reset-tokens"));
  EXPECT_EQ(QuotaOf("acme").waiting_requests(), 0);
  EXPECT_EQ(Ledger().size(), 1u);
}

TEST_F(GenerationJobTest, WhatCanNeverFitIsAWrongRequest) {
  ServeWith({.tokens_per_minute = 20}, 60'000);
  const Called called = Post("/v1/completions", CompletionJson({{"max_tokens", 64}}));
  EXPECT_EQ(called.status(), 400);
  EXPECT_EQ(called.header("x-foretoken-quota"), "tokens_per_minute");
  EXPECT_FALSE(called.has("retry-after"));
}

TEST_F(GenerationJobTest, ARefusedExtensionEndsTheAnswerAtExactlyWhatIsPaid) {
  // The first 64 tokens are reserved, then 64 more, of which 12 are left.
  constexpr int64_t kLimit = 6 + 64 + 12;
  ServeWith({.tokens_per_minute = kLimit});
  ASSERT_EQ(PromptTokens(), 6);
  const Called called = Post("/v1/completions", CompletionJson({{"max_tokens", 300}}));
  ASSERT_EQ(called.status(), 200);
  const Json body = called.json();
  EXPECT_EQ(body["usage"]["completion_tokens"], 76);
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(called.header("x-foretoken-quota"), "tokens_per_minute");
  EXPECT_THAT(body["speculation"]["warnings"].dump(), HasSubstr("tokens_per_minute"));
  EXPECT_EQ(QuotaOf("acme").Levels().tokens->remaining, 0);
  const std::vector<LedgerRow> rows = Ledger();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].outcome, "quota");
  EXPECT_EQ(rows[0].completion_tokens, 76);
  // The tokens are the first of those that an answer without a limit has.
  const std::string whole = Direct("hello", DirectOptions(300)).text;
  const std::string text = body["choices"][0]["text"];
  EXPECT_EQ(whole.substr(0, text.size()), text);
  EXPECT_GT(text.size(), 40u);
}

TEST_F(GenerationJobTest, ManyPromptsArePaidExactly) {
  ServeWith({.tokens_per_minute = 450});
  const Json prompts = {std::string(100, 'a'), std::string(100, 'b'), std::string(100, 'c')};
  const Called called =
      Post("/v1/completions", CompletionJson({{"prompt", prompts}, {"max_tokens", 48}}));
  ASSERT_EQ(called.status(), 200);
  EXPECT_EQ(QuotaOf("acme").Levels().tokens->remaining, 450 - 303 - 3 * 48);
}

TEST_F(GenerationJobTest, TokensOfOneChoiceAreNotPaidWithWhatIsReservedForALaterPrompt) {
  config_.runtime.max_running = 1;  // the last prompt is computed when nothing is left
  constexpr int64_t kLimit = 3 * 101 + 3 * 64 + 50;
  ServeWith({.tokens_per_minute = kLimit});
  const Json prompts = {std::string(100, 'a'), std::string(100, 'b'), std::string(100, 'c')};
  // Slow enough for what is computed to be paid before the next is.
  gate_.Allow(0);
  std::atomic<bool> is_done{false};
  std::thread clock([&] {
    while (!is_done) {
      gate_.Allow(1);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    gate_.Open();
  });
  const Called called =
      Post("/v1/completions", CompletionJson({{"prompt", prompts}, {"max_tokens", 200}}));
  is_done = true;
  clock.join();
  ASSERT_EQ(called.status(), 200);
  const Json usage = called.json()["usage"];
  EXPECT_EQ(usage["prompt_tokens"], 303);
  EXPECT_EQ(usage["total_tokens"], kLimit);
  EXPECT_EQ(QuotaOf("acme").Levels().tokens->remaining, 0);
  EXPECT_EQ(Ledger()[0].completion_tokens, kLimit - 303);
}

TEST_F(GenerationJobTest, ConcurrentRequestsNeverGetMoreThanTheLimit) {
  constexpr int64_t kLimit = 400;
  ServeWith({.tokens_per_minute = kLimit});
  std::vector<int64_t> served(8);
  std::vector<std::thread> clients;
  for (size_t i = 0; i < served.size(); ++i) {
    clients.emplace_back([&, i] {
      Json body = CompletionJson({{"max_tokens", 150}, {"seed", i}});
      const Called called = Post("/v1/completions", body);
      if (called.status() != 200) return;
      served[i] = called.json()["usage"]["total_tokens"];
    });
  }
  for (std::thread& client : clients) client.join();
  int64_t sum = 0;
  for (const int64_t tokens : served) sum += tokens;
  EXPECT_LE(sum, kLimit);
  EXPECT_GT(sum, 150);
  EXPECT_EQ(QuotaOf("acme").Levels().tokens->remaining, kLimit - sum);
  EXPECT_EQ(QuotaOf("acme").reserved_tokens(), 0);
  int64_t in_ledger = 0;
  for (const LedgerRow& row : Ledger()) in_ledger += row.prompt_tokens + row.completion_tokens;
  EXPECT_EQ(in_ledger, sum);
}

TEST_F(GenerationJobTest, ConcurrentRequestsAreBoundedAndThePlaceComesBack) {
  ServeWith({.concurrent_requests = 1});
  const auto first = BeginStream(CompletionJson());
  const Called second = Post("/v1/completions", CompletionJson());
  EXPECT_EQ(second.status(), 429);
  EXPECT_EQ(second.header("x-foretoken-quota"), "concurrent_requests");
  EXPECT_EQ(second.header("retry-after"), "1");
  gate_.Open();
  first->ReadUntil("[DONE]");
  // At once: the place is free before the last event.
  EXPECT_EQ(Post("/v1/completions", CompletionJson()).status(), 200);
}

TEST_F(GenerationJobTest, AWaitForTheQuotaThatSucceedsLeavesNoTraceOfIt) {
  ServeWith({.concurrent_requests = 1}, 60'000);
  const auto first = BeginStream(CompletionJson());
  std::thread opener([&] {
    Await([&] { return QuotaOf("acme").waiting_requests() == 1; });
    gate_.Open();
  });
  const Called second = Post("/v1/completions", CompletionJson());
  opener.join();
  EXPECT_EQ(second.status(), 200);
  EXPECT_FALSE(second.has("x-foretoken-quota"));
  first->ReadUntil("[DONE]");
  for (const LedgerRow& row : Ledger()) EXPECT_EQ(row.outcome, "length");
}

TEST_F(GenerationJobTest, WhoLeavesWhileWaitingForTheQuotaLeavesTheQueue) {
  ServeWith({.concurrent_requests = 1}, 60'000);
  const auto first = BeginStream(CompletionJson());
  RawHttpClient second(port());
  ASSERT_TRUE(second.Send(RequestText("POST", "/v1/completions", CompletionJson().dump(), key_)));
  Await([&] { return QuotaOf("acme").waiting_requests() == 1; });
  second.Reset();
  Await([&] { return QuotaOf("acme").waiting_requests() == 0; });
  gate_.Open();
  first->ReadUntil("[DONE]");
  EXPECT_EQ(Ledger().size(), 1u);
}

TEST_F(GenerationJobTest, MoreThanTheServerTakesIs503AndTheNextOneIsTakenAtOnce) {
  config_.limits.requests = 1;
  Serve();
  const auto first = BeginStream(CompletionJson());
  const Called second = Post("/v1/completions", CompletionJson());
  EXPECT_EQ(second.status(), 503);
  EXPECT_EQ(second.header("retry-after"), "1");
  EXPECT_EQ(second.error("code"), "overloaded");
  gate_.Open();
  first->ReadUntil("[DONE]");
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(Post("/v1/completions", CompletionJson()).status(), 200) << i;
    ASSERT_EQ(Post("/v1/completions", CompletionJson({{"model", "x"}})).status(), 404) << i;
  }
}

TEST_F(GenerationJobTest, ADrainingServerTakesNothingNew) {
  Serve();
  context().is_draining = true;
  const Called called = Post("/v1/completions", CompletionJson());
  EXPECT_EQ(called.status(), 503);
  EXPECT_TRUE(called.has("retry-after"));
  EXPECT_EQ(context().running_requests, 0);
}

TEST_F(GenerationJobTest, ADeadlineEndsAnAnswerThatHasBegunAndFailsOneThatHasNot) {
  Serve();
  gate_.Allow(4);
  RawHttpClient client(port());
  ASSERT_TRUE(client.Send(
      RequestText("POST", "/v1/completions",
                  CompletionJson({{"deadline_ms", 50}, {"max_tokens", 400}}).dump(), key_)));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  gate_.Open();
  const Called begun = {client.ReadResponse()};
  ASSERT_EQ(begun.status(), 200) << begun.raw.body;
  EXPECT_EQ(begun.json()["choices"][0]["finish_reason"], "length");
  EXPECT_LT(begun.json()["usage"]["completion_tokens"], 400);
}

TEST_F(GenerationJobTest, PromptsAndAnswersAreBoundedByTheTenant) {
  key_ = AddTenant("acme", [](TenantRecord& record) {
    record.max_prompt_tokens = 10;
    record.max_completion_tokens = 5;
  });
  Serve();
  const Called fits = Post("/v1/completions", CompletionJson());
  EXPECT_EQ(fits.json()["usage"]["completion_tokens"], 5);
  const Called legacy = Post("/v1/completions", CompletionJson({{"prompt", "0123456789"}}));
  EXPECT_EQ(legacy.status(), 400);
  EXPECT_EQ(legacy.error("code"), "context_length_exceeded");
  EXPECT_EQ(legacy.error("param"), "prompt");
  const Called chat = Post("/v1/chat/completions", ChatJson());
  EXPECT_EQ(chat.error("param"), "messages");
  EXPECT_THAT(chat.error("message"), HasSubstr("10 are possible"));
}

TEST_F(GenerationJobTest, WithoutABoundAnAnswerFillsTheContext) {
  Serve();
  Json body = ChatJson();
  body.erase("max_tokens");
  const Json usage = Post("/v1/chat/completions", body).json()["usage"];
  EXPECT_EQ(usage["total_tokens"], 512);
  const Called called =
      Post("/v1/completions", CompletionJson({{"prompt", std::string(512, 'a')}}));
  EXPECT_EQ(called.error("code"), "context_length_exceeded");
}

TEST_F(GenerationJobTest, WithoutASeedOneIsDrawnThatGivesTheSameAgain) {
  Serve();
  Json body = CompletionJson();
  body.erase("seed");
  const Json first = Post("/v1/completions", body).json();
  const Json second = Post("/v1/completions", body).json();
  EXPECT_NE(first["seed"], second["seed"]);
  EXPECT_LT(first["seed"].get<uint64_t>(), uint64_t{1} << 53);
  body["seed"] = first["seed"];
  EXPECT_EQ(Post("/v1/completions", body).json()["choices"], first["choices"]);
}

TEST_F(GenerationJobTest, AModelWithoutAChatTemplateIsTheRequestsMistake) {
  model_options_.has_chat_template = false;
  Serve();
  const Called called = Post("/v1/chat/completions", ChatJson());
  EXPECT_EQ(called.status(), 400);
  EXPECT_EQ(called.error("param"), "messages");
  EXPECT_THAT(called.error("message"), HasSubstr("no chat template"));
  EXPECT_EQ(Post("/v1/completions", CompletionJson()).status(), 200);
}

TEST_F(GenerationJobTest, TokensThatTheModelDoesNotHaveAreTheRequestsMistake) {
  Serve();
  const Called called = Post("/v1/completions", CompletionJson({{"prompt", {1, 99}}}));
  EXPECT_EQ(called.status(), 400);
  EXPECT_EQ(called.error("param"), "prompt");
}

TEST_F(GenerationJobTest, TheWorstOutcomeOfAllChoicesIsTheLedgers) {
  // Both choices begin with 64 tokens; one more step is left for the two of them.
  ServeWith({.tokens_per_minute = 6 + 2 * 64 + 10});
  const Called called = Post("/v1/completions", CompletionJson({{"n", 2}, {"max_tokens", 74}}));
  ASSERT_EQ(called.status(), 200);
  EXPECT_EQ(called.json()["usage"]["completion_tokens"], 138);
  EXPECT_EQ(Ledger()[0].outcome, "quota");
}

}  // namespace
}  // namespace foretoken
