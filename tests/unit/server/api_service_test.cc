#include "server/api_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "server/api_context.h"
#include "server/openapi_document.h"
#include "unit/server/served_fixture.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class ApiServiceTest : public ServedFixture {};

TEST_F(ApiServiceTest, WithoutAValidKeyEverythingIs401) {
  Serve();
  const std::string other_store_key = "ftk_" + std::string(49, 'a');
  for (const std::string& key : {std::string(), std::string("x"), other_store_key, key_ + "x",
                                 key_.substr(0, key_.size() - 1)}) {
    for (const char* path : {"/v1/models", "/v1/chat/completions", "/v1/nothing", "/metrics",
                             "/admin/tenants", "/", "/health/live/x", "/openapi.json/"}) {
      for (const char* method : {"GET", "POST", "DELETE", "OPTIONS"}) {
        const Called called = Call(method, path, "", key);
        EXPECT_EQ(called.status(), 401) << method << " " << path << " " << key;
        EXPECT_EQ(called.error("code"), "invalid_api_key");
        EXPECT_EQ(called.header("www-authenticate"), "Bearer");
      }
    }
  }
  EXPECT_TRUE(Ledger().empty());
}

TEST_F(ApiServiceTest, HealthAndTheDocumentAreOpenAndSayNothingOfTenants) {
  Serve();
  for (const char* path : {"/health/live", "/health/ready"}) {
    const Called called = Call("GET", path);
    EXPECT_EQ(called.status(), 200);
    EXPECT_EQ(called.json(), (Json{{"status", "ok"}}));
    EXPECT_EQ(Call("HEAD", path).status(), 200);
    const Called posted = Call("POST", path, "{}");
    EXPECT_EQ(posted.status(), 405);
    EXPECT_EQ(posted.header("allow"), "GET, HEAD");
  }
  EXPECT_EQ(Call("GET", "/openapi.json").raw.body, OpenApiDocument());
  context().is_draining = true;
  EXPECT_EQ(Call("GET", "/health/live").status(), 200);
  const Called ready = Call("GET", "/health/ready");
  EXPECT_EQ(ready.status(), 503);
  EXPECT_EQ(ready.json(), (Json{{"status", "draining"}}));
}

TEST_F(ApiServiceTest, UnknownPathsAndWrongMethodsAreTold) {
  Serve();
  for (const char* path : {"/", "/v1", "/v1/models/", "/v1/chat/completions/", "/v1/Models"}) {
    const Called called = Get(path);
    EXPECT_EQ(called.status(), 404) << path;
    EXPECT_EQ(called.error("code"), "not_found") << path;
  }
  for (const char* path :
       {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/tokenize", "/detokenize"}) {
    const Called called = Get(path);
    EXPECT_EQ(called.status(), 405) << path;
    EXPECT_EQ(called.header("allow"), "POST") << path;
  }
  const Called called = Post("/v1/models", Json::object());
  EXPECT_EQ(called.status(), 405);
  EXPECT_EQ(called.header("allow"), "GET, HEAD");
}

TEST_F(ApiServiceTest, HeadIsGetWithoutABody) {
  Serve();
  const Called get = Get("/v1/models");
  const Called head = Call("HEAD", "/v1/models", "", key_);
  EXPECT_EQ(head.status(), 200);
  EXPECT_EQ(head.header("content-length"), get.header("content-length"));
  EXPECT_EQ(head.raw.body, "");
}

TEST_F(ApiServiceTest, ARevokedKeyIsRefusedWithinASecondWhoeverRevokedIt) {
  Serve();
  ASSERT_EQ(Get("/v1/models").status(), 200);
  const std::string id = store_->ListKeys("acme")->front().id;
  ASSERT_TRUE(store_->RevokeKey(id).ok());
  Await([&] { return Get("/v1/models").status() == 401; });
}

TEST_F(ApiServiceTest, ADisabledTenantsKeysAre403UntilItIsEnabled) {
  Serve();
  const auto enable = [&](bool enabled) {
    ASSERT_TRUE(store_
                    ->UpdateTenant("acme",
                                   [&](TenantRecord& record) {
                                     record.enabled = enabled;
                                     return OkStatus();
                                   })
                    .ok());
  };
  enable(false);
  Await([&] { return Get("/v1/models").status() == 403; });
  EXPECT_EQ(Post("/v1/chat/completions", ChatJson()).status(), 403);
  enable(true);
  Await([&] { return Get("/v1/models").status() == 200; });
}

TEST_F(ApiServiceTest, AKeyRevokedWhileTheBodyComesIsRefused) {
  Serve();
  RawHttpClient client(port());
  const std::string text = RequestText("POST", "/v1/chat/completions", ChatJson().dump(), key_);
  ASSERT_TRUE(client.Send(std::string_view(text).substr(0, text.size() - 1)));
  ASSERT_TRUE(store_->RevokeKey(store_->ListKeys("acme")->front().id).ok());
  ASSERT_TRUE(context().directory->Reload().ok());
  ASSERT_TRUE(client.Send(text.substr(text.size() - 1)));
  EXPECT_EQ(client.ReadResponse().status, 401);
  EXPECT_TRUE(Ledger().empty());
}

TEST_F(ApiServiceTest, WithoutAStoreEveryoneIsTheOneTenant) {
  has_store_ = false;
  Serve();
  EXPECT_EQ(Call("GET", "/v1/models").status(), 200);
  const Called called = Call("POST", "/v1/completions", CompletionJson().dump(), "any key");
  EXPECT_EQ(called.status(), 200);
  EXPECT_EQ(called.json()["choices"][0]["text"], Direct("hello", DirectOptions()).text);
}

TEST_F(ApiServiceTest, EndpointsHaveNamesThatNoClientMakesUp) {
  std::set<std::string> names;
  for (const char* path : {"/v1/models/a", "/v1/models/b/c"}) {
    names.insert(ApiService::EndpointOf(path));
  }
  EXPECT_EQ(names, std::set<std::string>{"/v1/models/"});
  EXPECT_EQ(ApiService::EndpointOf("/v1/chat/completions"), "/v1/chat/completions");
  EXPECT_EQ(ApiService::EndpointOf("/health/live"), "/health/live");
  for (const char* path : {"", "/", "/v1/models/", "/v1/chat/completions/1", "*"}) {
    EXPECT_EQ(ApiService::EndpointOf(path), "other") << path;
  }
}

}  // namespace
}  // namespace foretoken
