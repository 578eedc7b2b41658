#include "server/generation_endpoint.h"

#include <SQLiteCpp/Database.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "server/api_context.h"
#include "unit/server/served_fixture.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

Json Streamed(Json body) {
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  return body;
}

// The object of a stream that has the usage.
Json UsageOf(const std::vector<Json>& events) {
  for (const Json& event : events) {
    if (event.is_object() && event.contains("usage") && event["usage"].is_object()) return event;
  }
  return Json::object();
}

class GenerationEndpointTest : public ServedFixture {
 protected:
  // The tokens that the log-probabilities show, as bytes; end of text shows none.
  static std::string BytesOf(const Json& content) {
    std::string bytes;
    for (const Json& token : content) {
      for (const Json& byte : token["bytes"]) bytes += static_cast<char>(byte.get<int>());
    }
    return bytes;
  }
};

TEST_F(GenerationEndpointTest, AChatIsTheSameWholeStreamedAndWithoutAServer) {
  Serve();
  const GenerationResult direct = Direct(DirectChat(), DirectOptions());
  ASSERT_EQ(direct.finish.usage.completion_tokens, 12);
  const Called whole = Post("/v1/chat/completions", ChatJson());
  ASSERT_EQ(whole.status(), 200) << whole.raw.body;
  const Json body = whole.json();
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["model"], "m");
  EXPECT_EQ(body["seed"], 4);
  EXPECT_EQ(body["choices"][0]["message"]["content"], direct.text);
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["usage"]["prompt_tokens"], direct.finish.usage.prompt_tokens);
  EXPECT_EQ(body["usage"]["completion_tokens"], 12);

  const Called streamed = Post("/v1/chat/completions", Streamed(ChatJson()));
  ASSERT_EQ(streamed.status(), 200);
  EXPECT_TRUE(streamed.raw.complete);
  EXPECT_THAT(streamed.header("content-type"), HasSubstr("text/event-stream"));
  const std::vector<Json> events = streamed.events();
  ASSERT_GT(events.size(), 3u);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_EQ(events.front()["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(events[events.size() - 3]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(TextOfChatChunks(events), direct.text);
  const Json usage = events[events.size() - 2];
  EXPECT_TRUE(usage["choices"].empty());
  EXPECT_EQ(usage["usage"]["prompt_tokens"], direct.finish.usage.prompt_tokens);
  EXPECT_EQ(usage["usage"]["completion_tokens"], 12);
  std::set<std::string> ids;
  for (size_t i = 0; i + 1 < events.size(); ++i) ids.insert(events[i]["id"].get<std::string>());
  EXPECT_EQ(ids.size(), 1u);
}

TEST_F(GenerationEndpointTest, UsageIsStreamedOnlyToThoseWhoAsk) {
  Serve();
  Json body = ChatJson({{"stream", true}});
  const std::vector<Json> events = Post("/v1/chat/completions", body).events();
  EXPECT_EQ(UsageOf(events), Json::object());
  EXPECT_EQ(events.back(), "[DONE]");
}

TEST_F(GenerationEndpointTest, ChoicesAreTheNoiseStreamsOfOneSeed) {
  Serve();
  constexpr int kChoices = 4;
  std::vector<std::string> expected;
  for (int i = 0; i < kChoices; ++i) {
    GenerateOptions options = DirectOptions();
    options.choice = static_cast<uint64_t>(i);
    expected.push_back(Direct(DirectChat(), options).text);
  }
  EXPECT_GT(std::set<std::string>(expected.begin(), expected.end()).size(), 1u);
  const Json request = ChatJson({{"n", kChoices}});
  const Json whole = Post("/v1/chat/completions", request).json();
  ASSERT_EQ(whole["choices"].size(), expected.size());
  const std::vector<Json> events = Post("/v1/chat/completions", Streamed(request)).events();
  for (int i = 0; i < kChoices; ++i) {
    const auto index = static_cast<size_t>(i);
    EXPECT_EQ(whole["choices"][index]["index"], i);
    EXPECT_EQ(whole["choices"][index]["message"]["content"], expected[index]);
    EXPECT_EQ(TextOfChatChunks(events, i), expected[index]);
  }
  for (const Json& usage : {whole["usage"], UsageOf(events)["usage"]}) {
    EXPECT_EQ(usage["completion_tokens"], 12 * kChoices);
    EXPECT_EQ(usage["prompt_tokens"],
              Direct(DirectChat(), DirectOptions()).finish.usage.prompt_tokens);
  }
}

TEST_F(GenerationEndpointTest, LegacyPromptsAreTextsAndTokensByChoice) {
  Serve();
  const std::string hello = Direct("hello", DirectOptions()).text;
  const std::string other = Direct("other", DirectOptions()).text;
  const Json request = CompletionJson({{"prompt", {"hello", "other"}}, {"n", 2}});
  const Json whole = Post("/v1/completions", request).json();
  ASSERT_EQ(whole["choices"].size(), 4u);
  EXPECT_EQ(whole["choices"][0]["text"], hello);
  EXPECT_EQ(whole["choices"][2]["text"], other);
  const std::vector<Json> events = Post("/v1/completions", Streamed(request)).events();
  EXPECT_EQ(TextOfLegacyChunks(events, 0), hello);
  EXPECT_EQ(TextOfLegacyChunks(events, 2), other);
  EXPECT_EQ(TextOfLegacyChunks(events, 3), whole["choices"][3]["text"]);
  EXPECT_EQ(whole["usage"]["completion_tokens"], 48);
  EXPECT_EQ(UsageOf(events)["usage"]["prompt_tokens"], whole["usage"]["prompt_tokens"]);
  // 'hello' as the fake vocabulary has it, with its begin of text.
  const Json tokens = Post("/tokenize", {{"model", "m"}, {"prompt", "hello"}}).json()["tokens"];
  const Json by_tokens = Post("/v1/completions", CompletionJson({{"prompt", tokens}})).json();
  EXPECT_EQ(by_tokens["choices"][0]["text"], hello);
}

TEST_F(GenerationEndpointTest, LogprobsAreOfTheTokensThatCame) {
  Serve();
  GenerateOptions options = DirectOptions();
  options.logprobs = 2;
  const GenerationResult direct = Direct(DirectChat(), options);
  const Json request = ChatJson({{"logprobs", true}, {"top_logprobs", 2}});
  const Json whole = Post("/v1/chat/completions", request).json();
  std::vector<Json> streamed;
  for (const Json& event : Post("/v1/chat/completions", Streamed(request)).events()) {
    if (!event.is_object() || event["choices"].empty()) continue;
    const Json& logprobs = event["choices"][0]["logprobs"];
    if (!logprobs.is_object()) continue;
    for (const Json& token : logprobs["content"]) streamed.push_back(token);
  }
  const Json& content = whole["choices"][0]["logprobs"]["content"];
  EXPECT_EQ(content, Json(streamed));
  size_t next = 0;
  for (const GeneratedToken& token : direct.tokens) {
    if (token.id == 0) continue;  // the end of text has no bytes
    ASSERT_LT(next, content.size());
    EXPECT_FLOAT_EQ(content[next]["logprob"].get<float>(), *token.logprob);
    ++next;
  }
  EXPECT_EQ(next, content.size());
}

TEST_F(GenerationEndpointTest, ResponsesAreTheSameWholeAndStreamed) {
  Serve();
  const Json request = {{"model", "m"},
                        {"input", "hello"},
                        {"max_output_tokens", 12},
                        {"seed", 4},
                        {"ignore_eos", true}};
  const std::string expected = Direct(DirectChat(), DirectOptions()).text;
  const Called whole = Post("/v1/responses", request);
  ASSERT_EQ(whole.status(), 200) << whole.raw.body;
  EXPECT_EQ(whole.json()["output"][0]["content"][0]["text"], expected);
  EXPECT_THAT(whole.json()["id"].get<std::string>(), ::testing::StartsWith("resp_"));
  Json body = request;
  body["stream"] = true;
  const std::vector<Json> events = Post("/v1/responses", body).events();
  std::string text;
  for (const Json& event : events) {
    if (event["type"] == "response.output_text.delta") text += event["delta"].get<std::string>();
  }
  EXPECT_EQ(text, expected);
  EXPECT_EQ(events.front()["type"], "response.created");
  EXPECT_EQ(events.back()["type"], "response.incomplete");
  for (const char* tokens : {"input_tokens", "output_tokens", "total_tokens"}) {
    EXPECT_EQ(events.back()["response"]["usage"][tokens], whole.json()["usage"][tokens]);
  }
  EXPECT_EQ(events.back()["response"]["output"][0]["content"],
            whole.json()["output"][0]["content"]);
}

TEST_F(GenerationEndpointTest, ALargeBodyGivesWhatASmallOneDoes) {
  Serve();
  const Called small = Post("/v1/chat/completions", ChatJson());
  const Called large =
      Post("/v1/chat/completions", ChatJson({{"metadata_of_ours", std::string(100'000, 'x')}}));
  EXPECT_EQ(large.header("x-foretoken-ignored-fields"), "metadata_of_ours");
  EXPECT_EQ(large.json()["choices"], small.json()["choices"]);
  EXPECT_EQ(large.json()["usage"]["prompt_tokens"], small.json()["usage"]["prompt_tokens"]);
  const Called broken = Call("POST", "/v1/chat/completions", std::string(100'000, '['), key_);
  EXPECT_EQ(broken.status(), 400);
  EXPECT_EQ(broken.error("code"), "invalid_json");
}

TEST_F(GenerationEndpointTest, TheLedgerHasTheRowWhenTheLastEventIsThere) {
  Serve();
  ASSERT_EQ(Post("/v1/chat/completions", ChatJson()).status(), 200);
  ASSERT_EQ(Ledger().size(), 1u);
  const Called whole = Post("/v1/chat/completions", ChatJson({{"n", 2}}));
  const std::vector<LedgerRow> after_whole = Ledger();
  ASSERT_EQ(after_whole.size(), 2u);
  const LedgerRow& row = after_whole[1];
  const Json usage = whole.json()["usage"];
  EXPECT_EQ(row.prompt_tokens, usage["prompt_tokens"]);
  EXPECT_EQ(row.cached_tokens, usage["prompt_tokens_details"]["cached_tokens"]);
  EXPECT_GT(row.cached_tokens, 0);
  EXPECT_EQ(row.completion_tokens, 24);
  EXPECT_EQ(row.outcome, "length");
  EXPECT_EQ(row.http_status, 200);
  EXPECT_EQ(row.tenant, "acme");
  EXPECT_EQ(row.model, "m");
  EXPECT_EQ(row.key_id, store_->ListKeys("acme")->front().id);

  RawHttpClient client(port());
  ASSERT_TRUE(
      client.Send(RequestText("POST", "/v1/chat/completions", Streamed(ChatJson()).dump(), key_)));
  client.ReadUntil("[DONE]");
  EXPECT_EQ(context().running_requests, 0);
  EXPECT_EQ(Ledger().size(), 3u);
}

TEST_F(GenerationEndpointTest, AStreamThatIsNotReadOutIsNotInTheLedgerYet) {
  Serve();
  gate_.Allow(4);
  RawHttpClient client(port());
  ASSERT_TRUE(
      client.Send(RequestText("POST", "/v1/chat/completions", Streamed(ChatJson()).dump(), key_)));
  client.ReadUntil("\"content\"");
  EXPECT_TRUE(Ledger().empty());
  gate_.Open();
  client.ReadUntil("[DONE]");
  EXPECT_EQ(Ledger().size(), 1u);
}

TEST_F(GenerationEndpointTest, AClientThatGoesAwayLeavesNothingBehind) {
  Serve();
  for (const bool streamed : {true, false}) {
    gate_.Allow(4);
    Json body = ChatJson({{"max_tokens", 400}, {"n", 2}});
    if (streamed) body = Streamed(body);
    RawHttpClient client(port());
    ASSERT_TRUE(client.Send(RequestText("POST", "/v1/chat/completions", body.dump(), key_)));
    if (streamed) client.ReadUntil("\"content\"");
    Await([&] { return gate_.is_closed(); });
    EXPECT_EQ(QuotaOf("acme").running_requests(), 1);
    client.Reset();
    const size_t rows = streamed ? 1 : 2;
    // Step by step, so that it is noticed before the answer has ended.
    Await([&] {
      gate_.Allow(1);
      return Ledger().size() == rows;
    });
    ASSERT_EQ(Ledger().size(), rows);
    const LedgerRow row = Ledger().back();
    EXPECT_EQ(row.outcome, "cancelled");
    EXPECT_LT(row.completion_tokens, 800);
    EXPECT_EQ(RunningInEngines(), 0);
    EXPECT_EQ(QuotaOf("acme").running_requests(), 0);
    EXPECT_EQ(QuotaOf("acme").reserved_tokens(), 0);
    EXPECT_EQ(context().running_requests, 0);
    // The exchange keeps its model until it has ended.
    Await([&] { return context().pool.States()[0].leases == 0; });
  }
  gate_.Open();
  EXPECT_EQ(Post("/v1/chat/completions", ChatJson()).status(), 200);
}

TEST_F(GenerationEndpointTest, AFailureMidwayIsAnEventOfAStreamAndA500OfAWholeAnswer) {
  Serve();
  gate_.FailAfter(5, InternalError("the device is on fire"));
  const Called streamed = Post("/v1/chat/completions", Streamed(ChatJson()));
  EXPECT_EQ(streamed.status(), 200);
  EXPECT_TRUE(streamed.raw.complete);
  const std::vector<Json> events = streamed.events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back()["error"]["type"], "server_error");
  EXPECT_THAT(streamed.raw.body, ::testing::Not(HasSubstr("[DONE]")));
  ASSERT_EQ(Ledger().size(), 1u);
  EXPECT_EQ(Ledger()[0].outcome, "error");
  gate_.FailAfter(3, InternalError("the device is on fire"));
  const Called whole = Post("/v1/completions", CompletionJson());
  EXPECT_EQ(whole.status(), 500);
  EXPECT_EQ(whole.error("type"), "server_error");
  ASSERT_EQ(Ledger().size(), 2u);
  EXPECT_EQ(Ledger()[1].outcome, "error");
  EXPECT_EQ(Ledger()[1].http_status, 500);
  EXPECT_EQ(QuotaOf("acme").reserved_tokens(), 0);
}

TEST_F(GenerationEndpointTest, WithoutTheLedgerThereIsNoAnswer) {
  Serve();
  {
    // The same id twice is the one failure of the ledger that needs no broken disk: a table that
    // refuses rows does the same.
    ASSERT_EQ(Post("/v1/completions", CompletionJson()).status(), 200);
    SQLite::Database database(store_path_, SQLite::OPEN_READWRITE);
    database.exec(
        "CREATE TRIGGER no_rows BEFORE INSERT ON usage BEGIN SELECT RAISE(ABORT, 'no'); END");
  }
  const Called whole = Post("/v1/completions", CompletionJson());
  EXPECT_EQ(whole.status(), 500);
  EXPECT_EQ(whole.json()["choices"], Json());
  const std::vector<Json> events = Post("/v1/completions", Streamed(CompletionJson())).events();
  EXPECT_TRUE(events.back().contains("error"));
}

TEST_F(GenerationEndpointTest, WhatNeedsAGrammarIsRefused) {
  Serve();
  const Json tool = {{"type", "function"}, {"function", {{"name", "f"}}}};
  const Called required =
      Post("/v1/chat/completions",
           ChatJson({{"tools", Json::array({tool})}, {"tool_choice", "required"}}));
  EXPECT_EQ(required.status(), 400);
  EXPECT_EQ(required.error("param"), "tool_choice");
  const Called format =
      Post("/v1/chat/completions", ChatJson({{"response_format", {{"type", "json_object"}}}}));
  EXPECT_EQ(format.status(), 400);
  EXPECT_EQ(format.error("param"), "response_format.type");
  const Called response =
      Post("/v1/responses",
           {{"model", "m"}, {"input", "hello"}, {"text", {{"format", {{"type", "json_object"}}}}}});
  EXPECT_EQ(response.status(), 400);
  EXPECT_EQ(response.error("param"), "text.format.type");
}

TEST_F(GenerationEndpointTest, WithToolsTheReplyIsParsedAndTheTextStays) {
  Serve();
  const Json tool = {{"type", "function"}, {"function", {{"name", "f"}}}};
  const Json request =
      ChatJson({{"tools", Json::array({tool})}, {"logprobs", true}, {"top_logprobs", 0}});
  const Json whole = Post("/v1/chat/completions", request).json();
  EXPECT_EQ(whole["choices"][0]["message"]["content"], Direct(DirectChat(), DirectOptions()).text);
  EXPECT_FALSE(whole["choices"][0]["logprobs"]["content"].empty());
  const std::vector<Json> events = Post("/v1/chat/completions", Streamed(request)).events();
  EXPECT_EQ(TextOfChatChunks(events), whole["choices"][0]["message"]["content"]);
}

}  // namespace
}  // namespace foretoken
