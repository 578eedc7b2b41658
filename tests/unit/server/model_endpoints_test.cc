#include "server/model_endpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unit/server/served_fixture.h"

namespace foretoken {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

class ModelEndpointsTest : public ServedFixture {
 protected:
  std::vector<std::string> Names(const std::string& key) {
    std::vector<std::string> names;
    const Called called = Call("GET", "/v1/models", "", key);
    const Json body = called.json();
    for (const Json& model : body["data"]) names.push_back(model["id"]);
    return names;
  }
};

TEST_F(ModelEndpointsTest, OnlyAllowedModelsAreListed) {
  Serve();
  const std::string some = AddTenant("some", [](TenantRecord& r) { r.models = {"other"}; });
  const std::string none = AddTenant("none", [](TenantRecord& r) { r.models = {"x"}; });
  EXPECT_THAT(Names(key_), ElementsAre("m", "other"));
  EXPECT_THAT(Names(some), ElementsAre("other"));
  EXPECT_THAT(Names(none), ElementsAre());
  EXPECT_EQ(Call("GET", "/v1/models/m", "", some).status(), 404);
  EXPECT_EQ(Call("GET", "/v1/models/other", "", some).json()["id"], "other");
  EXPECT_EQ(Get("/v1/models/x").error("code"), "model_not_found");
}

TEST_F(ModelEndpointsTest, NamesWithSlashesAndAliasesAreFound) {
  config_.models[0].name = "org/m";
  config_.models[1].aliases = {"alias"};
  Serve();
  EXPECT_EQ(Get("/v1/models/org/m").json()["id"], "org/m");
  EXPECT_EQ(Get("/v1/models/org%2Fm").json()["id"], "org/m");
  EXPECT_EQ(Get("/v1/models/alias").json()["id"], "other");
}

TEST_F(ModelEndpointsTest, TokensOfATextAreTheModelsAndComeBackAsText) {
  Serve();
  const Called called =
      Post("/tokenize", {{"model", "m"}, {"prompt", "hello"}, {"return_token_strs", true}});
  ASSERT_EQ(called.status(), 200) << called.raw.body;
  const Json body = called.json();
  // The fake vocabulary: the begin of text, then 1 + byte modulo 15.
  std::vector<int> expected = {1};
  for (const char c : std::string("hello")) expected.push_back(1 + c % 15);
  EXPECT_EQ(body["tokens"], Json(expected));
  EXPECT_EQ(body["count"], 6);
  EXPECT_EQ(body["max_model_len"], 512);
  EXPECT_EQ(body["token_strs"].size(), 6u);
  const Json without =
      Post("/tokenize", {{"model", "m"}, {"prompt", "hello"}, {"add_special_tokens", false}})
          .json();
  EXPECT_EQ(without["count"], 5);
  const Called text = Post("/detokenize", {{"model", "m"}, {"tokens", {1, 4, 8, 0, 9}}});
  EXPECT_EQ(text.json()["prompt"], "aabbc");
}

TEST_F(ModelEndpointsTest, WrongTokensAndModelsAreNamed) {
  Serve();
  const Called token = Post("/detokenize", {{"model", "m"}, {"tokens", {1, 16}}});
  EXPECT_EQ(token.status(), 400);
  EXPECT_EQ(token.error("param"), "tokens[1]");
  EXPECT_THAT(token.error("message"), HasSubstr("0 to 15"));
  for (const char* path : {"/tokenize", "/detokenize"}) {
    EXPECT_EQ(Call("POST", path, "{", key_).status(), 400) << path;
    const Json body = {{"model", "x"}, {"prompt", "a"}, {"tokens", {1}}};
    EXPECT_EQ(Post(path, body).status(), 404) << path;
  }
}

TEST_F(ModelEndpointsTest, LargeTextsGiveWhatSmallOnesDo) {
  Serve();
  const std::string text(50'000, 'a');
  const Json tokens = Post("/tokenize", {{"model", "m"}, {"prompt", text}}).json()["tokens"];
  ASSERT_EQ(tokens.size(), 50'001u);
  const Called back = Post("/detokenize", {{"model", "m"}, {"tokens", tokens}});
  EXPECT_EQ(back.json()["prompt"].get<std::string>().size(), 50'001u);
  EXPECT_TRUE(Ledger().empty());
}

}  // namespace
}  // namespace foretoken
