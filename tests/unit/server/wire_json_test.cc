#include "server/wire_json.h"

#include <gtest/gtest.h>

#include <string>

#include "base/json_depth.h"

namespace foretoken {
namespace {

std::string Arrays(int depth) {
  return std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']');
}

TEST(WireJsonTest, ReadsAnObject) {
  auto json =
      ParseJsonObject(R"({"a": [1, -0, 18446744073709551616, 1e300], "b": "\u00e9", "a2": null})");
  ASSERT_TRUE(json.ok());
  EXPECT_EQ((*json)["b"], "\xC3\xA9");
  EXPECT_EQ((*json)["a"][1], 0);
  EXPECT_TRUE((*json)["a"][2].is_number_float());
}

TEST(WireJsonTest, OfEqualKeysTheLastCounts) {
  auto json = ParseJsonObject(R"({"a": 1, "a": 2})");
  ASSERT_TRUE(json.ok());
  EXPECT_EQ((*json)["a"], 2);
}

TEST(WireJsonTest, WhatIsNoObjectIsSaidSo) {
  const struct {
    std::string body;
    std::string message;
  } kCases[] = {
      {"", "the body is empty; a JSON object is expected"},
      {"[]", "the body is an array; it must be a JSON object"},
      {"null", "the body is null; it must be a JSON object"},
      {"\"x\"", "the body is a string; it must be a JSON object"},
      {"{\"a\": }", "the body is not JSON: it goes wrong at byte 7"},
      {"{\"a\": 1", "the body is not JSON: it goes wrong at byte 8"},
      {"{} {}", "the body is not JSON: it goes wrong at byte 4"},
      {"{\"a\": NaN}", "the body is not JSON: it goes wrong at byte 7"},
      {R"({"a": "\ud800"})", "the body is not JSON: it goes wrong at byte 14"},
      {"{\"a\": \"\xff\"}", "the body is not UTF-8"},
      {"{\"a\": 1e999}", "the body has a number that is too large for a double"},
      {"{\"a\": " + Arrays(kMaxJsonDepth) + "}",
       "the body has objects and arrays more than 64 deep inside each other"},
      {std::string(1 << 20, '['),
       "the body has objects and arrays more than 64 deep inside each other"},
  };
  for (const auto& [body, message] : kCases) {
    auto json = ParseJsonObject(body);
    ASSERT_FALSE(json.ok()) << body.substr(0, 80);
    EXPECT_EQ(json.error(), (WireError{400, "invalid_request_error", "", "invalid_json", message}))
        << json.error().message;
  }
  EXPECT_TRUE(ParseJsonObject("{\"a\": " + Arrays(kMaxJsonDepth - 1) + "}").ok());
}

TEST(WireJsonTest, TypesHaveNames) {
  EXPECT_EQ(JsonTypeName(nullptr), "null");
  EXPECT_EQ(JsonTypeName(true), "a boolean");
  EXPECT_EQ(JsonTypeName(1), "a number");
  EXPECT_EQ(JsonTypeName(1.5), "a number");
  EXPECT_EQ(JsonTypeName("x"), "a string");
  EXPECT_EQ(JsonTypeName(nlohmann::json::array()), "an array");
  EXPECT_EQ(JsonTypeName(nlohmann::json::object()), "an object");
}

}  // namespace
}  // namespace foretoken
