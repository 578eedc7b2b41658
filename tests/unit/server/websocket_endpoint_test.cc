#include "server/websocket_endpoint.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "unit/server/fake_websocket_session.h"
#include "unit/tenancy/fake_runtime.h"

namespace foretoken {
namespace {

using nlohmann::json;

class WebSocketEndpointTest : public testing::Test {
 protected:
  // Long answers, and streams of two events: the engine waits for the reader, who cancels in time.
  WebSocketEndpointTest() : runtime_({.stream_capacity = 2}, {{"a", {.context_tokens = 8192}}}) {
    ServedModel model;
    model.name = "a";
    model.target = {.id = "a", .path = "a"};
    pool_ = std::make_unique<ModelPool>(*runtime_.manager, std::vector{model}, ModelPoolOptions());
    context_ = std::make_unique<ApiContext>(config_, *pool_);
    auto tenant = std::make_shared<DirectoryTenant>();
    tenant->record.name = "t";
    tenant->quota = std::make_shared<TenantQuota>(QuotaLimits());
    context_->keyless_tenant = tenant;
    service_ = std::make_unique<ApiService>(*context_);
  }
  ~WebSocketEndpointTest() override { context_->workers.join(); }

  // Serves until the session is closed, which `on_message` has to do in the end.
  void Serve(std::function<void(const json& message)> on_message) {
    session_->on_send = [this, on_message](const std::string& text) {
      json message = json::parse(text);
      received_[message["id"]].push_back(message);
      on_message(message);
    };
    asio::co_spawn(io_, ServeWebSocket(*service_, session_), asio::detached);
    io_.run();
  }
  void Request(const std::string& id, int tokens, bool stream) {
    const json body = {{"model", "a"},
                       {"prompt", "hello"},
                       {"max_tokens", tokens},
                       {"seed", 4},
                       {"stream", stream}};
    session_->Say(
        json{{"type", "request"}, {"id", id}, {"endpoint", "/v1/completions"}, {"body", body}}
            .dump());
  }
  std::string StreamedText(const std::string& id) {
    std::string text;
    for (const json& message : received_[id]) {
      if (!message.contains("data") || message["data"]["choices"].empty()) continue;
      text += message["data"]["choices"][0]["text"].get<std::string>();
    }
    return text;
  }

  asio::io_context io_;  // outlives the pool, whose thread wakes coroutines of it
  FakeRuntime runtime_;
  ServerConfig config_;
  std::unique_ptr<ModelPool> pool_;
  std::unique_ptr<ApiContext> context_;
  std::unique_ptr<ApiService> service_;
  std::shared_ptr<FakeWebSocketSession> session_ = std::make_shared<FakeWebSocketSession>(io_);
  std::map<std::string, std::vector<json>> received_;
};

TEST_F(WebSocketEndpointTest, RequestsRunBesideEachOtherAndGiveTheSame) {
  Request("streamed", 8, true);
  Request("whole", 8, false);
  int ended = 0;
  Serve([&](const json& message) {
    if (message.contains("done") || message.contains("body")) ++ended;
    if (ended == 2) session_->Close();
  });
  ASSERT_EQ(received_["whole"].size(), 1u);
  EXPECT_EQ(received_["whole"][0]["status"], 200);
  const std::string text = received_["whole"][0]["body"]["choices"][0]["text"];
  EXPECT_FALSE(text.empty());
  EXPECT_EQ(StreamedText("streamed"), text);
}

TEST_F(WebSocketEndpointTest, ACancelEndsItsRequestOnly) {
  Request("long", 4000, true);
  Request("short", 4, false);
  bool is_cancelled = false;
  int ended = 0;
  Serve([&](const json& message) {
    if (message["id"] == "long" && message.contains("data") && !is_cancelled) {
      is_cancelled = true;
      session_->Say(R"({"type": "cancel", "id": "long"})");
    }
    if (message.contains("done") || message.contains("body")) ++ended;
    if (ended == 2) session_->Close();
  });
  EXPECT_EQ(received_["short"][0]["status"], 200);
  const std::vector<json>& all = received_["long"];
  EXPECT_TRUE(all.back().contains("done"));
  // Not a finish_reason, as it would have by itself.
  EXPECT_EQ(all[all.size() - 2]["data"]["error"]["code"], "cancelled");
}

TEST_F(WebSocketEndpointTest, WrongMessagesAreAnsweredAndTheConnectionGoesOn) {
  session_->Say("no json");
  session_->Say(R"({"type": "dance", "id": "1"})");
  session_->Say(R"({"type": "request", "id": "2"})");
  session_->Say(R"({"type": "request", "id": "3", "endpoint": "/nowhere", "body": {}})");
  session_->Say(R"({"type": "cancel", "id": "nobody"})");
  session_->Say(std::string(100000, '['));
  Request("4", 2, false);
  Serve([&](const json& message) {
    if (message["id"] == "4") session_->Close();
  });
  EXPECT_EQ(received_[""].size(), 2u);
  EXPECT_EQ(received_[""][0]["status"], 400);
  EXPECT_EQ(received_["1"][0]["status"], 400);
  EXPECT_EQ(received_["2"][0]["status"], 400);
  EXPECT_EQ(received_["3"][0]["status"], 404);
  EXPECT_EQ(received_["4"][0]["status"], 200);
  EXPECT_EQ(received_.count("nobody"), 0u);
}

TEST_F(WebSocketEndpointTest, AnIdIsUsedOnceAtATime) {
  Request("x", 3000, true);
  Request("x", 2, false);
  int refusals = 0;
  Serve([&](const json& message) {
    if (message.contains("body")) {
      EXPECT_EQ(message["status"], 400);
      ++refusals;
      session_->Close();
    }
  });
  EXPECT_EQ(refusals, 1);
}

TEST_F(WebSocketEndpointTest, WhoGoesAwayLeavesNothingRunning) {
  Request("x", 4000, true);
  Serve([&](const json& message) {
    if (message.contains("data")) session_->Close();
  });
  EXPECT_EQ(context_->running_requests, 0);
  EXPECT_EQ(pool_->States()[0].leases, 0);
}

}  // namespace
}  // namespace foretoken
