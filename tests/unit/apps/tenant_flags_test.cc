#include "tenant_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

namespace foretoken {
namespace {

using ::testing::HasSubstr;

// What a command line makes of a tenant. Words are between single spaces; two make an empty one.
Result<TenantRecord> Applied(const std::string& line, TenantRecord tenant = {.name = "acme"}) {
  std::vector<std::string> words;
  std::istringstream stream(line);
  for (std::string word; std::getline(stream, word, ' ');) words.push_back(word);
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  CLI::App app;
  TenantFlags flags;
  AddTenantFlags(app, flags);
  app.parse(words);
  if (const Status status = ApplyTenantFlags(flags, tenant); !status.ok()) return status;
  return tenant;
}

TEST(TenantFlagsTest, WhatIsNotSaidIsNotChanged) {
  const TenantRecord tenant = {.name = "acme",
                               .target = "big",
                               .draft_model = "small",
                               .speculation = TenantSpeculation{SpeculationMode::kOff, 1, 2},
                               .models = {"big"},
                               .weight = 3,
                               .enabled = false};
  EXPECT_EQ(*Applied("", tenant), tenant);
}

TEST(TenantFlagsTest, EveryFlagSetsItsField) {
  const auto tenant = Applied(
      "--target big --draft small --speculation 5 --max-draft-tokens 7 --models big,other "
      "--adapters tone --weight 2.5 --requests-per-minute 1 --tokens-per-minute 2 "
      "--tokens-per-day 3 --concurrent-requests 4 --kv-share 0.5 --max-prompt-tokens 5 "
      "--max-completion-tokens 6 --disable");
  ASSERT_TRUE(tenant.ok()) << tenant.status().ToString();
  EXPECT_EQ(*tenant, (TenantRecord{.name = "acme",
                                   .target = "big",
                                   .draft_model = "small",
                                   .speculation = TenantSpeculation{SpeculationMode::kFixed, 5, 7},
                                   .models = {"big", "other"},
                                   .adapters = {"tone"},
                                   .weight = 2.5,
                                   .quota = {.requests_per_minute = 1,
                                             .tokens_per_minute = 2,
                                             .tokens_per_day = 3,
                                             .concurrent_requests = 4},
                                   .kv_share = 0.5,
                                   .max_prompt_tokens = 5,
                                   .max_completion_tokens = 6,
                                   .enabled = false}));
}

TEST(TenantFlagsTest, WordsStandForNoneAndForTheServersDefault) {
  EXPECT_EQ(Applied("--draft none")->draft_model, "");
  const TenantRecord tenant = {.name = "acme",
                               .target = "big",
                               .draft_model = "small",
                               .speculation = TenantSpeculation{},
                               .models = {"big"},
                               .adapters = {"tone"}};
  EXPECT_EQ(*Applied("--target default --draft default --speculation default "
                     "--adapters  --models  --enable",
                     tenant),
            TenantRecord{.name = "acme"});
  EXPECT_TRUE(Applied("--enable", {.name = "a", .enabled = false})->enabled);
}

TEST(TenantFlagsTest, SpeculationIsAModeOrANumber) {
  EXPECT_EQ(Applied("--speculation auto")->speculation, TenantSpeculation{});
  EXPECT_EQ(Applied("--speculation off")->speculation->mode, SpeculationMode::kOff);
  // The bound of what may be asked for rises with what is always drafted.
  EXPECT_EQ(Applied("--speculation 12")->speculation,
            (TenantSpeculation{SpeculationMode::kFixed, 12, 12}));
  EXPECT_EQ(Applied("--max-draft-tokens 3")->speculation,
            (TenantSpeculation{SpeculationMode::kAuto, 4, 3}));
  for (const char* wrong : {"on", "-1", "4x", "99999999999"}) {
    const Status status = Applied(std::string("--speculation=") + wrong).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << wrong;
    EXPECT_THAT(status.message(), HasSubstr(wrong));
  }
}

TEST(TenantFlagsTest, NamesInAListAreKeptAsTheyAre) {
  EXPECT_EQ(Applied("--models a,,b")->models, (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(Applied("--models a,")->models, (std::vector<std::string>{"a"}));
}

TEST(TenantFlagsTest, OppositesExcludeEachOther) {
  EXPECT_THROW((void)Applied("--enable --disable"), CLI::ExcludesError);
  EXPECT_THROW((void)Applied("--weight much"), CLI::ConversionError);
}

}  // namespace
}  // namespace foretoken
