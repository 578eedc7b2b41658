#include "server/model_access.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <memory>
#include <string>

#include "server/api_service.h"
#include "server/bearer.h"
#include "unit/server/served_fixture.h"

namespace foretoken {
namespace {

using Json = nlohmann::json;

class ModelAccessTest : public ServedFixture {
 protected:
  const ServedModel* Find(const TenantRecord& record, std::string_view name) {
    return FindAllowedModel(context().pool, record, name);
  }
};

TEST_F(ModelAccessTest, ATenantSeesWhatItsListAllows) {
  config_.models[1].aliases = {"second"};
  Serve();
  TenantRecord record;
  EXPECT_EQ(Find(record, "m")->name, "m");
  EXPECT_EQ(Find(record, "second")->name, "other");
  EXPECT_EQ(Find(record, "")->name, "m");
  EXPECT_EQ(Find(record, "nothing"), nullptr);
  record.models = {"other"};
  EXPECT_EQ(Find(record, "m"), nullptr);
  EXPECT_EQ(Find(record, "")->name, "other");
  record.models = {"second"};
  EXPECT_EQ(Find(record, "other")->name, "other");
  record.models = {"nothing"};
  EXPECT_EQ(Find(record, ""), nullptr);
  record.models = {};
  record.target = "second";
  EXPECT_EQ(Find(record, "")->name, "other");
  record.target = "nothing";
  EXPECT_EQ(Find(record, ""), nullptr);
}

TEST_F(ModelAccessTest, TheTenantsPolicyIsOverTheModels) {
  ServedModel model;
  model.speculation.mode = SpeculationMode::kFixed;
  model.speculation.rule = VerifyRule::kMaxAcceptance;
  TenantRecord record;
  EXPECT_EQ(PolicyOf(record, model), model.speculation);
  record.speculation = {.mode = SpeculationMode::kOff, .draft_k = 2, .max_draft_tokens = 3};
  const SpeculativeConfig policy = PolicyOf(record, model);
  EXPECT_EQ(policy.mode, SpeculationMode::kOff);
  EXPECT_EQ(policy.draft_k, 2);
  EXPECT_EQ(policy.max_draft_tokens, 3);
  EXPECT_EQ(policy.rule, VerifyRule::kMaxAcceptance);
}

TEST_F(ModelAccessTest, AForbiddenModelLooksLikeOneThatDoesNotExist) {
  key_ = AddTenant("acme", [](TenantRecord& record) { record.models = {"m"}; });
  Serve();
  const auto answer = [&](const std::string& model) {
    const Called called = Post("/v1/completions", CompletionJson({{"model", model}}));
    EXPECT_EQ(called.status(), 404);
    std::string text = called.raw.body;
    const size_t at = text.find("'" + model + "'");
    EXPECT_NE(at, std::string::npos);
    return text.replace(at, model.size() + 2, "NAME");
  };
  EXPECT_EQ(answer("other"), answer("never"));
  for (const PoolModelState& state : context().pool.States()) EXPECT_FALSE(state.loaded);
}

TEST_F(ModelAccessTest, ATenantsOwnDraftModelDraftsAndOneThatIsMissingDoesNotFailIt) {
  key_ = AddTenant("acme", [](TenantRecord& record) {
    record.draft_model = "other";
    record.speculation = {.mode = SpeculationMode::kFixed, .draft_k = 3, .max_draft_tokens = 4};
  });
  Serve();
  const Json drafted = Post("/v1/completions", CompletionJson()).json();
  EXPECT_GT(drafted["speculation"]["by_source"]["draft"]["drafted"], 0);
  EXPECT_EQ(Ledger()[0].drafted_tokens, drafted["speculation"]["drafted"]);
  EXPECT_EQ(Ledger()[0].accepted_tokens, drafted["speculation"]["accepted"]);
  context().resolve_draft = [](const std::string&, const ServedModel&) -> Result<ModelConfig> {
    return NotFoundError("no such model");
  };
  const Json plain = Post("/v1/completions", CompletionJson()).json();
  EXPECT_EQ(plain["choices"], drafted["choices"]);
  EXPECT_FALSE(plain["speculation"]["by_source"].contains("draft"));
}

TEST_F(ModelAccessTest, AModelThatCannotBeLoadedIsUnavailableWithoutItsFile) {
  config_.models[1].target.path = "/secret/file";
  Serve();
  const Called called = Post("/v1/completions", CompletionJson({{"model", "other"}}));
  EXPECT_EQ(called.status(), 503);
  EXPECT_EQ(called.error("code"), "model_unavailable");
  EXPECT_EQ(called.raw.body.find("secret"), std::string::npos);
  EXPECT_EQ(context().running_requests, 0);
}

TEST_F(ModelAccessTest, WhatWasMadeForATenantThatWasRemovedMeanwhileGoesAsWell) {
  Serve();
  // As of a request that was let in before its tenant was removed, and got its model after that.
  HttpRequest request;
  request.headers = {{"authorization", "Bearer " + key_}};
  const ApiCaller caller = *service().Authenticate(BearerOf(request.headers));
  ASSERT_TRUE(store_->DeleteTenant("acme", true).ok());
  ASSERT_TRUE(context().directory->Reload().ok());
  const auto signal = std::make_shared<WakeSignal>(context().workers.get_executor());
  const ModelWaiter waiter{signal, nullptr};
  const auto acquire = [&]() -> asio::awaitable<std::optional<WireError>> {
    const WireResult<ModelLease> lease = co_await AcquireModel(context(), caller, "m", waiter);
    if (lease.ok()) co_return std::nullopt;
    co_return lease.error();
  };
  const auto error = asio::co_spawn(context().workers, acquire, asio::use_future).get();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->http_status, 401);
  for (const std::string& name : runtime_->manager->TenantNames()) {
    EXPECT_FALSE(name.starts_with("acme@")) << name;
  }
}

}  // namespace
}  // namespace foretoken
