#include "server/wire_object.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace foretoken {
namespace {

using nlohmann::json;

TEST(WireObjectTest, ReadsWhatIsThere) {
  const json value = json::parse(
      R"({"b": true, "i": 3.0, "n": -0.0, "s": "x", "o": {"y": 1}, "a": [1], "z": null, "c": "up"})");
  WireReport report;
  WireObject object(value, "", report);
  EXPECT_EQ(object.Bool("b"), true);
  EXPECT_EQ(object.Integer("i", {0, 3}), 3);
  const auto zero = object.Number("n", {0, 1});
  ASSERT_TRUE(zero);
  EXPECT_FALSE(std::signbit(*zero));
  EXPECT_EQ(object.String("s"), "x");
  EXPECT_EQ(object.OneOf("c", {"up", "down"}), "up");
  EXPECT_EQ(object.Object("o")->size(), 1u);
  EXPECT_EQ(object.Array("a")->size(), 1u);
  EXPECT_EQ(object.Find("z"), nullptr);
  EXPECT_EQ(object.String("z"), std::nullopt);
  EXPECT_EQ(object.Bool("absent"), std::nullopt);
  EXPECT_FALSE(report.failed());
}

TEST(WireObjectTest, IntegersAtTheEnds) {
  const json value = json::parse(
      R"({"low": -9223372036854775808, "high": 9223372036854775807, "more": 9223372036854775808,
          "less": -9223372036854775809, "half": 0.5, "float": 4e18, "big": 1e300})");
  constexpr WireRange<int64_t> kAll = {std::numeric_limits<int64_t>::min(),
                                       std::numeric_limits<int64_t>::max()};
  const auto read = [&](const char* name) {
    WireReport report;
    WireObject object(value, "", report);
    const auto number = object.Integer(name, kAll);
    EXPECT_EQ(number.has_value(), !report.failed()) << name;
    return number;
  };
  EXPECT_EQ(read("low"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(read("high"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(read("float"), 4000000000000000000);
  for (const char* name : {"more", "less", "half", "big"}) EXPECT_FALSE(read(name)) << name;
}

TEST(WireObjectTest, WhatIsWrongHasAPathACodeAndAMessage) {
  const json value = json::parse(
      R"({"t": 3, "i": 1.5, "s": 7, "b": "x", "a": {}, "o": [], "c": "left", "n": "x"})");
  const auto check = [&](const std::string& code, const std::string& message, auto read) {
    WireReport report;
    WireObject object(value, "here[1]", report);
    read(object);
    ASSERT_TRUE(report.failed()) << message;
    EXPECT_EQ(report.error().message, message);
    EXPECT_EQ(report.error().code, code);
    EXPECT_EQ(report.error().param, message.substr(0, message.find(' ')));
    EXPECT_EQ(report.error().http_status, 400);
    EXPECT_EQ(report.error().type, "invalid_request_error");
  };
  check("invalid_value", "here[1].t is 3; it must be between 0 and 2", [](WireObject& o) {
    o.Number("t", {0, 2});
  });
  check("invalid_value", "here[1].t is 3; it must be between 1 and 2", [](WireObject& o) {
    o.Integer("t", {1, 2});
  });
  check("invalid_value", "here[1].i is 1.5; it must be an integer between 1 and 2",
        [](WireObject& o) {
          o.Integer("i", {1, 2});
        });
  check("invalid_type", "here[1].n is a string; it must be a number between 0 and 2",
        [](WireObject& o) {
          o.Number("n", {0, 2});
        });
  check("invalid_type", "here[1].n is a string; it must be an integer between 1 and 2",
        [](WireObject& o) {
          o.Integer("n", {1, 2});
        });
  check("invalid_type", "here[1].s is a number; it must be a string",
        [](WireObject& o) { o.String("s"); });
  check("invalid_type", "here[1].b is a string; it must be true or false",
        [](WireObject& o) { o.Bool("b"); });
  check("invalid_type", "here[1].a is an object; it must be an array",
        [](WireObject& o) { o.Array("a"); });
  check("invalid_type", "here[1].o is an array; it must be an object",
        [](WireObject& o) { o.Object("o"); });
  check("invalid_value", "here[1].c is \"left\"; it must be one of up, down", [](WireObject& o) {
    o.OneOf("c", {"up", "down"});
  });
  check("invalid_type", "here[1].s is a number; it must be one of up, down", [](WireObject& o) {
    o.OneOf("s", {"up", "down"});
  });
  check("missing_required_parameter", "here[1].x is missing; it must be a string",
        [](WireObject& o) { o.RequiredString("x"); });
  check("missing_required_parameter", "here[1].x is missing; it must be an array",
        [](WireObject& o) { o.RequiredArray("x"); });
  check("missing_required_parameter", "here[1].x is missing; it must be an object",
        [](WireObject& o) { o.RequiredObject("x"); });
}

TEST(WireObjectTest, TheFirstMistakeCounts) {
  const json value = json::parse(R"({"a": 1, "b": 2})");
  WireReport report;
  WireObject object(value, "", report);
  object.String("a");
  object.String("b");
  EXPECT_EQ(report.error().param, "a");
}

TEST(WireObjectTest, WhatIsNoObjectIsReadAsEmpty) {
  const json value = 3;
  WireReport report;
  WireObject object(value, "a[0]", report);
  EXPECT_EQ(object.String("x"), std::nullopt);
  object.IgnoreRest();
  EXPECT_EQ(report.error().message, "a[0] is a number; it must be an object");
  EXPECT_EQ(report.error().param, "a[0]");
}

TEST(WireObjectTest, FieldsNobodyReadAreNamedFitForAHeader) {
  json value = json::parse(R"({"known": 1, "null": null, "odd,\r\nx: \u00e9": 1})");
  value[std::string(1000, 'l')] = 1;
  WireReport report;
  WireObject object(value, "m[0]", report);
  object.Find("known");
  object.IgnoreRest();
  EXPECT_EQ(report.TakeIgnored(),
            (std::vector<std::string>{"m[0]." + std::string(59, 'l'), "m[0].odd???x:???"}));
}

TEST(WireObjectTest, TheListOfIgnoredFieldsHasAnEnd) {
  json value = json::object();
  for (int i = 0; i < 1000; ++i) value["f" + std::to_string(i)] = i;
  WireReport report;
  WireObject(value, "", report).IgnoreRest();
  EXPECT_EQ(report.TakeIgnored().size(), kMaxIgnoredFields);
}

TEST(WireObjectTest, AMessageQuotesOnlyTheBeginningOfWhatIsLong) {
  const json value = {{"c", std::string(100000, 'x')}};
  WireReport report;
  WireObject(value, "", report).OneOf("c", {"up"});
  EXPECT_LT(report.error().message.size(), 200u);
}

}  // namespace
}  // namespace foretoken
