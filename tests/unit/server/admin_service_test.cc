#include "server/admin_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "server/api_context.h"
#include "unit/server/served_fixture.h"

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class AdminServiceTest : public ServedFixture {};

TEST_F(AdminServiceTest, EverythingButHealthNeedsTheSecret) {
  Serve();
  for (const char* path : {"/metrics", "/admin/tenants", "/admin/tenants/acme", "/admin/keys",
                           "/admin/usage", "/", "/v1/models"}) {
    for (const char* method : {"GET", "POST", "DELETE"}) {
      for (const std::string& secret :
           {std::string(), std::string("x"), key_, std::string(kSecret) + "x",
            std::string(kSecret).substr(1)}) {
        EXPECT_EQ(Admin(method, path, "", secret).status(), 401) << method << path << secret;
      }
    }
  }
  EXPECT_EQ(Admin("GET", "/health/live", "", "").status(), 200);
  EXPECT_EQ(Admin("GET", "/health/ready", "", "").status(), 200);
  context().is_draining = true;
  EXPECT_EQ(Admin("GET", "/health/live", "", "").status(), 200);
  EXPECT_EQ(Admin("GET", "/health/ready", "", "").status(), 503);
}

TEST_F(AdminServiceTest, TheSecretOpensNothingOfTheApiAndItsPathsAreNotThere) {
  Serve();
  EXPECT_EQ(Call("GET", "/v1/models", "", kSecret).status(), 401);
  EXPECT_EQ(Get("/metrics").status(), 404);
  EXPECT_EQ(Get("/admin/tenants").status(), 404);
  EXPECT_EQ(Admin("GET", "/v1/models").status(), 404);
}

TEST_F(AdminServiceTest, ATenantIsMadeChangedListedAndRemoved) {
  Serve();
  const Called made = Admin("POST", "/admin/tenants", R"({"name": "new", "weight": 2})");
  ASSERT_EQ(made.status(), 201) << made.raw.body;
  EXPECT_EQ(made.json()["name"], "new");
  EXPECT_EQ(made.json()["weight"], 2);
  EXPECT_EQ(made.json()["enabled"], true);
  EXPECT_EQ(Admin("POST", "/admin/tenants", R"({"name": "new"})").status(), 409);
  const Called changed =
      Admin("PATCH", "/admin/tenants/new", R"({"tokens_per_minute": 7, "models": ["m"]})");
  ASSERT_EQ(changed.status(), 200) << changed.raw.body;
  EXPECT_EQ(changed.json()["weight"], 2);
  EXPECT_EQ(changed.json()["tokens_per_minute"], 7);
  EXPECT_EQ(Admin("GET", "/admin/tenants/new").json(), changed.json());
  EXPECT_EQ(Admin("GET", "/admin/tenants").json()["tenants"].size(), 2u);
  const Called removed = Admin("DELETE", "/admin/tenants/new");
  EXPECT_EQ(removed.json()["tenant"], true);
  EXPECT_EQ(Admin("GET", "/admin/tenants/new").status(), 404);
  EXPECT_EQ(Admin("PATCH", "/admin/tenants/new", "{}").status(), 404);
  EXPECT_EQ(Admin("DELETE", "/admin/tenants/new").status(), 404);
}

TEST_F(AdminServiceTest, WrongRequestsChangeNothingAndSayWhy) {
  Serve();
  struct Case {
    const char* body;
    const char* message;
  };
  for (const auto& [body, message] : std::vector<Case>{
           {"", "JSON object"},
           {"[]", "JSON object"},
           {"{", "JSON object"},
           {"{}", "'name' is missing"},
           {R"({"name": 1})", "'name' must be a text"},
           {R"({"name": "A B"})", "name"},
           {R"({"name": "b", "weight": -1})", "weight"},
           {R"({"name": "b", "colour": 1})", "colour"},
       }) {
    const Called called = Admin("POST", "/admin/tenants", body);
    EXPECT_EQ(called.status(), 400) << body;
    EXPECT_THAT(called.error("message"), HasSubstr(message)) << body;
  }
  EXPECT_EQ(Admin("PATCH", "/admin/tenants/acme", R"({"weight": "x"})").status(), 400);
  EXPECT_EQ(Admin("GET", "/admin/tenants").json()["tenants"].size(), 1u);
  EXPECT_EQ(Admin("GET", "/admin/tenants/acme").json()["weight"], 1);
}

