#include "store/tenant_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace foretoken {
namespace {

using ::testing::HasSubstr;

TenantRecord Full() {
  return {.name = "acme",
          .target = "big",
          .draft_model = "small",
          .speculation = TenantSpeculation{SpeculationMode::kFixed, 3, 6},
          .models = {"big", "other"},
          .adapters = {"tone"},
          .weight = 2.5,
          .quota = {.requests_per_minute = 1,
                    .tokens_per_minute = 2,
                    .tokens_per_day = 3,
                    .concurrent_requests = 4},
          .kv_share = 0.25,
          .max_prompt_tokens = 5,
          .max_completion_tokens = 6,
          .enabled = false};
}

TEST(TenantRecordTest, SettingsComeBackAsTheyWere) {
  for (const TenantRecord& tenant : {Full(), TenantRecord{.name = "acme"}}) {
    // On top of other values: each field is written, null ones too.
    TenantRecord read = Full();
    read.speculation->draft_k = 9;
    ASSERT_TRUE(ApplyTenantSettings(TenantSettingsJson(tenant), read).ok());
    EXPECT_EQ(read, tenant);
  }
}

TEST(TenantRecordTest, TheWrittenFormIsStable) {
  EXPECT_EQ(TenantSettingsJson({.name = "x"}),
            R"({"target":"","draft_model":null,"speculation":null,"models":[],"adapters":[],)"
            R"("weight":1.0,"requests_per_minute":0,"tokens_per_minute":0,"tokens_per_day":0,)"
            R"("concurrent_requests":0,"kv_share":1.0,"max_prompt_tokens":0,)"
            R"("max_completion_tokens":0,"enabled":true})");
  EXPECT_THAT(TenantSettingsJson(Full()),
              HasSubstr(R"("speculation":{"mode":"fixed","draft_k":3,"max_draft_tokens":6})"));
}

TEST(TenantRecordTest, APartialChangeLeavesTheRestAndNullIsTheDefault) {
  TenantRecord tenant = Full();
  ASSERT_TRUE(ApplyTenantSettings(
                  R"({"weight": 3, "draft_model": "", "speculation": {"draft_k": 1},
                      "kv_share": null, "enabled": null})",
                  tenant)
                  .ok());
  TenantRecord expected = Full();
  expected.weight = 3;
  expected.draft_model = "";
  expected.speculation->draft_k = 1;
  expected.kv_share = 1;
  expected.enabled = true;
  EXPECT_EQ(tenant, expected);
  ASSERT_TRUE(ApplyTenantSettings(R"({"draft_model": null, "speculation": null})", tenant).ok());
  EXPECT_EQ(tenant.draft_model, std::nullopt);
  EXPECT_EQ(tenant.speculation, std::nullopt);
}

TEST(TenantRecordTest, WrongTypesAndUnknownSettingsAreNamed) {
  const auto expect_refused = [](const char* json, const char* field, const char* wanted) {
    TenantRecord tenant;
    const Status status = ApplyTenantSettings(json, tenant);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << json;
    EXPECT_THAT(status.message(), HasSubstr(field));
    EXPECT_THAT(status.message(), HasSubstr(wanted));
  };
  expect_refused("", "settings", "object");
  expect_refused("[1]", "settings", "object");
  expect_refused(R"({"wieght": 1})", "wieght", "weight");
  expect_refused(R"({"speculation": {"k": 1}})", "speculation.k", "draft_k");
  expect_refused(R"({"name": "other"})", "name", "not a setting");
  expect_refused(R"({"target": 1})", "target is 1", "string");
  expect_refused(R"({"draft_model": false})", "draft_model", "string");
  expect_refused(R"({"models": "big"})", "models", "array");
  expect_refused(R"({"models": ["big", 1]})", "models", "array of strings");
  expect_refused(R"({"weight": "1"})", "weight", "number");
  expect_refused(R"({"enabled": 1})", "enabled", "true or false");
  expect_refused(R"({"tokens_per_day": 1.5})", "tokens_per_day is 1.5", "whole");
  expect_refused(R"({"tokens_per_day": 9223372036854775808})", "tokens_per_day", "whole");
  expect_refused(R"({"speculation": {"draft_k": 2147483648}})", "speculation.draft_k", "whole");
  expect_refused(R"({"speculation": {"draft_k": -2147483649}})", "speculation.draft_k", "whole");
  expect_refused(R"({"speculation": {"mode": "on"}})", "speculation.mode", "auto");
  expect_refused(R"({"speculation": "off"})", "speculation", "object");
}

TEST(TenantRecordTest, NamesAreThoseThatFitEverywhere) {
  for (const char* name : {"a", "0", "acme", "acme-2.test_x"}) {
    EXPECT_TRUE(ValidateTenantName(name).ok()) << name;
  }
  EXPECT_TRUE(ValidateTenantName(std::string(63, 'a')).ok());
  EXPECT_FALSE(ValidateTenantName(std::string(64, 'a')).ok());
  for (const char* name : {"", "Acme", ".a", "-a", "_a", "a b", "a/b", "\xC3\xA4", "a\n"}) {
    const Status status = ValidateTenantName(name);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << name;
  }
}

TEST(TenantRecordTest, ValuesOutOfRangeAreNamed) {
  EXPECT_TRUE(Validate(Full()).ok()) << Validate(Full()).ToString();
  EXPECT_TRUE(Validate(TenantRecord{.name = "a"}).ok());
  const auto expect_refused = [](auto change, const char* field) {
    TenantRecord tenant = Full();
    change(tenant);
    const Status status = Validate(tenant);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(status.message(), HasSubstr(field));
  };
  expect_refused([](TenantRecord& t) { t.name = "A"; }, "'A'");
  expect_refused([](TenantRecord& t) { t.target = "none of them"; }, "none of them");
  expect_refused([](TenantRecord& t) { t.target = "a\nb"; }, "target");
  expect_refused([](TenantRecord& t) { t.draft_model = std::string(257, 'x'); }, "draft_model");
  expect_refused([](TenantRecord& t) { t.models.emplace_back(""); }, "models");
  expect_refused([](TenantRecord& t) { t.models.emplace_back("\xFF"); }, "models");
  expect_refused([](TenantRecord& t) { t.adapters.assign(1001, "a"); }, "adapters");
  expect_refused([](TenantRecord& t) { t.speculation->draft_k = -1; }, "draft_k is -1");
  expect_refused([](TenantRecord& t) { t.speculation->max_draft_tokens = -1; }, "max_draft_tokens");
  expect_refused([](TenantRecord& t) { t.weight = 0; }, "weight is 0");
  expect_refused([](TenantRecord& t) { t.weight = 1001; }, "weight");
  expect_refused([](TenantRecord& t) { t.weight = std::nan(""); }, "weight is nan");
  expect_refused([](TenantRecord& t) { t.quota.tokens_per_day = -1; }, "tokens_per_day");
  expect_refused([](TenantRecord& t) { t.kv_share = 0; }, "kv_share is 0");
  expect_refused([](TenantRecord& t) { t.kv_share = 1.01; }, "kv_share");
  expect_refused([](TenantRecord& t) { t.kv_share = std::nan(""); }, "kv_share");
  expect_refused([](TenantRecord& t) { t.max_prompt_tokens = -1; }, "max_prompt_tokens");
  expect_refused([](TenantRecord& t) { t.max_completion_tokens = -1; }, "max_completion_tokens");
}

}  // namespace
}  // namespace foretoken
