#include "server/bearer.h"

#include <gtest/gtest.h>

namespace foretoken {
namespace {

TEST(BearerTest, TheKeyIsWhatFollowsTheScheme) {
  EXPECT_EQ(BearerOf({{"Authorization", "Bearer ftk_1"}}), "ftk_1");
  EXPECT_EQ(BearerOf({{"authorization", "bEARER   ftk_1"}}), "ftk_1");
  EXPECT_EQ(BearerOf({{"x", "y"}, {"AUTHORIZATION", "BEARER a b"}}), "a b");
}

TEST(BearerTest, WhatIsNoBearerIsNoKey) {
  EXPECT_EQ(BearerOf({}), "");
  for (const char* value : {"", "Bearer", "Bearer ", "Bearer   ", "Basic ftk_1", "Bearerftk_1",
                            "ftk_1", " Bearer ftk_1", "\x42\x45\x41\x52\x45\x52\x00 x"}) {
    EXPECT_EQ(BearerOf({{"authorization", value}}), "") << value;
  }
  // The first header counts, as in everything that reads headers by name.
  EXPECT_EQ(BearerOf({{"authorization", "Basic x"}, {"authorization", "Bearer y"}}), "");
}

}  // namespace
}  // namespace foretoken
