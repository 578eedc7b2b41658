#include <gtest/gtest.h>

#include "foretoken/foretoken.h"
#include "headers/umbrella_other.h"

namespace foretoken {
namespace {

TEST(UmbrellaTest, TwoSourcesThatIncludeItLinkAndAgree) {
  EXPECT_EQ(sizeof(GenerateRequest), OtherSourcesRequestBytes());
  EXPECT_EQ(OkStatus(), OtherSourcesOkStatus());
  EXPECT_EQ(GenerateOptions().max_tokens, OtherSourcesMaxTokens());
}

}  // namespace
}  // namespace foretoken