TEST_F(AdminServiceTest, ChangesAreInForceWithTheirAnswer) {
  Serve();
  ASSERT_EQ(Admin("POST", "/admin/tenants", R"({"name": "new"})").status(), 201);
  const Called made = Admin("POST", "/admin/keys", R"({"tenant": "new", "label": "night"})");
  ASSERT_EQ(made.status(), 201) << made.raw.body;
  EXPECT_EQ(made.header("cache-control"), "no-store");
  const std::string key = made.json()["key"];
  EXPECT_EQ(Call("GET", "/v1/models", "", key).json()["data"].size(), 2u);
  ASSERT_EQ(Admin("PATCH", "/admin/tenants/new", R"({"models": ["m"]})").status(), 200);
  EXPECT_EQ(Call("GET", "/v1/models", "", key).json()["data"].size(), 1u);
  ASSERT_EQ(Admin("PATCH", "/admin/tenants/new", R"({"enabled": false})").status(), 200);
  EXPECT_EQ(Call("GET", "/v1/models", "", key).status(), 403);
  ASSERT_EQ(Admin("PATCH", "/admin/tenants/new", R"({"enabled": true})").status(), 200);
  const std::string id = made.json()["id"];
  ASSERT_EQ(Admin("DELETE", "/admin/keys/" + id).status(), 200);
  EXPECT_EQ(Call("GET", "/v1/models", "", key).status(), 401);
}

TEST_F(AdminServiceTest, KeysAreListedWithoutTheirSecrets) {
  Serve();
  const Called made =
      Admin("POST", "/admin/keys", R"({"tenant": "acme", "label": "l", "expires": "2030-01-01"})");
  const std::string secret = made.json()["key"];
  AddTenant("other");
  EXPECT_EQ(Admin("GET", "/admin/keys").json()["keys"].size(), 3u);
  const Called listed = Admin("GET", "/admin/keys?tenant=acme");
  ASSERT_EQ(listed.json()["keys"].size(), 2u);
  EXPECT_EQ(listed.raw.body.find(secret), std::string::npos);
  EXPECT_EQ(listed.raw.body.find(key_), std::string::npos);
  const Json key = listed.json()["keys"][1];
  EXPECT_EQ(key["label"], "l");
  EXPECT_THAT(key["expires"].get<std::string>(), HasSubstr("2030-01-01T00:00:00"));
  EXPECT_TRUE(key["revoked"].is_null());
  ASSERT_EQ(Admin("DELETE", "/admin/keys/" + key["id"].get<std::string>()).status(), 200);
  EXPECT_TRUE(Admin("GET", "/admin/keys?tenant=acme").json()["keys"][1]["revoked"].is_string());
  EXPECT_EQ(Admin("DELETE", "/admin/keys/ftk_00000000").status(), 404);
  EXPECT_EQ(Admin("POST", "/admin/keys", R"({"tenant": "nobody"})").status(), 404);
  EXPECT_EQ(Admin("POST", "/admin/keys", R"({"label": "x"})").status(), 400);
  EXPECT_EQ(Admin("POST", "/admin/keys", R"({"tenant": "acme", "x": 1})").status(), 400);
  EXPECT_EQ(Admin("POST", "/admin/keys", R"({"tenant": "acme", "expires": "x"})").status(), 400);
}

TEST_F(AdminServiceTest, UsageIsAddedUpAsAsked) {
  Serve();
  const std::string other = AddTenant("other");
  ASSERT_EQ(Post("/v1/completions", CompletionJson()).status(), 200);
  ASSERT_EQ(Post("/v1/completions", CompletionJson()).status(), 200);
  ASSERT_EQ(
      Call("POST", "/v1/completions", CompletionJson({{"model", "other"}}).dump(), other).status(),
      200);
  const Json all = Admin("GET", "/admin/usage").json()["usage"];
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0]["requests"], 3);
  EXPECT_EQ(all[0]["completion_tokens"], 36);
  const Json split = Admin("GET", "/admin/usage?by=tenant%2Cmodel").json()["usage"];
  ASSERT_EQ(split.size(), 2u);
  EXPECT_EQ(split[0]["tenant"], "acme");
  EXPECT_EQ(split[0]["completion_tokens"], 24);
  EXPECT_EQ(split[1]["model"], "other");
  EXPECT_EQ(Admin("GET", "/admin/usage?tenant=other").json()["usage"][0]["requests"], 1);
  const Json before = Admin("GET", "/admin/usage?by=tenant&to=2020-01-01T00%3A00%3A00Z").json();
  EXPECT_TRUE(before["usage"].empty()) << before;
  EXPECT_EQ(Admin("GET", "/admin/usage?by=colour").status(), 400);
  EXPECT_EQ(Admin("GET", "/admin/usage?from=yesterday").status(), 400);
}

