#include "server/wire_writer.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace foretoken {
namespace {

TEST(WireWriterTest, PutsCommasBetweenValues) {
  std::string out;
  WireWriter writer(out);
  writer.BeginObject();
  writer.Key("a").BeginArray().EndArray();
  writer.Key("b\"").BeginArray().Integer(1).Float(0.5f).Null().Bool(true).EndArray();
  writer.Key("c").BeginObject().EndObject();
  writer.Key("d").BeginArray().BeginObject().Key("x").String("y\n").EndObject();
  writer.BeginObject().EndObject().EndArray();
  writer.Key("e").Raw("{\"z\":1}").Key("f").Number(2.5);
  writer.Key("g").Float(-std::numeric_limits<float>::infinity());
  writer.EndObject();
  EXPECT_EQ(out, R"({"a":[],"b\"":[1,0.5,null,true],"c":{},"d":[{"x":"y\n"},{}],)"
                 R"("e":{"z":1},"f":2.5,"g":-9999.0})");
}

TEST(WireWriterTest, GoesOnWhereTheStringEnds) {
  std::string out = "data: ";
  WireWriter(out).String("x");
  EXPECT_EQ(out, "data: \"x\"");
}

}  // namespace
}  // namespace foretoken
