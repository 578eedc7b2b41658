#include "store/api_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace foretoken {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ApiKeyTest, AKeyHasTheShapeThatIsDocumentedAndKnowsItsId) {
  const Result<std::string> key = NewApiKey();
  ASSERT_TRUE(key.ok()) << key.status().ToString();
  EXPECT_EQ(key->size(), kApiKeyBytes);
  EXPECT_TRUE(key->starts_with("ftk_"));
  EXPECT_TRUE(std::all_of(key->begin() + 4, key->end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  }));
  const Result<std::string> id = ApiKeyId(*key);
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(*id, key->substr(0, 12));
}

TEST(ApiKeyTest, KeysDifferAndUseEveryCharacterAlike) {
  constexpr int kKeys = 2000;
  std::set<std::string> ids;
  std::map<char, int> counts;
  for (int i = 0; i < kKeys; ++i) {
    const Result<std::string> key = NewApiKey();
    ASSERT_TRUE(key.ok());
    ids.insert(key->substr(0, kApiKeyIdBytes));
    for (const char c : key->substr(4, 43)) ++counts[c];
  }
  EXPECT_EQ(ids.size(), kKeys);
  ASSERT_EQ(counts.size(), 62u);
  // 1,387 of each are expected, with a deviation of 37: a byte taken modulo 62 without rejection
  // would put 8 characters at 1,680.
  for (const auto& [c, count] : counts) {
    EXPECT_GT(count, 1387 - 230) << c;
    EXPECT_LT(count, 1387 + 230) << c;
  }
}

TEST(ApiKeyTest, EveryChangeOfOneCharacterIsNoticed) {
  const std::string key = *NewApiKey();
  for (size_t i = 0; i < key.size(); ++i) {
    std::string wrong = key;
    wrong[i] = wrong[i] == 'x' ? 'y' : 'x';
    const Result<std::string> id = ApiKeyId(wrong);
    ASSERT_FALSE(id.ok()) << i;
    EXPECT_EQ(id.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(id.status().message(), Not(HasSubstr(wrong.substr(4))));
  }
  std::string swapped = key;
  size_t at = 20;
  while (swapped[at] == swapped[at + 1]) ++at;
  std::swap(swapped[at], swapped[at + 1]);
  EXPECT_FALSE(ApiKeyId(swapped).ok());
}

TEST(ApiKeyTest, OtherLengthsAndOtherSecretsAreRefused) {
  const std::string key = *NewApiKey();
  EXPECT_THAT(ApiKeyId("").status().message(), HasSubstr("ftk_"));
  EXPECT_THAT(ApiKeyId("sk-abc").status().message(), HasSubstr("ftk_"));
  EXPECT_THAT(ApiKeyId(key.substr(0, 52)).status().message(), HasSubstr("52"));
  EXPECT_THAT(ApiKeyId(key + "0").status().message(), HasSubstr("54"));
  EXPECT_FALSE(ApiKeyId(" " + key).ok());
}

TEST(ApiKeyTest, WhatIsStoredIsTheSha256OfTheKey) {
  // From `printf ftk_test | sha256sum`.
  EXPECT_EQ(ApiKeyHash("ftk_test"),
            "568d1940cd2ee530faa1fe22914cdc6126459b96346878ed0be24e8d1341f8cc");
}

TEST(ApiKeyTest, SecretsAreComparedWhole) {
  EXPECT_TRUE(SameSecret("abc", "abc"));
  EXPECT_TRUE(SameSecret("", ""));
  EXPECT_FALSE(SameSecret("abc", "abd"));
  EXPECT_FALSE(SameSecret("xbc", "abc"));
  EXPECT_FALSE(SameSecret("ab", "abc"));
}

TEST(ApiKeyTest, LabelsAreOneLineOfUtf8) {
  EXPECT_TRUE(ValidateKeyLabel("").ok());
  EXPECT_TRUE(ValidateKeyLabel("CI of Zo\xC3\xAB").ok());
  EXPECT_TRUE(ValidateKeyLabel(std::string(128, 'x')).ok());
  EXPECT_FALSE(ValidateKeyLabel(std::string(129, 'x')).ok());
  EXPECT_FALSE(ValidateKeyLabel("two\nlines").ok());
  EXPECT_FALSE(ValidateKeyLabel("\x7F").ok());
  EXPECT_FALSE(ValidateKeyLabel("\xC3").ok());
}

}  // namespace
}  // namespace foretoken