TEST_F(AdminServiceTest, WrongMethodsAndPathsAreTold) {
  Serve();
  struct Case {
    const char* method;
    const char* path;
    const char* allowed;
  };
  for (const auto& [method, path, allowed] : std::vector<Case>{
           {"POST", "/metrics", "GET, HEAD"},
           {"DELETE", "/health/live", "GET, HEAD"},
           {"DELETE", "/admin/tenants", "GET, POST"},
           {"POST", "/admin/tenants/acme", "GET, PATCH, DELETE"},
           {"PATCH", "/admin/keys", "GET, POST"},
           {"GET", "/admin/keys/x", "DELETE"},
           {"POST", "/admin/usage", "GET"},
       }) {
    const Called called = Admin(method, path, "{}");
    EXPECT_EQ(called.status(), 405) << method << path;
    EXPECT_EQ(called.header("allow"), allowed) << method << path;
  }
  for (const char* path : {"/", "/admin", "/admin/tenantsx", "/admin/usage/x"}) {
    EXPECT_EQ(Admin("GET", path).status(), 404) << path;
  }
}

TEST_F(AdminServiceTest, RemovingATenantEndsItsRequestsAndItsKeys) {
  Serve();
  gate_.Allow(4);
  RawHttpClient client(port());
  const Json body = CompletionJson({{"max_tokens", 400}, {"stream", true}});
  ASSERT_TRUE(client.Send(RequestText("POST", "/v1/completions", body.dump(), key_)));
  client.ReadUntil("\"text\"");
  // The engine looks for what it is told between two decodes.
  gate_.Open();
  const Called removed = Admin("DELETE", "/admin/tenants/acme?usage=keep");
  EXPECT_EQ(removed.json()["keys"], 1);
  client.ReadUntil("\r\n0\r\n\r\n");
  EXPECT_EQ(Get("/v1/models").status(), 401);
  EXPECT_EQ(RunningInEngines(), 0);
  for (const std::string& name : runtime_->manager->TenantNames()) {
    EXPECT_FALSE(name.starts_with("acme@")) << name;
  }
}

TEST_F(AdminServiceTest, MetricsCountWhatWasServed) {
  Serve();
  ASSERT_EQ(Post("/v1/completions", CompletionJson()).status(), 200);
  const Called page = Admin("GET", "/metrics");
  EXPECT_EQ(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(page.raw.body,
              HasSubstr("foretoken:generation_tokens_total{model_name=\"m\",engine=\"0\"} 12"));
  EXPECT_THAT(page.raw.body, HasSubstr("foretoken:tenant_generation_tokens_total{tenant=\"acme\","
                                       "model_name=\"m\"} 12"));
  EXPECT_THAT(page.raw.body, HasSubstr("foretoken:model_loaded{model_name=\"other\"} 0"));
}

TEST_F(AdminServiceTest, WithoutAStoreThereAreNoTenantsButMetrics) {
  has_store_ = false;
  Serve();
  EXPECT_EQ(Admin("GET", "/admin/tenants").status(), 409);
  EXPECT_EQ(Admin("GET", "/admin/usage").status(), 409);
  EXPECT_EQ(Admin("GET", "/metrics").status(), 200);
}

TEST(AdminSecretTest, AFileForItsOwnerAloneGivesItsFirstLine) {
  const testing::TempDirectory directory;
  const std::string path = directory.Write("secret", "0123456789abcdef \r\nsecond line\n");
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  EXPECT_EQ(ReadSecretFile(path).value(), "0123456789abcdef");
  for (const mode_t mode : {0640, 0604, 0666, 0610}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    const Status status = ReadSecretFile(path).status();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << mode;
    EXPECT_THAT(status.message(), HasSubstr("chmod 600 " + path));
  }
}

TEST(AdminSecretTest, AShortOrMissingSecretIsRefused) {
  const testing::TempDirectory directory;
  for (const char* text : {"", "\n0123456789abcdef", "0123456789abcde", "            \t    "}) {
    const std::string path = directory.Write("secret", text);
    ASSERT_EQ(chmod(path.c_str(), 0600), 0);
    EXPECT_EQ(ReadSecretFile(path).status().code(), StatusCode::kFailedPrecondition) << text;
  }
  EXPECT_EQ(ReadSecretFile(directory.path() + "/none").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace foretoken
