#include "server/http_target.h"

#include <gtest/gtest.h>

namespace foretoken {
namespace {

TEST(HttpTargetTest, ThePathIsDecodedOnceAndTheQueryIsNot) {
  const Result<HttpTarget> target = ParseHttpTarget("/v1/models/a%2Fb%20c%25%C3%A9?x=%20&y=?");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target.value().path, "/v1/models/a/b c%\xC3\xA9");
  EXPECT_EQ(target.value().query, "x=%20&y=?");
}

TEST(HttpTargetTest, DotSegmentsStayAsTheyAre) {
  EXPECT_EQ(ParseHttpTarget("/a/../b/%2e%2e/./c").value().path, "/a/../b/.././c");
}

TEST(HttpTargetTest, TheAbsoluteFormLosesItsHost) {
  EXPECT_EQ(ParseHttpTarget("http://example.com:80/x?y").value().path, "/x");
  EXPECT_EQ(ParseHttpTarget("http://example.com:80/x?y").value().query, "y");
  EXPECT_EQ(ParseHttpTarget("https://example.com").value().path, "/");
  EXPECT_EQ(ParseHttpTarget("http://example.com?q").value().path, "/");
  EXPECT_EQ(ParseHttpTarget("http://example.com?q").value().query, "q");
}

TEST(HttpTargetTest, WhatIsNoPathIsRefused) {
  for (const char* target :
       {"", "*", "x", "example.com:443", "ftp://host/x", "/a%", "/a%4", "/a%4g", "/%00", "/%ff",
        "/%c0%af", "/%ed%a0%80", "/\xff", "/a#b", "?q"}) {
    EXPECT_EQ(ParseHttpTarget(target).status().code(), StatusCode::kInvalidArgument) << target;
  }
}

}  // namespace
}  // namespace foretoken
